package seatbelt

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Box is a command that was started, from the supervisor's side.
type Box struct {
	leader *os.Process
	c      *channel
}

// ErrNotExecuted is wrapped, with the errno, when the sandbox stood but execve
// failed.
var ErrNotExecuted = errors.New("command not executed")

// patience is for a leader that has lost us to end all, and itself.
const patience = 10 * time.Second

// Start runs the order up to where only the command itself is left to start.
// files are its standard descriptors; slave is its terminal, nil without one.
func Start(o Order, files [3]*os.File, slave *os.File) (*Box, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	attr := &os.ProcAttr{Files: []*os.File{files[0], files[1], files[2], theirs}, Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true}}
	if o.Terminal = slave != nil; o.Terminal {
		attr.Files = append(attr.Files, slave)
		attr.Sys.Setctty, attr.Sys.Ctty = true, terminal
	}
	p, err := os.StartProcess(self, []string{self, leaderArg}, attr)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the sandbox's first process: %w", err)
	}
	b := &Box{p, newChannel(ours)}
	if err := b.c.send(message{Kind: isOrder, Order: &o}); err != nil {
		b.End()
		return nil, fmt.Errorf("write to the sandbox: %w", err)
	}
	return b, nil
}

// Ready waits until the command can start, and gives the pid that it will have.
func (b *Box) Ready() (pid int, err error) {
	m, err := b.c.receive()
	if err != nil {
		return 0, fmt.Errorf("read from the sandbox: %w", err)
	}
	if m.Kind != isReady {
		return 0, failure(m)
	}
	return m.Pid, nil
}

// Go lets the command start.
func (b *Box) Go() error {
	if err := b.c.send(message{Kind: isGo}); err != nil {
		return fmt.Errorf("start the command: %w", err)
	}
	return nil
}

// Next waits for the command to stop or end. ended says that the leader has gone
// before the command, by somebody else's hand.
func (b *Box) Next() (w unix.WaitStatus, ended bool, err error) {
	m, err := b.c.receive()
	switch {
	case err != nil:
		return 0, false, fmt.Errorf("read from the sandbox: %w", err)
	case m.Kind == isStopped, m.Kind == isExited:
		return unix.WaitStatus(m.Value), false, nil
	case m.Kind == "":
		return 0, true, nil
	}
	return 0, false, failure(m)
}

// Resume continues a command that has stopped.
func (b *Box) Resume(foreground bool) error {
	if err := b.c.send(message{Kind: isResume, Fore: foreground}); err != nil {
		return fmt.Errorf("continue the command: %w", err)
	}
	return nil
}

func failure(m message) error {
	switch m.Kind {
	case isFailed:
		return errors.New(m.Text)
	case isNoExec:
		return fmt.Errorf("%w: %w", ErrNotExecuted, syscall.Errno(m.Value))
	case "":
		return errors.New("the sandbox's first process ended before the command was started")
	}
	return fmt.Errorf("unexpected message %q from the sandbox", m.Kind)
}

// End kills what is left, and returns when the leader has gone.
func (b *Box) End() {
	b.c.f.Close()
	kill := time.AfterFunc(patience, func() { b.leader.Kill() })
	b.leader.Wait()
	kill.Stop()
}

// Leftovers kills processes that have the mark, a whole NAME=value, in the
// environment that they were started with, and says how many there were.
func Leftovers(mark string) (n int) {
	for _, pid := range processes() {
		if pid != unix.Getpid() && marked(pid, mark) && unix.Kill(pid, unix.SIGKILL) == nil {
			n++
		}
	}
	return n
}
