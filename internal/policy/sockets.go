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
	for line := range strings.SplitSeq(string(b), "\n") {
		// Num RefCount Protocol Flags Type St Inode Path
		if i := strings.IndexByte(line, '/'); i > 0 && !strings.Contains(line[:i], "@") {
			f := strings.Fields(line[:i])
			out = append(out, bound{line[i:], f[len(f)-1]})
		}
	}
	return out
}

// boundOutside says that no process of another pid namespace, such as the
// sandbox's, holds the socket: then it is the host's.
func boundOutside(inode string) bool {
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return true
	}
	holders, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range holders {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		ns, err := os.Readlink(filepath.Join(filepath.Dir(filepath.Dir(fd)), "ns/pid"))
		return err != nil || ns == ours
	}
	return true
}

// sockets masks those that are in use and visible.
func (p *Policy) sockets(list []bound, met []string) error {
	for _, s := range list {
		path := s.path
		if !p.visible(path) {
			continue
		}
		real, st, err := realPath(path)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			continue // bound in another mount namespace, or gone
		}
		p.hide(real, false, "socket of the host")
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
