package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

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
type umounts struct {
	listener int
	mntns    string // the sandbox's own, as readlink shows it
	stopped  [2]int
	done     chan struct{} // nil before start
}

// The kernel's structures, seccomp_unotify(2).
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

const (
	notifyRecv    = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifySend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	notifyIDValid = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
)

// serveUmounts prepares to answer what arrives on the listener.
func serveUmounts(listener, mntns int) (*umounts, error) {
	u := &umounts{listener: listener}
	var err error
	if u.mntns, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(mntns)); err != nil {
		return nil, fmt.Errorf("name the sandbox's mounts: %w", err)
	}
	return u, nil
}

// descriptor is readable when a process asks, -1 when nobody can.
func (u *umounts) descriptor() int32 {
	if u == nil {
		return -1
	}
	return int32(u.listener)
}

// start begins to answer.
func (u *umounts) start() error {
	if u == nil {
		return nil
	}
	if err := unix.Pipe2(u.stopped[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("serve umounts: %w", err)
	}
	u.done = make(chan struct{})
	go u.serve()
	return nil
}

func (u *umounts) stop() {
	if u == nil {
		return
	}
	if u.done != nil {
		unix.Write(u.stopped[1], []byte{0})
		<-u.done
		unix.Close(u.stopped[0])
		unix.Close(u.stopped[1])
	}
	unix.Close(u.listener)
}

func (u *umounts) serve() {
	defer close(u.done)
	for {
		fds := []unix.PollFd{{Fd: int32(u.listener), Events: unix.POLLIN}, {Fd: int32(u.stopped[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[1].Revents != 0 || fds[0].Revents&unix.POLLIN == 0 {
			return // told to stop, or no process is left that could ask
		}
		var n notification
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(u.listener), notifyRecv, uintptr(unsafe.Pointer(&n))); e != 0 {
			continue // the caller was killed meanwhile
		}
		a := answer{id: n.id}
		if e := u.umount(&n); e != 0 {
			a.errno = -int32(e)
		}
		unix.Syscall(unix.SYS_IOCTL, uintptr(u.listener), notifySend, uintptr(unsafe.Pointer(&a)))
	}
}

// caller is the process that asked, as far as it matters here.
type caller struct {
	ns, root, cwd int
}

func (c caller) close() {
	for _, fd := range []int{c.ns, c.root, c.cwd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// umount does what one call asked for, and gives its errno.
func (u *umounts) umount(n *notification) syscall.Errno {
	proc := "/proc/" + strconv.Itoa(int(n.pid))
	ns, err := os.Readlink(proc + "/ns/mnt")
	if err != nil || ns == u.mntns || !mayMount(proc) {
		return unix.EPERM // in the sandbox's own namespace nobody has the right
	}
	path, errno := readPath(int(n.pid), uintptr(n.args[0]))
	if errno != 0 {
		return errno
	}
	c := caller{-1, -1, -1}
	defer c.close()
	for _, f := range []struct {
		fd   *int
		name string
		flag int
	}{{&c.ns, "/ns/mnt", unix.O_RDONLY}, {&c.root, "/root", unix.O_PATH | unix.O_DIRECTORY}, {&c.cwd, "/cwd", unix.O_PATH | unix.O_DIRECTORY}} {
		if *f.fd, err = unix.Open(proc+f.name, f.flag|unix.O_CLOEXEC, 0); err != nil {
			return unix.EPERM
		}
	}
	cover, err := hidingPlace(c.root, path)
	if err != nil {
		return unix.EBUSY
	}
	// The pid may have been another process's by the time we looked.
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(u.listener), notifyIDValid, uintptr(unsafe.Pointer(&n.id))); e != 0 {
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

// mayMount says that the process has CAP_SYS_ADMIN in the user namespace that
// owns its mount namespace.
func mayMount(proc string) bool {
	mnt, err := unix.Open(proc+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(mnt)
	owner, err := unix.IoctlRetInt(mnt, unix.NS_GET_USERNS)
	if err != nil {
		return false
	}
	defer unix.Close(owner)
	var a, b unix.Stat_t
	if unix.Fstat(owner, &a) != nil || unix.Stat(proc+"/ns/user", &b) != nil || a.Ino != b.Ino {
		return false
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return false
	}
	_, caps, _ := strings.Cut(string(status), "CapEff:")
	caps, _, _ = strings.Cut(caps, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(caps), 16, 64)
	return err == nil && set&(1<<unix.CAP_SYS_ADMIN) != 0
}

// readPath copies a string argument out of the caller's memory, once.
func readPath(pid int, at uintptr) (string, syscall.Errno) {
	buf := make([]byte, unix.PathMax)
	for got := 0; got < len(buf); {
		// Not across a page that may not be there.
		want := min(len(buf)-got, 4096-int(at+uintptr(got))%4096)
		l := unix.Iovec{Base: &buf[got]}
		l.SetLen(want)
		n, err := unix.ProcessVMReadv(pid, []unix.Iovec{l}, []unix.RemoteIovec{{Base: at + uintptr(got), Len: want}}, 0)
		if err != nil || n <= 0 {
			return "", unix.EFAULT
		}
		if i := bytes.IndexByte(buf[got:got+n], 0); i >= 0 {
			return string(buf[:got+i]), 0
		}
		got += n
	}
	return "", unix.ENAMETOOLONG
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
		p.call("enter the caller's root", unix.SYS_FCHDIR, c.root)
		p.call("enter the caller's root", unix.SYS_CHROOT, ".")
		p.call("enter the caller's folder", unix.SYS_FCHDIR, c.cwd)
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
	var setup *SetupError
	switch {
	case err == nil:
		return 0
	case asSetup(err, &setup):
		return setup.Errno
	}
	return unix.EPERM
}

func asSetup(err error, to **SetupError) bool {
	s, ok := err.(*SetupError)
	*to = s
	return ok
}
