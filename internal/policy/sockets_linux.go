package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// A read-only mount does not keep anybody from connecting to a Unix socket, so
// sockets of the host that would be visible inside are masked one by one. Most
// lie in /run and /tmp, which are private anyway.

// hostSocket is the rule that hides a socket.
const hostSocket = "socket of the host"

// bound is a socket with a path.
type bound struct{ path, inode string }

// listening gives the sockets that processes of the host have bound, from
// /proc/net/unix (see proc_net(5)).
func listening() (out []bound) {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil // without it every socket that is found is asked, see alive
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		// Num RefCount Protocol Flags Type St Inode Path
		f := strings.SplitN(strings.Join(strings.Fields(line[:min(len(line), 70)]), " "), " ", 8)
		switch {
		case len(f) > 0 && f[0] == "Num":
		case len(f) < 7 || !strings.HasSuffix(f[0], ":"): // a path goes on: it holds a newline
			if n := len(out); n > 0 && line != "" {
				out[n-1].path += "\n" + line
			}
		case len(f) == 8 && !strings.HasPrefix(f[7], "@"):
			out = append(out, bound{line[strings.Index(line, " "+f[6]+" ")+len(f[6])+2:], f[6]})
		}
	}
	return out
}

// resolve gives the place of a socket that was bound by a relative path: the
// folder that its owner is in, if that is still the one it was bound in.
func (b bound) resolve() (paths []string) {
	if filepath.IsAbs(b.path) {
		return []string{b.path}
	}
	for _, pid := range holders(b.inode) {
		if dir, err := os.Readlink(filepath.Join("/proc", pid, "cwd")); err == nil {
			paths = append(paths, filepath.Join(dir, b.path))
		}
	}
	return paths
}

// holders are the processes that have the socket open, as far as the caller may
// know.
func holders(inode string) (pids []string) {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "socket:["+inode+"]" {
			pids = append(pids, strings.Split(fd, "/")[2])
		}
	}
	return pids
}

// boundOutside says that no process of another pid namespace, such as the
// sandbox's, holds the socket: then it is the host's.
func boundOutside(inode string) bool {
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return true
	}
	for _, pid := range holders(inode) {
		ns, err := os.Readlink(filepath.Join("/proc", pid, "ns/pid"))
		return err != nil || ns == ours
	}
	return true
}

// sockets masks those that are in use and visible.
func (p *Policy) sockets(met []string) error {
	list := listening()
	for _, s := range list {
		for _, path := range s.resolve() {
			dir := filepath.Dir(path)
			if !p.visible(path) || slices.Contains(p.socketDirs, dir) {
				continue
			}
			p.socketDirs = append(p.socketDirs, dir)
			p.hideSockets(dir, list)
		}
	}
	for _, path := range met {
		var st unix.Stat_t
		if p.isHidden(path) || unix.Lstat(path, &st) == nil && isPlaceholder(st) {
			continue
		}
		live, err := alive(path)
		if err != nil {
			return fmt.Errorf("socket %s: %w", path, err)
		}
		if live {
			p.hide(path, false, hostSocket)
		}
	}
	return nil
}

// hideSockets masks every socket of a folder that some process has bound one
// in. The name it was bound by need not be the one it has: ssh, for one, binds
// under another name and links.
func (p *Policy) hideSockets(dir string, list []bound) {
	real, err := realDir(dir)
	if err != nil {
		return // gone, or closed to the caller and so to the payload
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		p.hideBound(dir, real, list)
		return
	}
	own := below(real, p.Project) // there, one that is not in use may be a program's to make anew
	for _, e := range entries {
		path := filepath.Join(real, e.Name())
		var st unix.Stat_t
		switch {
		case e.Type() != fs.ModeSocket:
		case own && !slices.ContainsFunc(list, func(b bound) bool { return filepath.Base(b.path) == e.Name() }):
		case unix.Lstat(path, &st) != nil || isPlaceholder(st):
		default:
			p.hide(path, false, hostSocket)
		}
	}
}

// hideBound masks what was bound in a folder that may be entered and not listed, as
// services have them: to connect takes no more.
func (p *Policy) hideBound(dir, real string, list []bound) {
	for _, b := range list {
		path := filepath.Join(real, filepath.Base(b.path))
		var st unix.Stat_t
		if filepath.Dir(b.path) == dir && unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK && !isPlaceholder(st) {
			p.hide(path, false, hostSocket)
		}
	}
}

// sockets gives masks for sockets that the host has bound since the last time.
// With a network namespace of its own the sandbox's are not in the list.
func (w *watch) sockets() (steps []sandbox.Step, err error) {
	now := make(map[string]bool, len(w.bound))
	for _, s := range listening() {
		now[s.inode] = true
		if w.bound[s.inode] {
			continue
		}
		for _, path := range s.resolve() {
			if !w.policy.Network.Host || boundOutside(s.inode) {
				steps = append(steps, w.around(path)...)
			}
		}
	}
	w.bound = now
	return steps, nil
}

// around gives masks for a socket that was bound at path and, outside of the
// project, for all others in its folder: it may have been linked to another
// name, as ssh does. The payload's own lie in private folders.
func (w *watch) around(path string) (steps []sandbox.Step) {
	dir, err := realDir(filepath.Dir(path))
	if err != nil {
		return nil // gone, or closed to the caller and so to the payload
	}
	names := []string{filepath.Base(path)}
	if !below(dir, w.policy.Project) {
		entries, _ := os.ReadDir(dir) // what cannot be read still has the name it was bound by
		for _, e := range entries {
			if e.Type() == fs.ModeSocket && e.Name() != names[0] {
				names = append(names, e.Name())
			}
		}
	}
	for _, name := range names {
		var st unix.Stat_t
		path := filepath.Join(dir, name)
		if !w.policy.visible(path) || unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK ||
			isPlaceholder(st) || w.holds(path, st) {
			continue
		}
		steps = append(steps, w.mask(Entry{Path: path, Rule: hostSocket}))
	}
	return steps
}

// alive says whether somebody listens on a socket of the project that is not
// in our own list: a container's, or another network namespace's. One that
// nobody listens on was left behind, and a program may want to make it anew.
func alive(path string) (bool, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return true, nil // connected, full, of another type, or of no access: in use
}
