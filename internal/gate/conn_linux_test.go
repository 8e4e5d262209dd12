package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullListener is one whose queue takes nobody any more: who connects waits.
func fullListener(t *testing.T) (at netip.AddrPort, fd int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	a, _ := unix.Getsockname(fd)
	at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(a.(*unix.SockaddrInet4).Port))
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return at, fd
}

func TestDialWaits(t *testing.T) {
	at, fd := fullListener(t)
	before := census()
	soon, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if c, err := connect(soon, at); c != nil || err == nil || err.Error() != "connection timed out" {
		t.Errorf("past its time: %v, %v", c, err)
	}
	given, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if c, err := connect(given, at); c != nil || err == nil || err.Error() != "the run is over" {
		t.Errorf("given up: %v, %v", c, err)
	}
	before.compare(t)

	time.AfterFunc(50*time.Millisecond, func() {
		for range 2 { // the one that filled the queue, and ours
			if c, _, err := unix.Accept(fd); err == nil {
				unix.Write(c, []byte("hello"))
				unix.Close(c)
			}
		}
	})
	late, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	c, err := connect(late, at)
	cancel() // which is no longer about c
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 9)); n != 5 || err != nil {
		t.Error(n, err)
	}
}

// A port that nobody listens on, and that is there for whoever dials, answers
// nobody: not even itself, when the kernel has chosen it for the other end.
func TestDialItself(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), portOf(l)^1) // the kernel gives one half of them to bind(2), the other to connect(2)
	l.Close()
	for i := range 15000 {
		if c, err := connect(context.Background(), at); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(i, c, err)
		}
	}
}
