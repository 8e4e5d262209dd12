package gate

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// IPv6 says whether sockets of that family can be made at all.
func IPv6() bool { return has(unix.AF_INET6, unix.SOCK_STREAM, 0) }

// Serve connects what came to the servers inside, through sockets that more
// makes there: AF_INET6 with ipv6, which also reach IPv4 addresses.
func (p *Publisher) Serve(ipv6 bool, more func(n int) ([]int, error)) {
	in := &servers{ipv6: ipv6, more: more}
	for _, l := range p.listeners {
		go l.serve(in)
	}
}

func (l publishing) serve(in *servers) {
	slots := make(chan struct{}, mostConnections())
	for {
		slots <- struct{}{}
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-slots
			time.Sleep(20 * time.Millisecond) // out of descriptors or memory
			continue
		}
		go func() {
			defer func() { <-slots }()
			in.connect(c, l.inside)
		}()
	}
}

// servers are reached through sockets that are made as they are needed.
type servers struct {
	ipv6 bool
	more func(n int) ([]int, error)
	mu   sync.Mutex
	bare []int // sockets that wait for a connection
}

// atOnce is how many sockets are made at a time: that costs a forked process.
const atOnce = 16

func (in *servers) connect(outside *net.TCPConn, port uint16) {
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		c, err := in.dial(a, port)
		if err == nil {
			carry(outside, c)
			return
		}
		if !in.ipv6 {
			break
		}
	}
	outside.SetLinger(0) // as if nobody listened
	outside.Close()
}

// take gives a bare socket.
func (in *servers) take() (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.bare) == 0 {
		var err error
		done := make(chan struct{})
		go func() { // on a thread of its own, which forking uses up
			in.bare, err = in.more(atOnce)
			close(done)
		}()
		<-done
		if err != nil {
			return -1, err
		}
	}
	fd := in.bare[0]
	in.bare = in.bare[1:]
	return fd, nil
}

func (in *servers) dial(a netip.Addr, port uint16) (*net.TCPConn, error) {
	fd, err := in.take()
	if err != nil {
		return nil, err
	}
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}).As4(), Port: int(port)}
	if in.ipv6 {
		to = &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
	}
	err = unix.Connect(fd, to)
	f := os.NewFile(uintptr(fd), "inside") // now, so that the poller never sees it unconnected
	defer f.Close()
	if errors.Is(err, unix.EINPROGRESS) {
		err = connected(f)
	}
	if err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// connected waits for the end of connect(2).
func connected(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	f.SetWriteDeadline(time.Now().Add(10 * time.Second))
	var result error
	err = c.Write(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
			return false
		}
		e, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = err
		case e != 0:
			result = fmt.Errorf("connect: %w", syscall.Errno(e))
		}
		return true
	})
	return errors.Join(err, result)
}
