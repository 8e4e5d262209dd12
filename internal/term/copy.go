package term

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// past interrupts a read or a write that waits.
var past = time.Unix(1, 0)

// output copies from the pty to the terminal. What a slow terminal does not take, the payload has to wait with.
type output struct {
	pty    *os.File
	to     io.WriteCloser
	failed func()        // the terminal takes nothing any more
	drains chan drain    // asks for what is in the pty by now
	done   chan struct{} // closed when the pty has ended
}

type drain struct {
	last    bool // nobody writes any more: until the pty ends
	drained chan struct{}
}

const (
	// inPTY is more than a pty holds (some 20 KB). More cannot have been written by a payload that is stopped, only by others.
	inPTY = 64 << 10
	// lastWait is how long the pty may be silent at the end without ending: it does at once unless somebody outside
	// of the sandbox still holds the slave.
	lastWait = 200 * time.Millisecond
)

func (o *output) run() {
	defer close(o.done)
	defer o.to.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := o.pty.Read(buf)
		o.deliver(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			d := <-o.drains
			if d.last {
				o.toTheEnd(buf)
				return
			}
			o.pty.SetReadDeadline(time.Time{})
			err = o.empty(buf)
			if f, ok := o.to.(interface{ Flush() error }); ok {
				f.Flush()
			}
			close(d.drained)
		}
		if err != nil {
			return
		}
	}
}

func (o *output) deliver(b []byte) {
	if len(b) == 0 {
		return
	}
	if _, err := o.to.Write(b); err != nil {
		o.failed()
	}
}

// empty delivers what can be read without waiting. The kernel flushes what is on its way from the slave before it says
// that there is nothing.
func (o *output) empty(buf []byte) error {
	raw, err := o.pty.SyscallConn()
	for total := 0; err == nil && total < inPTY; {
		n := 0
		var rerr error
		err = raw.Read(func(fd uintptr) bool {
			n, rerr = unix.Read(int(fd), buf)
			return true
		})
		if rerr == unix.EAGAIN {
			return nil
		}
		if err == nil && rerr != unix.EINTR {
			err = rerr
		}
		if n > 0 {
			o.deliver(buf[:n])
			total += n
		}
	}
	return err
}

func (o *output) toTheEnd(buf []byte) {
	for {
		o.pty.SetReadDeadline(time.Now().Add(lastWait))
		n, err := o.pty.Read(buf)
		o.deliver(buf[:n])
		if err != nil {
			return
		}
	}
}

// drain returns when everything written so far has been delivered; after the last, nothing is copied any more.
func (o *output) drain(last bool) {
	d := drain{last, make(chan struct{})}
	select {
	case o.drains <- d:
	case <-o.done:
		return
	}
	o.pty.SetReadDeadline(past)
	select {
	case <-d.drained:
	case <-o.done:
	}
}

// input copies keys to the pty, while it may. A payload that does not read them holds up nothing else.
type input struct {
	pty    *os.File
	from   *tty
	lost   func() // the terminal is another group's
	failed func() // the terminal has gone

	mu    sync.Mutex // held while reading, so that nothing is read any more once pause has returned
	wake  sync.Cond
	open  bool
	ended bool
}

var (
	errEnded = errors.New("no more input is to be read")
	errLost  = errors.New("the terminal is another's")
)

func (in *input) run() {
	buf := make([]byte, 4<<10)
	for {
		n, err := in.read(buf)
		if n > 0 {
			if _, werr := in.pty.Write(buf[:n]); werr != nil {
				return
			}
		}
		switch {
		case err == nil:
		case err == errEnded:
			return
		case err == errLost:
			in.lost()
		case err == io.EOF && !in.from.hungUp(): // somebody undid our raw mode and typed Ctrl-D
			time.Sleep(10 * time.Millisecond)
		default:
			in.failed()
			return
		}
	}
}

func (in *input) read(buf []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.open && !in.ended {
		in.wake.Wait()
	}
	if in.ended {
		return 0, errEnded
	}
	n, err := in.from.read(buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		in.open, err = false, nil
	case err == errLost:
		in.open = false
	}
	return n, err
}

func (in *input) pause() {
	in.from.SetReadDeadline(past)
	in.mu.Lock()
	in.open = false
	in.mu.Unlock()
}

// resume may follow a pause only; before, it would wait for the next key.
func (in *input) resume() {
	in.from.SetReadDeadline(time.Time{})
	in.mu.Lock()
	in.open = true
	in.mu.Unlock()
	in.wake.Broadcast()
}

func (in *input) end() {
	in.from.SetReadDeadline(past)
	in.pty.SetWriteDeadline(past)
	in.mu.Lock()
	in.ended = true
	in.mu.Unlock()
	in.wake.Broadcast()
}
