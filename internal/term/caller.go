package term

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Caller is what descriptors 0, 1 and 2 are, and what the payload gets in their place.
type Caller struct {
	// Filter may be set before Start; see Mask.
	Filter Filter

	// Suspend may be set before Start. It is called before we stop like the payload, and gives what is to be called when
	// we go on. With an error we do not stop.
	Suspend func() (resumed func(), err error)

	files      [3]*os.File // nil: the payload gets the slave of the pty
	feed       *feed       // how a regular file reaches standard input, or nil
	pipes      []*pipe     // how filtered output that is no terminal reaches the caller
	terminal   int         // the first descriptor that is a terminal, or -1
	modes      unix.Termios
	foreground bool
	signals    *signals
}

var names = [3]string{"standard input", "standard output", "standard error"}

// Inspect looks at descriptors 0, 1 and 2.
func Inspect() (*Caller, error) {
	c := &Caller{terminal: -1}
	for n := range c.files {
		if err := c.inspect(n); err != nil {
			c.closeFiles()
			return nil, err
		}
	}
	return c, nil
}

// Listen starts to collect signals, which Start will deliver: until then, Ctrl-C ends us. It also looks at the terminal,
// which another job may have had since Inspect.
func (c *Caller) Listen() {
	if c.terminal >= 0 {
		if modes, err := unix.IoctlGetTermios(c.terminal, getModes); err == nil {
			c.modes = *modes
		}
		c.foreground = c.OnPTY(0) && c.OnPTY(1) && inForeground(c.terminal)
	}
	c.signals = collect(c.WantsPTY())
}

func (c *Caller) inspect(n int) error {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err == unix.EBADF {
		flags, err = openNull(n)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", names[n], err)
	}
	if flags&pathOnly != 0 {
		return fmt.Errorf("%s is a path that was not opened (O_PATH), which leads out of the sandbox: redirect it", names[n])
	}
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		return fmt.Errorf("%s: %w", names[n], err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return fmt.Errorf("%s is a directory, which leads out of the sandbox: redirect it", names[n])
	case unix.S_IFCHR:
		if modes, err := unix.IoctlGetTermios(n, getModes); err == nil {
			if c.terminal < 0 {
				c.terminal, c.modes = n, *modes
			}
			return nil
		}
	case unix.S_IFREG, unix.S_IFBLK:
		if flags&unix.O_ACCMODE == unix.O_RDONLY && reopensForWriting(n, &st) {
			return c.readOnly(n)
		}
	}
	c.files[n] = standard(n)
	return nil
}

// standard does not make a new os.File of 0, 1 or 2: the collector would close them with it.
func standard(n int) *os.File {
	return [3]*os.File{os.Stdin, os.Stdout, os.Stderr}[n]
}

// openNull fills a closed descriptor. Those below n are open by now, so the lowest free number is n.
func openNull(n int) (flags int, err error) {
	flags = unix.O_WRONLY
	if n == 0 {
		flags = unix.O_RDONLY
	}
	fd, err := unix.Open(os.DevNull, flags, 0)
	if err == nil && fd != n {
		unix.Close(fd)
		err = errors.New("closed, and could not be replaced by /dev/null")
	}
	return flags, err
}

// readOnly gives the payload something in place of a file that it must not be able to write. Nothing can be
// written to a standard output opened for reading either, so there a /dev/null opened the same way does.
func (c *Caller) readOnly(n int) (err error) {
	if n == 0 {
		if c.feed, err = newFeed(n); err == nil {
			c.files[n] = c.feed.r
		}
		return err
	}
	c.files[n], err = os.Open(os.DevNull)
	return err
}

func (c *Caller) closeFiles() {
	for n, f := range c.files {
		if f != nil && f != standard(n) {
			f.Close()
		}
	}
}

// WantsPTY says whether any of the three is a terminal.
func (c *Caller) WantsPTY() bool { return c.terminal >= 0 }

// OnPTY says whether the payload's descriptor fd is to be the slave of the pty.
func (c *Caller) OnPTY(fd int) bool { return c.files[fd] == nil }

// Stdin is what the payload gets as descriptor 0; nil stands for the slave of the pty.
func (c *Caller) Stdin() *os.File { return c.files[0] }

// Stdout is what the payload gets as descriptor 1; nil stands for the slave of the pty.
func (c *Caller) Stdout() *os.File { return c.files[1] }

// Stderr is what the payload gets as descriptor 2; nil stands for the slave of the pty.
func (c *Caller) Stderr() *os.File { return c.files[2] }

// Descriptor is the number behind Stdin, Stdout or Stderr, -1 for the slave. Unlike (*os.File).Fd it leaves
// O_NONBLOCK alone, which belongs to everybody who shares the descriptor with the caller.
func (c *Caller) Descriptor(fd int) int {
	switch f := c.files[fd]; {
	case f == nil:
		return -1
	case f == standard(fd):
		return fd
	default:
		return int(f.Fd()) // opened here, and never with O_NONBLOCK
	}
}

// Foreground says whether the payload starts as the foreground group of the pty. It does when it would read keys
// and draw on the screen; in `aigate run -- grep x f | less` the keys are for less, so it does not, and has to ask.
func (c *Caller) Foreground() bool { return c.foreground }

// Settings are the size and the modes that the slave of the pty gets before the payload starts.
func (c *Caller) Settings() (unix.Winsize, unix.Termios) {
	size := unix.Winsize{}
	if ws, err := unix.IoctlGetWinsize(c.terminal, unix.TIOCGWINSZ); err == nil {
		size = *ws
	}
	if c.foreground {
		return size, c.modes
	}
	return size, cooked(c.modes)
}

// Close undoes Inspect and Listen where no session was started, so that Ctrl-C ends us again.
func (c *Caller) Close() {
	if c.signals != nil {
		c.signals.release()
	}
	c.closeFiles()
	if c.feed != nil {
		c.feed.w.Close()
	}
}

// cooked is what a terminal is to a program that a shell has just started. In the background, or in a pipeline with a
// pager, the modes at hand are those that the shell or the pager uses to read single keys.
func cooked(t unix.Termios) unix.Termios {
	if t.Lflag&unix.ICANON != 0 {
		return t
	}
	t.Iflag |= unix.ICRNL | unix.BRKINT | unix.IXON
	t.Oflag |= unix.OPOST | unix.ONLCR
	t.Lflag |= unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ISIG | unix.IEXTEN
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	for key, usual := range map[int]byte{unix.VLNEXT: 'V' & 31, unix.VDISCARD: 'O' & 31} { // readline takes these for itself
		if t.Cc[key] == 0 {
			t.Cc[key] = usual
		}
	}
	return t
}

// inForeground says whether our process group may use the terminal. One that does not control our session, or that has
// gone, knows no process groups.
func inForeground(terminal int) bool {
	group, err := unix.IoctlGetInt(terminal, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}
