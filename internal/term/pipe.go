package term

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Mask has f filter all that the payload writes. An output that is no terminal becomes a pipe to us then: of a
// descriptor of the caller's own the payload could make another, unfiltered one through /proc/self/fd. Two that are one
// outside stay one, so that the order of what is written to them stays. It comes before the sandbox is begun.
func (c *Caller) Mask(f Filter) error {
	c.Filter = f
	for n := 1; n <= 2; n++ {
		if c.OnPTY(n) || c.files[n] != standard(n) || isNull(n) {
			continue
		}
		if n == 2 && c.files[1] != nil && c.files[1] != standard(1) && same(1, 2) {
			c.files[2] = c.files[1]
			continue
		}
		p, err := newPipe(n)
		if err != nil {
			return fmt.Errorf("%s: %w", names[n], err)
		}
		c.files[n], c.pipes = p.w, append(c.pipes, p)
	}
	return nil
}

func isNull(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == nullDevice
}

// same says that two descriptors lead to the same file.
func same(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// A pipe takes what the payload writes to a descriptor of the caller's.
type pipe struct {
	to   int
	r, w *os.File
	done chan struct{} // closed when all has been delivered; nil until start
	lost atomic.Pointer[error]
}

// Write delivers to the caller's descriptor. A reader that has gone is no error: the payload hears of it.
func (p *pipe) Write(b []byte) (int, error) {
	n, err := descriptor(p.to).Write(b)
	if err != nil && err != unix.EPIPE {
		p.lost.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Lost is why something that the payload wrote to a descriptor could not be delivered: without us the payload itself
// would have known, and the status with which it ends. It is for when the session has finished.
func (c *Caller) Lost() error {
	for _, p := range c.pipes {
		if err := p.lost.Load(); err != nil {
			return fmt.Errorf("%s: %w", names[p.to], *err)
		}
	}
	return nil
}

func newPipe(to int) (*pipe, error) {
	var p [2]int
	if err := makePipe(&p); err != nil {
		return nil, err
	}
	// Reading can be interrupted; the other end is the payload's, and blocks as programs expect.
	if err := unix.SetNonblock(p[0], true); err != nil {
		return nil, err
	}
	return &pipe{to: to, r: os.NewFile(uintptr(p[0]), "output"), w: os.NewFile(uintptr(p[1]), "output")}, nil
}

// start prepares to deliver. The payload has the end to write to by now; the last of its copies ends with the sandbox.
func (p *pipe) start() {
	p.w.Close()
	p.done = make(chan struct{})
}

// run closes the pipe when the reader has gone: the payload is told the way it would be without us (SIGPIPE, EPIPE).
func (p *pipe) run(to io.WriteCloser) {
	defer close(p.done)
	defer p.r.Close()
	buf := make([]byte, 64<<10)
	ending := false
	for {
		if ending {
			p.r.SetReadDeadline(time.Now().Add(lastWait))
		}
		n, err := p.r.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !ending:
			ending = true
		default:
			to.Close()
			return
		}
	}
}

// finish waits until all has been delivered, unless somebody gives up on it. Nobody writes any more, but where a
// descriptor has been passed out of the sandbox.
func (p *pipe) finish(giveUp <-chan struct{}) {
	if p.done == nil {
		return
	}
	p.r.SetReadDeadline(past)
	select {
	case <-p.done:
	case <-giveUp:
	}
}

// A descriptor is written to as it is: it may be shared with others, who know whether it blocks. Unlike an os.File it
// does not end us when its reader has gone (SIGPIPE in os/signal).
type descriptor int

func (d descriptor) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, err := unix.Write(int(d), b[done:])
		switch {
		case err == unix.EAGAIN:
			fds := []unix.PollFd{{Fd: int32(d), Events: unix.POLLOUT}}
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				return done, err
			}
		case err == unix.EINTR:
		case err != nil:
			return done, err
		default:
			done += n
		}
	}
	return len(b), nil
}
