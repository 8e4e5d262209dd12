package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// A read-only mount does not keep anybody from connecting to a Unix socket, so
// sockets of the host that would be visible inside are masked one by one. Most
// lie in /run and /tmp, which are private anyway.

// bound is a socket with a path.
type bound struct{ path, inode string }

// listening gives the sockets that processes of the host have bound, from
// /proc/net/unix (see proc_net(5)).
func listening() (out []bound) {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil // without it every socket that is found is asked, see alive
	}
	for line := range strings.Lines(string(b)) {
		// Num RefCount Protocol Flags Type St Inode Path
		f := strings.SplitN(strings.Join(strings.Fields(line[:min(len(line), 70)]), " "), " ", 8)
		if len(f) < 8 || f[0] == "Num" || strings.HasPrefix(f[7], "@") {
			continue
		}
		path := strings.TrimSuffix(line[strings.Index(line, " "+f[6]+" ")+len(f[6])+2:], "\n")
		out = append(out, bound{path, f[6]})
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
func (p *Policy) sockets(list []bound, met []string) error {
	for _, s := range list {
		for _, path := range s.resolve() {
			if !p.visible(path) {
				continue
			}
			real, st, err := realPath(path)
			if err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
				continue // bound in another mount namespace, or gone
			}
			p.hide(real, false, "socket of the host")
		}
	}
	for _, path := range met {
		var st unix.Stat_t
		if p.isHidden(path) || unix.Lstat(path, &st) == nil && sandbox.IsPlaceholder(st.Mode) {
			continue
		}
		live, err := alive(path)
		if err != nil {
			return fmt.Errorf("socket %s: %w", path, err)
		}
		if live {
			p.hide(path, false, "socket of the host")
		}
	}
	return nil
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
