package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroup is what is to be had of cgroup v2, cgroups(7).
type cgroup struct {
	folder      string   // our own, "" without cgroup v2
	controllers []string // that are handed down to it
	closed      error    // why a group cannot be made in it; nil: it can
	systemd     bool     // the user's own systemd answers, which makes groups for others
}

// wanted are the controllers that limits rest on.
var wanted = [...]string{"cpu", "memory", "pids"}

// tryCgroup makes a group in our own, and removes it.
func tryCgroup() cgroup {
	c := findCgroup(readAll("/proc/self/mountinfo"), readAll("/proc/self/cgroup"))
	if c.folder == "" {
		return c
	}
	c.controllers = strings.Fields(readLine(filepath.Join(c.folder, "cgroup.controllers")))
	try := filepath.Join(c.folder, fmt.Sprintf("aigate-doctor-%d", os.Getpid()))
	if err := unix.Mkdir(try, 0o700); err != nil {
		c.closed = &os.PathError{Op: "make a group", Path: try, Err: err}
	} else if err := unix.Rmdir(try); err != nil {
		c.closed = &os.PathError{Op: "remove a group", Path: try, Err: err}
	}
	c.systemd = answers(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd", "private"))
	return c
}

// findCgroup finds our own group: where version 2 is mounted, and where below that we are.
func findCgroup(mounts, own string) (c cgroup) {
	for line := range strings.Lines(mounts) {
		left, right, ok := strings.Cut(line, " - ")
		if fields := strings.Fields(left); ok && strings.HasPrefix(right, "cgroup2 ") && len(fields) > 4 {
			c.folder = fields[4]
		}
	}
	for line := range strings.Lines(own) {
		if path, ok := strings.CutPrefix(line, "0::"); ok && c.folder != "" {
			c.folder = filepath.Join(c.folder, strings.TrimSpace(path))
			return c
		}
	}
	return cgroup{}
}

// answers connects to a socket.
func answers(path string) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == nil
}

func (c cgroup) outcome() Outcome {
	var have, lack []string
	for _, w := range wanted {
		if slices.Contains(c.controllers, w) {
			have = append(have, w)
		} else {
			lack = append(lack, w)
		}
	}
	o := Outcome{Result: Absent, State: "none"}
	switch {
	case c.folder == "":
		o.Why = "no cgroup of version 2 is mounted, or we are in none"
	case len(lack) > 0:
		o.Why = fmt.Sprintf("%s lacks the controllers %s", c.folder, strings.Join(lack, ", "))
	case c.closed != nil && !c.systemd:
		o.State, o.Why = "closed", c.closed.Error()
	default:
		return Outcome{Result: OK, State: strings.Join(have, " ")}
	}
	return o
}
