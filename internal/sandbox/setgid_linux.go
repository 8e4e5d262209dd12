package sandbox

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The setgid bit of a program lends its group's rights; the one of a folder says
// that what is made in it belongs to the folder's group, and repositories that a
// group shares (git-init(1), --shared) are made of such folders. A filter sees the
// mode and not what it is for. So chmod(2) with that bit is done here, by an open
// folder: what is none is refused.

// chmod does what one call asked for, and gives its errno.
func (s *calls) chmod(n *notification, t *table) syscall.Errno {
	switch uint32(n.nr) {
	case t.fchmod:
		return s.chmodOpen(n, int(int32(n.args[0])), uint32(n.args[1]))
	case t.chmod:
		return s.chmodPath(n, unix.AT_FDCWD, n.args[0], uint32(n.args[1]), 0)
	case t.fchmodat:
		return s.chmodPath(n, int(int32(n.args[0])), n.args[1], uint32(n.args[2]), 0)
	}
	return s.chmodPath(n, int(int32(n.args[0])), n.args[1], uint32(n.args[2]), int(int32(n.args[3])))
}

// chmodOpen does it by a descriptor of the caller's.
func (s *calls) chmodOpen(n *notification, fd int, mode uint32) (errno syscall.Errno) {
	own, errno := s.descriptorOf(n, fd)
	if errno != 0 {
		return errno
	}
	defer unix.Close(own)
	var st unix.Stat_t
	if err := unix.Fstat(own, &st); err != nil {
		return errnoOf(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.EPERM
	}
	errno = unix.EPERM
	withoutCapabilities(func() { errno = errnoOf(unix.Fchmod(own, mode&0o7777)) })
	return errno
}

// chmodPath does it by a path, in the caller's view of the file system and with
// no more rights than the caller's.
func (s *calls) chmodPath(n *notification, at int, name uint64, mode uint32, flags int) syscall.Errno {
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return unix.EINVAL
	}
	text, errno := readMemory(int(n.pid), uintptr(name), unix.PathMax, 0)
	if errno != 0 {
		return errno
	}
	path := string(text)
	switch {
	case path == "" && flags&unix.AT_EMPTY_PATH != 0 && at != unix.AT_FDCWD:
		return s.chmodOpen(n, at, mode)
	case path == "":
		return unix.ENOENT
	}
	if path[0] != '/' && at != unix.AT_FDCWD {
		own, errno := s.descriptorOf(n, at)
		if errno != 0 {
			return errno
		}
		defer unix.Close(own)
		at = own
	}
	c, err := n.caller()
	defer c.close()
	if err != nil || !s.stillAsking(n) {
		return unix.EPERM
	}
	b := binding{caller: c, pid: n.innerPID()}
	how := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	if flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		how |= unix.O_NOFOLLOW
	}
	_, err = helper(c.ns, func(in *inner) {
		p := &in.setup
		p.joinMounts(c.ns)
		c.enter(p)
		h := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		p.call("give capabilities up", unix.SYS_CAPSET, ptrArg(p, h), ptrArg(p, &[2]unix.CapUserData{}))
		dir := p.newReg()
		p.call("open "+path, unix.SYS_OPENAT, at, b.readable(path), how, 0).into(dir)
		p.call("chmod "+path, unix.SYS_FCHMOD, dir, int(mode&0o7777))
	}, nil, nil)
	if errno = errnoOf(err); errno == unix.ENOTDIR || errno == unix.ELOOP {
		return unix.EPERM // a file, or a link that is not to be followed
	}
	return errno
}
