package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/AxeForging/aigate/internal/term"
	"golang.org/x/sys/unix"
)

// trap is a bubblewrap in front of which something happens, once it has been
// told what to mount, that another sandbox at work in an enclosing folder could
// do at that moment.
func trap(t *testing.T, before string) string {
	t.Helper()
	real, err := exec.LookPath("bwrap")
	if err != nil {
		t.Fatal("apt-get install bubblewrap: ", err)
	}
	path := filepath.Join(t.TempDir(), "bwrap")
	script := fmt.Sprintf("#!/bin/sh\ncat <&%d >%[2]s.args\n%s\nexec %s \"$@\" %[1]d<%[2]s.args\n", stageArgs, path, before, real)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// runIn runs a shell command in a sandbox whose one writable folder is dir.
func runIn(t *testing.T, engine Engine, bwrap, dir, command string, more ...Step) error {
	t.Helper()
	return runWith(t, engine, bwrap, dir, command, Options{}, more...)
}

func runWith(t *testing.T, engine Engine, bwrap, dir, command string, opt Options, more ...Step) error {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	plan := &Plan{Dir: "/", OwnNet: true, RootUser: os.Getuid() == 0, Steps: append([]Step{
		{Kind: Root, Path: "/"}, {Kind: Dev, Path: "/dev"}, {Kind: Proc, Path: "/proc"},
		{Kind: Scratch, Path: "/run", Mode: 0o755}, {Kind: Scratch, Path: "/var/tmp", Mode: 0o1777},
		{Kind: Kit, Path: KitDir}, {Kind: Bind, Path: dir, Mode: ModeDir},
	}, more...)}
	cmd := Command{Path: "/bin/sh", Args: []string{"sh", "-c", command}, Env: []string{"PATH=/usr/bin:/bin"}}
	begun, err := Begin(Base{Engine: engine, Bwrap: bwrap, Caller: term.Detached(null), OwnNet: true})
	if err != nil {
		t.Fatal(err)
	}
	status, err := begun.Run(plan, cmd, opt)
	if err == nil && status != 0 {
		t.Errorf("status %d", status)
	}
	return err
}

func TestBwrapMountsWhatWasMeant(t *testing.T) {
	for _, c := range []struct {
		name, before string
		fails        bool
	}{
		{"nothing happens", "", false},
		{"a link to a folder of the user's", "mv project aside; ln -s victim project", true},
		{"a link that is gone again", "mv project aside; ln -s victim project; (sleep 0.2; rm project; mv aside project) &", true},
		{"another folder", "mv project aside; mv victim project; mkdir victim", true},
		{"a link above", "mkdir up; mv project up; mv up/project aside; ln -s victim/sub project", true},
		{"nothing there", "mv project aside", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			top, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []string{"project", "victim/sub"} {
				if err := os.MkdirAll(filepath.Join(top, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			dir := filepath.Join(top, "project")
			err = runIn(t, Bwrap, trap(t, "cd "+top+"\n"+c.before), dir, "echo x > "+dir+"/planted")
			if (err != nil) != c.fails {
				t.Errorf("%v", err)
			}
			found, _ := filepath.Glob(top + "/*/planted")
			deeper, _ := filepath.Glob(top + "/*/*/planted")
			if found = append(found, deeper...); c.fails && len(found) > 0 || !c.fails && (len(found) != 1 || found[0] != dir+"/planted") {
				t.Errorf("written: %v", found)
			}
			var moved *MovedError
			if c.fails && err != nil && !errors.As(err, &moved) {
				t.Logf("refused by bubblewrap: %v", err)
			}
		})
	}
}

// A file that is to be hidden is gone for the moment in which it would be: as an
// editor has it that saves it, or a server that makes its socket anew.
func TestReturned(t *testing.T) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		t.Fatal("apt-get install bubblewrap: ", err)
	}
	for engine, after := range map[Engine]string{Native: "namespaces and mounts", Bwrap: "mounts from outside"} {
		t.Run(string(engine), func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			secret, back := filepath.Join(dir, "secret"), false
			opt := Options{Timing: func(stage string, _ time.Duration) {
				if stage == after {
					back = os.WriteFile(secret, []byte("secret\n"), 0o644) == nil
				}
			}}
			err = runWith(t, engine, bwrap, dir, "wc -c < "+secret+" > "+dir+"/read", opt, Step{Kind: Mask, Path: secret})
			if err != nil || !back {
				t.Fatalf("%v; the file came back: %v", err, back)
			}
			if read, err := os.ReadFile(filepath.Join(dir, "read")); err != nil || strings.TrimSpace(string(read)) != "0" {
				t.Errorf("bytes read: %q, %v", read, err)
			}
		})
	}
}

func TestAsked(t *testing.T) {
	bind := asked{step: Step{Kind: Bind}, dev: 1, ino: 2}
	same := seen{dev: 1, ino: 2, mount: true, directory: true}
	other := func(change func(s *seen)) seen { s := same; change(&s); return s }
	for _, c := range []struct {
		name string
		a    asked
		s    seen
		want bool
	}{
		{"as asked", bind, same, true},
		{"another inode", bind, other(func(s *seen) { s.ino = 3 }), false},
		{"another file system", bind, other(func(s *seen) { s.dev = 3 }), false},
		{"part of the tree below", bind, other(func(s *seen) { s.mount = false }), false},
		{"the host's own mount point, read-only", bind, other(func(s *seen) { s.readOnly = true }), false},
		{"shown", asked{step: Step{Kind: Show}, dev: 1, ino: 2, readOnly: true}, other(func(s *seen) { s.readOnly = true }), true},
		{"shown, writable", asked{step: Step{Kind: Show}, dev: 1, ino: 2, readOnly: true}, same, false},
		{"private", asked{step: Step{Kind: Scratch}}, seen{mount: true, inMemory: true, directory: true}, true},
		{"private, but the host's", asked{step: Step{Kind: Scratch}}, same, false},
	} {
		if got := c.a.is(c.s); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// PID 1 counts what was not there, and tells what it saw.
func TestLookInside(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	in, err := newInner(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.setup.mem.free()
	for _, stepwise := range []bool{false, true} {
		p := &in.setup
		p.steps, p.gone, p.stepwise, p.optional = p.steps[:0], 0, stepwise, false
		file, link, gone := p.lookInside(dir+"/file"), p.lookInside(dir+"/link"), p.lookInside(dir+"/none/below")
		proc := p.lookInside("/proc")
		p.optional = true
		p.lookInside("/no/such/path")
		if !p.run(&in.fail) {
			t.Fatalf("step %s: %v", p.steps[in.fail.step].name, in.fail.errno)
		}
		var st unix.Stat_t
		if err := unix.Stat(dir+"/file", &st); err != nil {
			t.Fatal(err)
		}
		if s := file.seen(); s.ino != st.Ino || s.dev != uint64(st.Dev) || s.mount || s.directory {
			t.Errorf("a file: %+v", s)
		}
		if s := link.seen(); s.ino == 0 || s.mount {
			t.Errorf("a link: %+v", s)
		}
		if s := gone.seen(); s.ino != 0 {
			t.Errorf("nothing: %+v", s)
		}
		if s := proc.seen(); !s.mount || !s.directory {
			t.Errorf("a mount: %+v", s)
		}
		if p.gone != 1 {
			t.Errorf("gone: %d", p.gone)
		}
	}
}
