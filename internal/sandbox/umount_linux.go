package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A file that is a mount point cannot be renamed or removed, but the kernel
// looks for mount points in the caller's own mount namespace alone. So a payload
// that keeps a folder open, makes a mount namespace of its own, and throws the
// old tree away there (pivot_root, then umount2 with MNT_DETACH, as every
// container program does) could rename what is masked and protected, by the
// open folder: the masks are nowhere in its namespace any more.
//
// Only a lazy umount takes mounts that hold others out of a namespace (single
// masks are locked there, mount_namespaces(7)). The filter leaves those calls
// to the supervisor, which does for the payload what it asked for, with the
// payload's own rights and in its namespace, but for one thing: the tree is
// moved to a place where nobody sees it, beneath another mount, instead of
// being let go. A sandbox inside the sandbox sees no difference, and the masks
// stay mount points of its namespace as long as that exists.
//
// umount does what one call asked for, and gives its errno.
func (s *calls) umount(n *notification) syscall.Errno {
	ns, err := os.Readlink(n.proc("ns/mnt"))
	if err != nil || ns == s.mntns || !n.mayMount() {
		return unix.EPERM // in the sandbox's own namespace nobody has the right
	}
	b, errno := readMemory(int(n.pid), uintptr(n.args[0]), unix.PathMax, 0)
	if errno != 0 {
		return errno
	}
	path := string(b)
	c, err := n.caller()
	defer c.close()
	if err != nil {
		return unix.EPERM
	}
	cover, err := hidingPlace(c.root, path)
	if err != nil {
		return unix.EBUSY
	}
	if !s.stillAsking(n) {
		return unix.EPERM
	}
	return keepTree(c, topmost(c, path), n.args[1], cover)
}

// topmost gives a path that leads where umount(2) goes for a path that is the
// root itself: to the uppermost of the mounts stacked there, as after
// pivot_root(".", "."). Opening "." or "/" stays below them; ".." of the root
// does not.
func topmost(c caller, path string) string {
	clean := filepath.Clean(path)
	var root, cwd unix.Statx_t
	for fd, st := range map[int]*unix.Statx_t{c.root: &root, c.cwd: &cwd} {
		if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, st) != nil {
			return path
		}
	}
	atRoot := root.Mnt_id == cwd.Mnt_id && root.Ino == cwd.Ino
	switch {
	case clean == "/":
		return "/.."
	case clean == "." && path != "" && atRoot:
		return ".."
	}
	return path
}

// hidingPlace chooses a folder below the caller's root whose mount the tree can
// lie beneath. It must not be the one that is to go.
func hidingPlace(root int, target string) (string, error) {
	base := "/proc/self/fd/" + strconv.Itoa(root)
	fits := func(name string) bool {
		st, err := os.Lstat(filepath.Join(base, name))
		return err == nil && st.IsDir() && filepath.Base(filepath.Clean(target)) != name
	}
	for _, name := range []string{"proc", "dev", "sys", "run", "tmp", "usr", "etc"} {
		if fits(name) {
			return "/" + name, nil
		}
	}
	entries, err := os.ReadDir(base + "/")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if fits(e.Name()) {
			return "/" + e.Name(), nil
		}
	}
	return "", os.ErrNotExist
}

// keepTree moves the mount at path, with all that is mounted in it, beneath the
// mount at cover. It runs in a forked child that has joined the caller's
// namespaces and so has its rights and no more.
func keepTree(c caller, path string, flags uint64, cover string) syscall.Errno {
	err := join(c.ns, &Plan{}, func(p *program) {
		c.enter(p)
		how := unix.O_PATH | unix.O_CLOEXEC
		if flags&unix.UMOUNT_NOFOLLOW != 0 {
			how |= unix.O_NOFOLLOW
		}
		target, top := p.newReg(), p.newReg()
		p.call("open", unix.SYS_OPENAT, unix.AT_FDCWD, path, how, 0).into(target)
		p.call("copy the cover", unix.SYS_OPEN_TREE, unix.AT_FDCWD, cover, openTreeFlags).into(top)
		p.call("move the tree", unix.SYS_MOVE_MOUNT, target, "", unix.AT_FDCWD, cover, unix.MOVE_MOUNT_F_EMPTY_PATH)
		p.call("cover the tree", unix.SYS_MOVE_MOUNT, top, "", unix.AT_FDCWD, cover, unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
	return errnoOf(err)
}

// errnoOf is what the caller is told of a failed helper.
func errnoOf(err error) syscall.Errno {
	setup, ok := err.(*SetupError)
	switch {
	case err == nil:
		return 0
	case ok:
		return setup.Errno
	}
	return unix.EPERM
}
