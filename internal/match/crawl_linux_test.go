package match

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// asNobody runs childWalk for patterns without the power to read everything.
// Whoever isn't root has no such power anyway.
func asNobody(t *testing.T, project string, patterns []string, env ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(env, "AIGATE_WALK="+project, "AIGATE_PATTERNS="+strings.Join(patterns, "\n"))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return strings.ReplaceAll(string(out), project, "")
}

// lock gives directories below root to nobody, or leaves them to others, and
// sets their modes; the test's end opens them again.
func lock(t *testing.T, root string, modes map[string]os.FileMode) {
	t.Helper()
	for name, mode := range modes {
		dir, foreign := strings.CutPrefix(name, "foreign:")
		path := filepath.Join(root, dir)
		if os.Geteuid() == 0 && !foreign {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { os.Chmod(path, 0o755) })
		defer func() {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}()
	}
}

// open lets nobody into the directories above root.
func open(t *testing.T, root string) {
	t.Helper()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	root := tree(t, "shut/.env", "searchonly/.env", "listonly/sub/.env", "listonly/.env", "flat/.env", "fine/.env",
		"fixed/shut/key", "fixed/glob/a/key", "named/x", "lit/in/.env")
	open(t, root)
	lock(t, root, map[string]os.FileMode{"shut": 0, "searchonly": 0o111, "listonly": 0o444, "flat": 0o444,
		"fixed/shut": 0, "fixed/glob": 0, "named": 0, "lit": 0})
	got := asNobody(t, root, []string{".env", root + "/fixed/shut/key", root + "/fixed/glob/a/*", "named/", "./lit/in/.env"})
	want := "found /fine/.env\nfound /flat/.env\nfound /listonly/.env\nfound /named\n" +
		"unreadable /fixed/glob\nunreadable /fixed/shut\nunreadable /listonly\nunreadable /lit\n" +
		"unreadable /searchonly\nunreadable /shut\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	got = asNobody(t, root+"/fine", []string{root + "/fixed/shut/key", root + "/fixed/glob/a/*"})
	if want := "unreadable " + root + "/fixed/glob\nunreadable " + root + "/fixed/shut\n"; got != want {
		t.Errorf("fixed places: %q, want %q", got, want)
	}
	got = asNobody(t, root+"/shut", []string{".env"})
	if got != "unreadable \n" {
		t.Errorf("a shut project: %q", got)
	}
}

// What belongs to somebody else is not the payload's to open, but names that
// can be guessed must be found where a directory may be entered.
func TestForeign(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make directories that belong to somebody else")
	}
	root := tree(t, "shut/.env", "enter/.env", "enter/secrets/x", "enter/not.pem", "enter/sub/deep.key", "enter/sub/.env",
		"list/.env", "list/sub/.env", "away/key")
	open(t, root)
	lock(t, root, map[string]os.FileMode{"foreign:shut": 0o700, "foreign:enter": 0o711, "foreign:enter/sub": 0o711,
		"foreign:list": 0o744, "foreign:away": 0o700})
	got := asNobody(t, root, []string{".env", "secrets/", "*.pem", "**/sub/deep.key", root + "/away/key", root + "/away/*"})
	want := "found /enter/.env\nfound /enter/secrets\nfound /enter/sub/.env\nfound /enter/sub/deep.key\nfound /list/.env\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestInsideUnreadable(t *testing.T) {
	root := tree(t, "shut/x")
	open(t, root)
	lock(t, root, map[string]os.FileMode{"shut": 0})
	if got := asNobody(t, root, nil, "AIGATE_INSIDE=1"); !strings.Contains(got, "chmod u+rx") {
		t.Errorf("got %q", got)
	}
}

// A walk that can't look everywhere must not say that it did.
func TestFailsClosed(t *testing.T) {
	root := tree(t, "a/b/c/.env", "a/d/e/.env", "f/g/.env")
	open(t, root)
	got := asNobody(t, root, []string{".env"}, "AIGATE_NOFILE=1")
	if !strings.HasPrefix(got, "error") || !strings.Contains(got, "too many open files") {
		t.Errorf("got %q", got)
	}
}

// comb is a tree with four teeth besides the next level on every level, deeper
// than any path. The teeth's names differ, so that every order of reading occurs.
func comb(t *testing.T, root string, depth int) {
	t.Helper()
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; i < depth && err == nil; i++ {
		for j := range 4 {
			dir := fmt.Sprintf("tooth-%d", i*4+j)
			err = errors.Join(err, unix.Mkdirat(fd, dir, 0o755))
			f, e := unix.Openat(fd, dir+"/.env", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
			unix.Close(f)
			err = errors.Join(err, e)
		}
		err = errors.Join(err, unix.Mkdirat(fd, "next-level-down", 0o755))
		next, e := unix.Openat(fd, "next-level-down", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		fd, err = next, errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestDeepTreeBoundedDescriptors(t *testing.T) {
	const depth = 300
	root := tree(t)
	comb(t, root, depth)
	s := parseAt(t, root, ".env")
	for _, workers := range []int{1, 3} {
		for _, limit := range []int64{0, 3, openMax} {
			before := descriptors(t)
			var most, dirs atomic.Int64
			f := &finder{set: s, in: newScope(root, nil), only: "/"}
			f.opts.OnDir = func(string) {
				if dirs.Add(1)%40 == 0 {
					most.Store(max(most.Load(), int64(descriptors(t)-before)))
				}
			}
			f.sowProject()
			if err := crawlWith(f.seeds, f, workers, limit); err != nil {
				t.Fatal(err)
			}
			if got := len(f.result().Found); got != 4*depth {
				t.Errorf("workers %d, limit %d: found %d of %d", workers, limit, got, 4*depth)
			}
			// A worker has its held directory, the one it reads, one or two
			// on the way to another, and whoever looks has one.
			if most.Load() > limit+1+int64(workers)*4 {
				t.Errorf("workers %d, limit %d: %d descriptors", workers, limit, most.Load())
			}
			if after := descriptors(t); after != before {
				t.Errorf("workers %d, limit %d: %d descriptors left open", workers, limit, after-before)
			}
		}
	}
	if _, err := s.Rescan(root, root+strings.Repeat("/next-level-down", 290), Options{}); err == nil {
		t.Error("a place that no system call can name is no error")
	}
}

// A tree that changes while it is walked is no error, and what stays is found.
func TestChangingTree(t *testing.T) {
	root := tree(t, "stays/.env")
	outside := tree(t, "x/.env")
	for i := range 60 {
		plant(t, root, fmt.Sprintf("d%d/a/b/c/f", i))
	}
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			dir := fmt.Sprintf("%s/d%d", root, i%60)
			os.Rename(dir+"/a/b", root+"/moved")
			os.Symlink(outside, dir+"/a/b")
			os.Remove(dir + "/a/b")
			os.Rename(root+"/moved", dir+"/a/b")
			os.RemoveAll(dir + "/a/b/c")
			os.MkdirAll(dir+"/a/b/c", 0o755)
		}
	}()
	s := parseAt(t, root, ".env")
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; {
		f := &finder{set: s, in: newScope(root, nil), only: "/"}
		f.sowProject()
		if err := crawlWith(f.seeds, f, 3, 2); err != nil {
			t.Fatal(err)
		}
		if found := f.result().Found; len(found) != 1 || found[0].Path != root+"/stays/.env" {
			t.Fatalf("found %v", found)
		}
	}
	close(stop)
	<-stopped
}

// A directory that becomes a symlink after its name was read leads nowhere.
func TestSwappedForSymlink(t *testing.T) {
	root := tree(t, "a/x", "b/x")
	outside := tree(t, ".env")
	s := parseAt(t, root, ".env")
	swapped := false
	res := mustWalk(t, s, root, Options{Workers: 1, OnDir: func(path string) {
		if path == root || swapped {
			return
		}
		swapped = true
		other := map[string]string{root + "/a": root + "/b", root + "/b": root + "/a"}[path]
		if err := errors.Join(os.RemoveAll(other), os.Symlink(outside, other)); err != nil {
			t.Error(err)
		}
	}})
	if !swapped || len(res.Found) != 0 {
		t.Errorf("swapped %v, found %v", swapped, res.Found)
	}
}

func TestNextEntry(t *testing.T) {
	good := append(make([]byte, 16), 24, 0, unix.DT_REG, 'a', 'b', 0, 0, 0)
	good[0] = 7
	e, rest, err := nextEntry(good)
	if err != nil || e.name != "ab" || e.kind != kindRegular || e.ino != 7 || len(rest) != 0 {
		t.Errorf("%+v, %v, %v", e, rest, err)
	}
	for what, spoil := range map[string]func([]byte) []byte{
		"too short":      func(b []byte) []byte { return b[:18] },
		"length too big": func(b []byte) []byte { b[16] = 25; return b },
		"length small":   func(b []byte) []byte { b[16] = 3; return b },
		"no end":         func(b []byte) []byte { copy(b[19:], "abcde"); return b },
		"no name":        func(b []byte) []byte { b[19] = 0; return b },
	} {
		if _, _, err := nextEntry(spoil(append([]byte(nil), good...))); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// Many names in one closed directory, and a directory behind it, are one
// report; descriptors for looking names up are given back.
func TestUnreadablePlaces(t *testing.T) {
	root := tree(t, "shut/sub/key", "open/k3", "app/")
	open(t, root)
	lock(t, root, map[string]os.FileMode{"shut": 0o600})
	patterns := []string{root + "/shut/sub/key", root + "/shut/sub/deep/*.pem"}
	for i := range 2 * openAfter {
		patterns = append(patterns, fmt.Sprintf("%s/shut/k%d", root, i), fmt.Sprintf("%s/open/k%d", root, i))
	}
	got := asNobody(t, root+"/app", patterns)
	if want := "found " + root + "/open/k3\nunreadable " + root + "/shut\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	before := descriptors(t)
	mustWalk(t, parseAt(t, root, patterns...), root+"/app", Options{})
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors left open", after-before)
	}
}
