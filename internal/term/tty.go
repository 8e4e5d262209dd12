package term

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// tty is the caller's terminal while the payload has a pty.
type tty struct {
	*os.File      // opened by ourselves, so that O_NONBLOCK is ours too
	fd       int  // the caller's descriptor, for everything but reading and writing
	shared   bool // File is fd after all: O_NONBLOCK only while raw
	output   bool // a neighbour in a pipeline writes to it as well: leave output processing on
	raw      atomic.Bool
	before   unix.Termios // what restore restores
	kept     bool         // before is still right, although the terminal is not raw
}

func openTTY(fd int, output bool) (*tty, error) {
	t := &tty{fd: fd, output: output}
	path := nameOf(fd)
	const flags = unix.O_RDWR | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	own, err := unix.Open(path, flags, 0)
	if err != nil {
		if own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return nil, fmt.Errorf("the terminal: %w", err)
		}
		t.shared = true
		unix.SetNonblock(own, true)
	}
	t.File = os.NewFile(uintptr(own), path)
	return t, nil
}

// enterRaw makes every key a byte for the payload. In the background this stops us (SIGTTOU), as it should.
func (t *tty) enterRaw() error {
	if !t.raw.Load() && !t.kept {
		modes, err := t.modes()
		if err != nil {
			return err
		}
		t.before = *modes
	}
	raw := t.before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if !t.output {
		raw.Oflag &^= unix.OPOST
	}
	if err := t.set(&raw); err != nil {
		return err
	}
	t.raw.Store(true)
	t.kept = false
	if t.shared {
		unix.SetNonblock(t.fd, true)
	}
	return nil
}

func (t *tty) restore() error {
	if t.shared {
		unix.SetNonblock(t.fd, false)
	}
	if !t.raw.Swap(false) {
		return nil
	}
	return t.set(&t.before)
}

// read waits for keys, and reads them unless the terminal has become another group's in the meantime: to read in the
// background would stop us, for keys that are not ours.
func (t *tty) read(buf []byte) (n int, err error) {
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	ready := raw.Read(func(fd uintptr) bool {
		if !inForeground(t.fd) {
			err = errLost
			return true
		}
		for n, err = unix.Read(int(fd), buf); err == unix.EINTR; {
			n, err = unix.Read(int(fd), buf)
		}
		return err != unix.EAGAIN
	})
	switch {
	case ready != nil:
		return 0, ready
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// lose is for when somebody stopped us and took the terminal before we could restore it.
func (t *tty) lose() {
	t.raw.Store(false)
	t.kept = true
}

func (t *tty) modes() (*unix.Termios, error) {
	modes, err := unix.IoctlGetTermios(t.fd, getModes)
	if err != nil {
		err = fmt.Errorf("the terminal's modes: %w", err)
	}
	return modes, err
}

func (t *tty) set(modes *unix.Termios) error {
	for {
		err := unix.IoctlSetTermios(t.fd, setModes, modes)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fmt.Errorf("the terminal's modes: %w", err)
		}
	}
}

// bare says whether a line needs a carriage return of its own.
func (t *tty) bare() bool { return t.raw.Load() && !t.output }

// hungUp says whether the terminal has gone.
func (t *tty) hungUp() bool {
	_, err := unix.IoctlGetTermios(t.fd, getModes)
	return err == unix.EIO
}

// control runs an ioctl on the pty; after it has been closed, it does nothing.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// pollable takes over f as a file of which reads and writes can be interrupted.
func pollable(f *os.File) (*os.File, error) {
	var own int
	err := control(f, func(fd int) (err error) {
		if own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return err
		}
		return unix.SetNonblock(own, true)
	})
	if err != nil {
		return nil, fmt.Errorf("the pty: %w", err)
	}
	f.Close()
	return os.NewFile(uintptr(own), "pty"), nil
}
