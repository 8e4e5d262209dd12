package sandbox

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bindPath binds by a path.
func (s *calls) bindPath(n *notification, sock int, addr []byte) syscall.Errno {
	if binary.NativeEndian.Uint16(addr) != unix.AF_UNIX || len(addr) > pathAt+maxPath {
		return unix.EINVAL
	}
	path, _, _ := strings.Cut(string(addr[pathAt:]), "\x00")
	if isBound(sock) {
		return unix.EINVAL
	}
	umask, err := strconv.ParseUint(n.status("Umask"), 8, 12)
	if err != nil {
		return unix.EPERM
	}
	c, err := n.caller()
	defer c.close()
	if err != nil || !s.stillAsking(n) {
		return unix.EPERM
	}
	ns, err := os.Readlink(n.proc("ns/mnt"))
	if err != nil {
		return unix.EPERM
	}
	b := binding{caller: c, sock: sock, umask: int(umask), pid: n.innerPID(), nested: ns != s.mntns}
	return errnoOfBind(b.run(s, path))
}

// isBound says that a Unix socket has a name; one without answers with its
// family alone.
func isBound(sock int) bool {
	var addr [maxAddress]byte
	size := int32(len(addr))
	_, _, e := unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(sock), ptrOf(&addr[0]), ptrOf(&size))
	return e != 0 || size > pathAt
}

// errnoOfBind: what the helper made for the socket stands where something is.
func errnoOfBind(err error) syscall.Errno {
	if e := errnoOf(err); e != unix.EEXIST {
		return e
	}
	return unix.EADDRINUSE
}

// innerPID is the caller's pid in its own namespace, which its /proc goes by.
func (n *notification) innerPID() string {
	f := strings.Fields(n.status("NSpid"))
	if len(f) == 0 {
		return ""
	}
	return f[len(f)-1]
}

// binding is a bind by path that the helper carries out in the caller's view of
// the file system.
type binding struct {
	caller
	sock   int
	umask  int
	pid    string // innerPID
	nested bool   // in a mount namespace that the payload made
}

// place is an open folder of the helper's and what it is.
type place struct {
	fd    reg
	stat  uintptr // struct stat
	statf uintptr // struct statfs
}

// ownFolders are where a sandbox has room of its own that everybody may write: the
// first, unless the user opened the host's.
var ownFolders = [...]string{"/tmp", "/var/tmp", "/run/lock"}

func (b *binding) run(s *calls, path string) error {
	dir, name := splitPath(path)
	if name == "" {
		return &SetupError{Step: "bind", Errno: unix.ENOENT}
	} else if name == "." || name == ".." {
		return &SetupError{Step: "bind", Errno: unix.EADDRINUSE}
	}
	var there place
	var own [len(ownFolders)]place
	_, err := helper(b.ns, func(in *inner) {
		p := &in.early
		p.joinMounts(b.ns)
		b.enter(p)
		if b.nested {
			// Others mount there, and must not while we bind.
			p.call("copy the caller's mounts", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
			p.call("make the copies private", unix.SYS_MOUNT, "", "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
		}
		there = lookAt(p, b.readable(dir), 0)
		for i, dir := range ownFolders {
			own[i] = lookAt(p, dir, 3)
		}
		in.handOver(p, msgReady)
		in.waitGo(p)
	}, func(in *inner) error {
		p := &in.setup
		if s.private(there) {
			b.bindIn(p, in.fdOf(there), path, name)
			return nil
		}
		i := slices.IndexFunc(own[:], s.private)
		if i < 0 {
			return &SetupError{Step: "bind", Errno: unix.EACCES}
		}
		hidden := ".aigate-" + strings.ToLower(rand.Text())
		p.call("leave a link to the socket", unix.SYS_SYMLINKAT, ownFolders[i]+"/"+hidden, in.fdOf(there), name)
		b.bindIn(p, in.fdOf(own[i]), ownFolders[i]+"/"+hidden, hidden)
		return nil
	}, nil)
	return err
}

// fdOf is the number that the helper has a folder by.
func (in *inner) fdOf(at place) int { return int(in.early.regs[at.fd]) }

// splitPath cuts a path before its last element, as the kernel does.
func splitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if dir = path[:i+1]; dir == "" {
		dir = "."
	}
	return dir, path[i+1:]
}

// readable replaces the caller's names for itself, which would be the helper's.
func (b *binding) readable(dir string) string {
	for _, self := range []string{"/proc/self/", "/proc/thread-self/"} {
		if rest, ok := strings.CutPrefix(dir, self); ok {
			return "/proc/" + b.pid + "/" + rest
		}
	}
	return dir
}

// lookAt appends the opening of a folder and the question of what it is. Where it
// may be missing, skip are the steps to leave out then.
func lookAt(p *program, dir string, skip int) place {
	at := place{fd: p.newReg(), stat: ptrArg(p, &unix.Stat_t{}), statf: ptrArg(p, &unix.Statfs_t{})}
	open := p.call("open "+dir, unix.SYS_OPENAT, unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0).into(at.fd)
	if skip > 0 {
		open.unless(skip-1, unix.ENOENT, unix.ENOTDIR, unix.EACCES)
	}
	p.call("look at "+dir, unix.SYS_FSTAT, at.fd, at.stat)
	p.call("look at "+dir, unix.SYS_FSTATFS, at.fd, at.statf)
	return at
}

// private says that a folder is of a file system in memory (or an overlay) that
// came into being inside this sandbox, and so is in no other's reach.
func (s *calls) private(at place) bool {
	st, statf := *(*unix.Stat_t)(address(at.stat)), *(*unix.Statfs_t)(address(at.statf))
	if statf.Type != unix.TMPFS_MAGIC && statf.Type != unix.OVERLAYFS_SUPER_MAGIC {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared == nil {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(s.pid1) + "/mountinfo")
		if err != nil {
			return false
		}
		s.shared = sharedDevices(string(text), s.plan)
	}
	return !s.shared[st.Dev]
}

// sharedDevices gives the file systems of the host that a sandbox's own mount
// namespace shows, from its mountinfo (proc_pid_mountinfo(5)): all but aigate's
// own and those at the plan's private folders; a file system of the host that
// lies beneath one of these and nowhere else is out of sight. What the payload mounts in namespaces of its own
// is not among them, and what is has been there since the start: nobody inside
// can mount or unmount in the sandbox's own.
func sharedDevices(mountinfo string, plan *Plan) map[uint64]bool {
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	own := map[string]bool{}
	for _, s := range plan.Steps {
		switch s.Kind {
		case Dev, Scratch, Kit:
			own[escape.Replace(s.Path)] = true
		case Root, Bind, Show:
			delete(own, escape.Replace(s.Path))
		}
	}
	shared, kit := map[uint64]bool{}, uint64(0)
	for line := range strings.Lines(mountinfo) {
		f := strings.SplitN(line, " ", 6) // id, parent, device, root, mount point, …
		if len(f) < 6 {
			continue
		}
		var major, minor uint32
		if n, _ := fmt.Sscanf(f[2], "%d:%d", &major, &minor); n != 2 {
			continue
		}
		dev := unix.Mkdev(major, minor)
		if f[4] == KitDir {
			kit = dev
		}
		if !own[f[4]] {
			shared[dev] = true
		}
	}
	delete(shared, kit) // of which every mask is a part
	return shared
}

// bindIn appends the binding of the socket to path such that it comes to lie in
// the folder dir, whatever the path leads to by now. The address of a socket is
// the string that bind(2) was given, so it has to be given path; but between our
// look and the call another thread may have put a link on the way. So the helper
// makes the whole path anew in a folder of its own, takes a copy of that folder's
// mount, in which nothing is mounted and nobody can mount, for its root, binds,
// and moves the socket, which goes with its inode, to its place.
func (b *binding) bindIn(p *program, dir int, path, name string) {
	h := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	const few = 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_SYS_ADMIN // none that opens a closed folder
	p.call("give capabilities up", unix.SYS_CAPSET, ptrArg(p, h), ptrArg(p, &[2]unix.CapUserData{{Effective: few, Permitted: few}}))
	f, work, root := p.newReg(), p.newReg(), p.newReg()
	p.call("take the name", unix.SYS_OPENAT, dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600).into(f)
	p.close(f)
	temp := ".aigate-" + strings.ToLower(rand.Text())
	p.call("make a folder", unix.SYS_MKDIRAT, dir, temp, 0o700)
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS}
	p.call("open it", unix.SYS_OPENAT2, dir, temp, ptrArg(p, how), int(unsafe.Sizeof(*how))).into(work)
	p.call("copy its mount", unix.SYS_OPEN_TREE, work, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH).into(root)
	a := &attr{Propagation: unix.MS_PRIVATE}
	p.call("make it private", unix.SYS_MOUNT_SETATTR, root, "", unix.AT_EMPTY_PATH, ptrArg(p, a), int(unsafe.Sizeof(*a)))
	p.call("enter it", unix.SYS_FCHDIR, root)
	p.call("enter it", unix.SYS_CHROOT, ".")
	way := prefixes(path)
	for _, dir := range way {
		p.call("make a folder", unix.SYS_MKDIRAT, unix.AT_FDCWD, dir, 0o700).unless(0, unix.EEXIST)
	}
	addr := append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), path+"\x00"...)
	p.call("umask", unix.SYS_UMASK, b.umask)
	p.call("bind", unix.SYS_BIND, b.sock, p.bytes(addr), min(len(addr), pathAt+maxPath))
	p.call("move the socket to its place", unix.SYS_RENAMEAT2, work, insideRoot(path), dir, name, 0)
	for i := len(way) - 1; i >= 0; i-- {
		p.call("remove a folder", unix.SYS_UNLINKAT, unix.AT_FDCWD, way[i], unix.AT_REMOVEDIR).unless(0, unix.ENOENT, unix.ENOTEMPTY, unix.EINVAL)
	}
	p.call("remove the folder", unix.SYS_UNLINKAT, dir, temp, unix.AT_REMOVEDIR).unless(0, unix.ENOENT, unix.ENOTEMPTY)
}

// insideRoot is a path of a process whose root and folder are the same, seen
// from that folder: nothing leads above it.
func insideRoot(path string) string { return relative(filepath.Clean("/" + path)) }

// prefixes gives the folders on the way to a path, outermost first.
func prefixes(path string) (out []string) {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' && path[i-1] != '/' {
			out = append(out, path[:i])
		}
	}
	return out
}

// errnoOf is what the caller is told of a failed helper.
func errnoOf(err error) syscall.Errno {
	switch e := err.(type) {
	case nil:
		return 0
	case *SetupError:
		return e.Errno
	case syscall.Errno:
		return e
	}
	return unix.EPERM
}
