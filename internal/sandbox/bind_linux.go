package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Unix socket that lies where another sandbox of the same user can see it (a
// project is visible in all of them, caches are writable in all) hands open
// folders from one to the other. In the other's mount namespace what is masked
// and protected here is no mount point, and can be renamed by such a folder.
// Connecting cannot be judged (an address may come with every sendmsg), but a
// socket is in nobody's reach by path until it is bound. So every bind(2) is
// done here, unix(7):
//
//   - by path, in a folder that only this sandbox has (its /tmp, or one that a
//     namespace inside made): as it was asked for
//   - by path, elsewhere: the socket is bound in the sandbox's /tmp, and a
//     symlink leads there from the place that was asked for. Inside the socket
//     works; outside, and in other sandboxes, the link leads nowhere
//   - anything else: as it was asked for
//
// Abstract names are kept apart by Landlock or the network namespace.

// bind does what one call asked for, and gives its errno.
func (s *calls) bind(n *notification) syscall.Errno {
	if size := int32(n.args[2]); size < 0 || size > maxAddress {
		return unix.EINVAL
	}
	addr, errno := readMemory(int(n.pid), uintptr(n.args[1]), int(int32(n.args[2])), -1)
	if errno != 0 {
		return errno
	}
	sock, errno := s.descriptorOf(n, int(int32(n.args[0])))
	if errno != 0 {
		return errno
	}
	defer unix.Close(sock)
	domain, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err.(syscall.Errno) // ENOTSOCK
	}
	if domain == unix.AF_UNIX && len(addr) > pathAt && addr[pathAt] != 0 {
		return s.bindPath(n, sock, addr)
	}
	if s.plan.OwnNet && !s.mayBindTo(sock, domain, addr) {
		return unix.EACCES
	}
	withoutCapabilities(func() { errno = bindRaw(sock, addr) })
	return errno
}

const (
	maxAddress = 128 // struct sockaddr_storage; more is EINVAL
	pathAt     = 2   // of struct sockaddr_un
	maxPath    = 108
)

// descriptorOf gives the supervisor a descriptor of the caller's.
func (s *calls) descriptorOf(n *notification, which int) (int, syscall.Errno) {
	const thread = unix.O_EXCL // PIDFD_THREAD, Linux 6.9
	pidfd, err := unix.PidfdOpen(int(n.pid), thread)
	if err == unix.EINVAL {
		leader, e := strconv.Atoi(n.status("Tgid"))
		if e != nil {
			return -1, unix.EPERM
		}
		pidfd, err = unix.PidfdOpen(leader, 0)
	}
	if err != nil {
		return -1, unix.EPERM
	}
	defer unix.Close(pidfd)
	if !s.stillAsking(n) {
		return -1, unix.EPERM
	}
	sock, err := unix.PidfdGetfd(pidfd, which, 0)
	if err == unix.EBADF {
		return -1, unix.EBADF
	} else if err != nil {
		return -1, unix.EPERM
	}
	return sock, 0
}

// mayBindTo says, for a network namespace of the sandbox's own, what the kernel
// would have asked the caller and does not ask the supervisor, who owns it: low
// ports, and netlink groups that are not everybody's. Nobody inside has a
// capability over that namespace. Over one that was made inside somebody has.
func (s *calls) mayBindTo(sock, domain int, addr []byte) bool {
	switch {
	case (domain == unix.AF_INET || domain == unix.AF_INET6) && len(addr) >= 4:
		port := binary.BigEndian.Uint16(addr[2:])
		return port == 0 || port >= 1024 || s.otherNetwork(sock)
	case domain == unix.AF_NETLINK && len(addr) >= unix.SizeofSockaddrNetlink:
		groups := binary.NativeEndian.Uint32(addr[8:])
		family, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		everybodys := family == unix.NETLINK_ROUTE || family == unix.NETLINK_KOBJECT_UEVENT || family == unix.NETLINK_GENERIC
		return err == nil && (groups == 0 || everybodys || s.otherNetwork(sock))
	}
	return true
}

// otherNetwork says that a socket is of another network namespace than the
// sandbox's own, which has the same owner as the sandbox's mounts: a user
// namespace in which none of the payload's processes is.
func (s *calls) otherNetwork(sock int) bool {
	ns, err := unix.IoctlRetInt(sock, unix.SIOCGSKNS)
	if err != nil {
		return false
	}
	defer unix.Close(ns)
	owner, err := ownerOf(ns)
	if err != nil {
		return false
	}
	own, err := ownerOf(s.mnt)
	return err == nil && owner != own
}

// ownerOf is the inode of the user namespace that owns a namespace.
func ownerOf(ns int) (inode uint64, err error) {
	owner, err := unix.IoctlRetInt(ns, unix.NS_GET_USERNS)
	if err != nil {
		return 0, err
	}
	defer unix.Close(owner)
	var st unix.Stat_t
	err = unix.Fstat(owner, &st)
	return st.Ino, err
}

// bindRaw is bind(2) with an address as it came.
func bindRaw(sock int, addr []byte) syscall.Errno {
	addr = append(addr, 0) // never empty
	_, _, e := unix.Syscall(unix.SYS_BIND, uintptr(sock), uintptr(unsafe.Pointer(&addr[0])), uintptr(len(addr)-1))
	return e
}

// withoutCapabilities runs do with the rights of a caller who is root but has no
// capability. The goroutine must be locked to its thread.
func withoutCapabilities(do func()) {
	if os.Geteuid() != 0 {
		do()
		return
	}
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if unix.Capget(&h, &had[0]) != nil {
		return
	}
	none := had
	none[0].Effective, none[1].Effective = 0, 0
	if unix.Capset(&h, &none[0]) != nil {
		return
	}
	do()
	if err := unix.Capset(&h, &had[0]); err != nil {
		panic(fmt.Sprintf("take capabilities back: %v", err))
	}
}
