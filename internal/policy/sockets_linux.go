package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// A read-only mount does not keep anybody from connecting to a Unix socket, so
// sockets of the host that would be visible inside are masked one by one. Most
// lie in /run and /tmp, which are private anyway.

// hostSocket is the rule that hides a socket.
const hostSocket = "socket of the host"

// boundOutside says that no process of another pid namespace, such as the
// sandbox's, holds the socket: then it is the host's.
func boundOutside(inode string) bool {
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return true
	}
	for _, pid := range holders(map[string]bool{inode: true})[inode] {
		ns, err := os.Readlink(filepath.Join("/proc", pid, "ns/pid"))
		return err != nil || ns == ours
	}
	return true
}

// sockets masks those that are in use and visible.
func (p *Policy) sockets(met []string) error {
	list := append(listening(), <-p.elsewhere...)
	at := places(list)
	for _, paths := range at {
		for _, path := range paths {
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
	p.find(list, at)
	return nil
}

// find looks for the sockets that no name has led to.
func (p *Policy) find(list []bound, at [][]string) {
	hidden := map[uint32]int{}
	for _, e := range p.Hidden {
		hidden[uint32(e.file.Ino)]++
	}
	if p.lost = p.stray(list, at, hidden); len(p.lost) == 0 {
		return
	}
	if p.hunt = newHunt(p, p.lost); p.hunt == nil {
		return
	}
	p.hunt.look(time.Now().Add(huntFirst))
	for _, path := range p.hunt.take() {
		p.hide(path, false, hostSocket)
	}
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

// sockets gives masks for sockets that the host has bound since the last time.
// With a network namespace of its own the sandbox's are not in the list.
func (w *watch) sockets() (steps []sandbox.Step) {
	list := w.fresh(listening())
	if w.elsewhere.due() {
		list = append(list, w.fresh(elsewhere())...)
		w.elsewhere.asked()
	}
	list = slices.DeleteFunc(list, func(b bound) bool {
		return w.policy.Network.Host && b.of == "" && !boundOutside(b.inode)
	})
	at := places(list)
	for _, paths := range at {
		for _, path := range paths {
			steps = append(steps, w.around(path)...)
		}
	}
	hidden := map[uint32]int{}
	if len(list) > 0 {
		for _, file := range w.masked {
			hidden[uint32(file.Ino)]++
		}
	}
	w.lost = append(w.lost, w.policy.stray(list, at, hidden)...)
	return append(steps, w.hunted()...)
}

// fresh leaves out the sockets that were looked at before.
func (w *watch) fresh(list []bound) []bound {
	return slices.DeleteFunc(list, func(b bound) bool {
		known := w.bound[b.inode]
		w.bound[b.inode] = true
		return known
	})
}

// hunted gives masks for what hunts have found, and begins the next one when
// there is something to look for; they take a tenth of the time at most.
func (w *watch) hunted() (steps []sandbox.Step) {
	if h := w.policy.hunt; h != nil {
		when, took, left := h.ended()
		for _, path := range h.take() {
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && !w.holds(path, st) {
				steps = append(steps, w.mask(Entry{Path: path, Rule: hostSocket}))
			}
		}
		if left != "" && !w.told {
			w.told = true
			w.warn("sockets of the host that were not found, and may be in reach: %s", left)
		}
		if !h.isDone() && (took == 0 || time.Since(when) < 10*took) {
			return steps
		}
	}
	if len(w.lost) == 0 {
		return steps
	}
	w.policy.hunt, w.lost = newHunt(w.policy, w.lost), nil
	if w.policy.hunt != nil {
		w.policy.hunt.goOn()
	}
	return steps
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
