package gate

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sock is a connection without what package net does for each: both addresses
// asked for, options set that could be inherited, and while it is dialled a wait,
// two timers and a goroutine; all with system calls that wake the scheduler's
// watch (see readNow). A program that makes a connection for each request waits
// for all of that each time.
type sock struct{ *os.File }

// newSock takes over a descriptor, which does not block.
func newSock(fd int) sock { return sock{os.NewFile(uintptr(fd), "connection")} }

// CloseWrite says that nothing more will be sent.
func (s sock) CloseWrite() error {
	return s.control(func(fd uintptr) error {
		_, _, e := syscall.RawSyscall(unix.SYS_SHUTDOWN, fd, unix.SHUT_WR, 0)
		return failed(e)
	})
}

// SetLinger is net.TCPConn's.
func (s sock) SetLinger(seconds int) error {
	return s.control(func(fd uintptr) error {
		return unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: int32(seconds)})
	})
}

// LocalAddr gives a *net.TCPAddr.
func (s sock) LocalAddr() net.Addr { return s.addr(unix.Getsockname) }

// RemoteAddr gives a *net.TCPAddr.
func (s sock) RemoteAddr() net.Addr { return s.addr(unix.Getpeername) }

func (s sock) addr(get func(fd int) (unix.Sockaddr, error)) net.Addr {
	at := &net.TCPAddr{}
	s.control(func(fd uintptr) error {
		a, err := get(int(fd))
		switch a := a.(type) {
		case *unix.SockaddrInet4:
			at.IP, at.Port = a.Addr[:], a.Port
		case *unix.SockaddrInet6:
			at.IP, at.Port = a.Addr[:], a.Port
			if a.ZoneId != 0 {
				at.Zone = strconv.Itoa(int(a.ZoneId))
			}
		}
		return err
	})
	return at
}

func (s sock) control(do func(fd uintptr) error) error {
	c, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := c.Control(func(fd uintptr) { result = do(fd) }); err != nil {
		return err
	}
	return result
}

// A sockListener accepts connections on a descriptor that listens.
type sockListener struct {
	*os.File
	raw syscall.RawConn
}

// newSockListener takes over fd. What connections inherit from it is set here,
// once. Whoever is inside cannot vanish unseen, so they need no keep-alive.
func newSockListener(fd int) (*sockListener, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1); err != nil {
		return nil, err
	}
	l := &sockListener{File: os.NewFile(uintptr(fd), "sandbox")}
	var err error
	l.raw, err = l.SyscallConn()
	return l, err
}

// accept waits for the next connection. The error is net.ErrClosed once the
// listener is closed.
func (l *sockListener) accept() (Conn, error) {
	var fd uintptr
	var e syscall.Errno
	err := l.raw.Read(func(at uintptr) bool {
		fd, _, e = syscall.RawSyscall6(unix.SYS_ACCEPT4, at, 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		return e != unix.EAGAIN
	})
	switch {
	case err != nil:
		return nil, net.ErrClosed
	case e != 0:
		return nil, e
	}
	return newSock(int(fd)), nil
}

// dialOptions are what a connection to the outside has, as with dialNet.
var dialOptions = [...]struct{ level, name, value int }{
	{unix.SOL_TCP, unix.TCP_NODELAY, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.SOL_TCP, unix.TCP_KEEPIDLE, int(quietBefore / time.Second)},
	{unix.SOL_TCP, unix.TCP_KEEPINTVL, int(quietInterval / time.Second)},
	{unix.SOL_TCP, unix.TCP_KEEPCNT, quietProbes},
}

// dialTCP connects to an address. ctx ends it while it waits.
func dialTCP(ctx context.Context, to netip.AddrPort) (Conn, error) {
	if to.Addr().Zone() != "" {
		return dialNet(ctx, to) // rare: the caller's proxy by a link-local address
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for _, o := range dialOptions {
		value := int32(o.value)
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name), uintptr(unsafe.Pointer(&value)), 4, 0)
	}
	err = connectNow(uintptr(fd), to)
	if err == unix.EINPROGRESS {
		err = connectNow(uintptr(fd), to) // on this machine it is over already
	}
	s := newSock(fd) // now, so that the poller never sees it unconnected
	if err == unix.EALREADY {
		err = s.connected(ctx, to)
	}
	if err == nil && s.LocalAddr().(*net.TCPAddr).AddrPort() == to {
		err = unix.ECONNREFUSED // nobody listens there, and the port was ours to take: TCP connects it with itself
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connected waits for the end of connect(2).
func (s sock) connected(ctx context.Context, to netip.AddrPort) error {
	c, err := s.SyscallConn()
	if err != nil {
		return err
	}
	until, _ := ctx.Deadline()
	s.SetWriteDeadline(until)
	stop := context.AfterFunc(ctx, func() { s.SetWriteDeadline(time.Unix(1, 0)) })
	var result error
	err = c.Write(func(fd uintptr) bool {
		result = connectNow(fd, to)
		return result != unix.EALREADY
	})
	switch {
	case !stop():
		return ctx.Err()
	case err != nil:
		return err
	}
	s.SetWriteDeadline(time.Time{})
	return result
}

// connectNow begins to connect, or says what became of it: EALREADY is nothing
// yet.
func connectNow(fd uintptr, to netip.AddrPort) error {
	var at [unix.SizeofSockaddrInet6]byte // or a sockaddr_in, which begins alike
	size := unix.SizeofSockaddrInet6
	binary.BigEndian.PutUint16(at[2:], to.Port())
	if to.Addr().Is4() {
		size = unix.SizeofSockaddrInet4
		binary.NativeEndian.PutUint16(at[:], unix.AF_INET)
		ip := to.Addr().As4()
		copy(at[4:], ip[:])
	} else {
		binary.NativeEndian.PutUint16(at[:], unix.AF_INET6)
		ip := to.Addr().As16()
		copy(at[8:], ip[:])
	}
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&at)), uintptr(size))
	return failed(e)
}

func failed(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}
