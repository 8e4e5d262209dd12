package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// This machine runs the attacks of e2e, so everything is there.
func TestHere(t *testing.T) {
	m := NewMachine(t.TempDir())
	for _, c := range m.Base() {
		if f := c.Run(); f.Result != OK && f.Name != "ACLs" {
			t.Errorf("%+v", f)
		}
	}
	if said := Explain(); said != "" {
		t.Errorf("Explain finds %q where all works", said)
	}
	if _, err := LandlockABI(); err != nil {
		t.Errorf("Landlock: %v", err)
	}
}

// A trial leaves nothing: no child, no descriptor.
func TestNothingStays(t *testing.T) {
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	Explain()
	before := open()
	for range 3 {
		Explain()
	}
	if now := open(); now != before {
		t.Errorf("%d open descriptors, then %d", before, now)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child stays: %d, %v", pid, err)
	}
}

func TestACL(t *testing.T) {
	// /proc has no ACLs and cannot hold a file; a file system in memory has both.
	if err := TryACL("/proc/self"); err == nil {
		t.Error("an ACL was set in /proc")
	}
	if err := TryACL("/dev/shm"); err != nil {
		t.Errorf("/dev/shm: %v", err)
	}
	if err := TryACL(t.TempDir() + "/none"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestWSL(t *testing.T) {
	for release, want := range map[string]int{
		"4.4.0-19041-Microsoft":              1,
		"5.15.153.1-microsoft-standard-WSL2": 2,
		"6.6.36.6-microsoft-standard-WSL2+":  2,
		"6.1.0-25-amd64":                     0,
		"":                                   0,
	} {
		if got := wsl(release); got != want {
			t.Errorf("%s: %d", release, got)
		}
	}
}

func TestContainer(t *testing.T) {
	for _, c := range []struct {
		files, env, want string // separated by blanks
	}{
		{"/.dockerenv", "", "docker"},
		{"/.dockerenv", "KUBERNETES_SERVICE_HOST=10.0.0.1", "kubernetes"},
		{"/run/.containerenv", "container=podman", "podman"},
		{"/run/.containerenv", "", "podman"},
		{"/run/systemd/container=lxc", "", "lxc"},
		{"/run/systemd/container=wsl", "", ""},
		{"", "container=systemd-nspawn", "systemd-nspawn"},
		{"", "", ""},
	} {
		look := func(list string) func(string) string {
			return func(name string) string {
				for _, f := range strings.Fields(list) {
					if k, v, _ := strings.Cut(f, "="); k == name {
						return v
					}
				}
				return ""
			}
		}
		present := func(path string) bool { return strings.Contains(" "+c.files+" ", " "+path+" ") }
		if got := container(look(c.files), present, look(c.env)); got.Kind != c.want {
			t.Errorf("%q %q: %q", c.files, c.env, got.Kind)
		}
	}
}

// TestMain has the race detector end the children at once: it would have each sleep for a second.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}
