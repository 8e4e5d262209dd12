//go:build !linux

package term

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

var errNotYet = errors.New("terminals: not on this system yet")

// Caller is described for Linux.
type Caller struct{ Filter Filter }

// Inspect is described for Linux.
func Inspect() (*Caller, error) { return nil, errNotYet }

// Detached is described for Linux.
func Detached(*os.File) *Caller { return &Caller{} }

func (c *Caller) Listen()                                {}
func (c *Caller) WantsPTY() bool                         { return false }
func (c *Caller) OnPTY(int) bool                         { return false }
func (c *Caller) Stdin() *os.File                        { return os.Stdin }
func (c *Caller) Stdout() *os.File                       { return os.Stdout }
func (c *Caller) Stderr() *os.File                       { return os.Stderr }
func (c *Caller) Descriptor(fd int) int                  { return fd }
func (c *Caller) Foreground() bool                       { return false }
func (c *Caller) Settings() (unix.Winsize, unix.Termios) { return unix.Winsize{}, unix.Termios{} }
func (c *Caller) Mask(f Filter) error                    { c.Filter = f; return nil }
func (c *Caller) Close()                                 {}
func (c *Caller) Start(*os.File, int) (*Session, error)  { return nil, errNotYet }

// Session is described for Linux.
type Session struct{}

func (s *Session) Stopped(unix.Signal) (bool, error) { return false, errNotYet }
func (s *Session) Finish() error                     { return errNotYet }
func (s *Session) LineEnd() string                   { return "\n" }
