package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// place is the folder with a home, its configuration, and projects.
type place struct {
	flags
	dir, home string
}

// newPlace makes a home such as a developer has, with the default
// configuration but for the network: `allow_net: []`.
func newPlace(dir string, f flags) (*place, error) {
	p := &place{flags: f, dir: dir, home: filepath.Join(dir, "home")}
	p.aigate = filepath.Join(dir, "aigate")
	for _, d := range []string{".ssh", ".cache", ".npm", ".claude", "go/pkg"} {
		if err := os.MkdirAll(filepath.Join(p.home, d), 0o755); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{".bashrc", ".gitconfig", ".npmrc", ".ssh/id_ed25519"} {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte("# not empty\n"), 0o644); err != nil {
			return nil, err
		}
	}
	empty := filepath.Join(dir, "empty")
	os.Remove(empty) // of another part's, which cannot be written to
	if err := os.WriteFile(empty, nil, 0o444); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(p.home, ".aigate")); err == nil {
		return p, nil // measured in before
	}
	for _, args := range [][]string{{"init"}, {"deny", "net"}} {
		if err := quietly(p.command(p.dir, args...)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// project makes a folder that is a git repository, as far as aigate looks,
// with one secret.
func (p *place) project(name string) (string, error) {
	dir := filepath.Join(p.dir, name)
	for _, d := range []string{".git/hooks", ".git/objects", "src"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/config": "", ".env": "SECRET=1\n", "src/main.c": "int main(void) { return 0; }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// command is aigate with these arguments, in dir.
func (p *place) command(dir string, args ...string) *exec.Cmd {
	c := exec.Command(p.aigate, args...)
	c.Dir = dir
	// What is left over when bench is killed ends with it.
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return c
}

// inside is `aigate run` on an engine.
func (p *place) inside(engine, dir string, args ...string) *exec.Cmd {
	c := p.command(dir, append([]string{"run", "--quiet"}, args...)...)
	c.Env = append(os.Environ(), "AIGATE_ENGINE="+engine)
	return c
}

// quietly runs a command whose words matter only when it fails.
func quietly(c *exec.Cmd) error {
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " ")[:min(200, len(strings.Join(c.Args, " ")))], err, out)
	}
	return nil
}

// step is one of the plan that `aigate run --dry-run --json` prints.
type step struct {
	Kind, Path, View, Why string
	Mode                  uint32
}

// plan asks aigate what it would do in a project.
func (p *place) plan(dir string) ([]step, error) {
	out, err := p.command(dir, "run", "--dry-run", "--json", "--", "true").Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return nil, err
	}
	var printed struct{ Plan struct{ Steps []step } }
	if err := json.Unmarshal(out, &printed); err != nil {
		return nil, err
	}
	// Sockets of other programs come and go while this runs.
	gone := func(s step) bool { return s.Why == "socket of the host" }
	return slices.DeleteFunc(printed.Plan.Steps, gone), nil
}

// header says what was measured on.
func header(w io.Writer) {
	var u syscall.Utsname
	syscall.Uname(&u)
	var release strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	load, _ := os.ReadFile("/proc/loadavg")
	now := strings.Fields(string(load) + " ? ")[0]
	fmt.Fprintf(w, "Linux %s, %d cores, load %s at the start, %s, %s, %s.\n\n",
		release.String(), runtime.NumCPU(), now, toolVersion("bwrap"), toolVersion(fd()), runtime.Version())
}

func toolVersion(name string) string {
	out, err := exec.Command(name, "--version").Output()
	if err != nil {
		return name + " missing"
	}
	return strings.TrimSpace(strings.SplitN(string(out), "\n", 2)[0])
}

// fd is called fdfind on Debian.
func fd() string {
	if _, err := exec.LookPath("fdfind"); err == nil {
		return "fdfind"
	}
	return "fd"
}
