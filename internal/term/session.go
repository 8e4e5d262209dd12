package term

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Session is a payload that runs.
type Session struct {
	caller  *Caller
	payload payload
	quit    chan struct{} // ends the goroutine that follows signals
	giveUp  chan struct{} // ends the delivery of what the payload wrote
	gaveUp  sync.Once

	// Only with a pty; nil without.
	tty *tty
	pty *os.File
	out *output
	in  *input // from the first time on that the payload has the terminal

	mu        sync.Mutex // guards the terminal's modes and what follows
	has       bool       // the payload has the terminal: it is the pty's foreground group, and input is for it
	reading   bool       // input is being read: has, and we are in the foreground
	wants     bool       // it is to have it whenever we are in the foreground
	finished  bool
	finishing atomic.Bool
	hangup    sync.Once
	gone      atomic.Bool // the terminal has gone, the pty is closed
	look      *time.Timer // looks whether we are in the foreground again, where no signal says so
}

// Start begins to serve a payload. The master of the pty, nil without one, is the session's from now on. The payload is
// the process, by its number out here, that leads the group to which keys and signals go.
func (c *Caller) Start(master *os.File, pid int) (*Session, error) {
	<-c.signals.ready
	s := &Session{caller: c, payload: openPayload(pid), quit: make(chan struct{}), giveUp: make(chan struct{}), look: time.NewTimer(time.Hour)}
	s.look.Stop()
	if master != nil {
		if err := s.connect(master); err != nil {
			s.Finish()
			s.payload.close()
			master.Close()
			return nil, err
		}
	}
	if c.feed != nil {
		c.feed.start()
	}
	for _, p := range c.pipes {
		p.start()
		go s.guard(func() { p.run(c.Filter(p)) })
	}
	go s.guard(s.follow)
	return s, nil
}

func (s *Session) connect(master *os.File) (err error) {
	c := s.caller
	s.wants = c.OnPTY(0) && c.OnPTY(1)
	if s.tty, err = openTTY(c.terminal, !c.OnPTY(1)); err != nil {
		return err
	}
	if s.pty, err = pollable(master); err != nil {
		return err
	}
	s.resize() // it may have changed since Settings
	var to io.WriteCloser = unfiltered{s.tty}
	if c.Filter != nil {
		to = c.Filter(s.tty)
	}
	s.out = &output{pty: s.pty, to: to, failed: s.hangUp, drains: make(chan drain, 1), done: make(chan struct{})}
	go s.guard(s.out.run)
	if c.foreground {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.take()
	}
	return nil
}

// unfiltered is the terminal, which is not the output's to close.
type unfiltered struct{ io.Writer }

func (unfiltered) Close() error { return nil }

// guard leaves the terminal as it was even when we crash.
func (s *Session) guard(run func()) {
	defer func() {
		if r := recover(); r != nil {
			if s.tty != nil {
				s.tty.restore()
			}
			panic(r)
		}
	}()
	run()
}

// take gives the terminal to the payload. Callers hold mu.
func (s *Session) take() error {
	first := s.in == nil
	if err := s.tty.enterRaw(); err != nil {
		if s.tty.hungUp() {
			s.hangUp()
			return nil
		}
		return err
	}
	if first {
		if !s.caller.foreground { // now the modes are ours to look at
			modes := cooked(s.tty.before)
			control(s.pty, func(fd int) error { return unix.IoctlSetTermios(fd, setModes, &modes) })
		}
		s.in = &input{pty: s.pty, from: s.tty, lost: func() { go s.guard(s.continued) }, failed: s.hangUp}
		s.in.wake.L = &s.in.mu
		go s.guard(s.in.run)
	}
	s.has = true
	s.resize()
	s.read(true)
	return nil
}

// yield takes the terminal back from the payload, after its last word, and restores it. Callers hold mu.
func (s *Session) yield() error {
	s.read(false)
	s.out.drain(false)
	s.has = false
	return s.tty.restore()
}

func (s *Session) read(on bool) {
	switch {
	case on && !s.reading:
		s.in.resume()
	case !on && s.reading:
		s.in.pause()
	}
	s.reading = on
}

// Stopped is for when the payload has been stopped by sig, and returns when it is to be continued, in the foreground of
// the pty or not. A payload that asks for the terminal gets it if we may give it. Otherwise we stop like the payload, for
// the shell to see, and come back when the shell continues us.
func (s *Session) Stopped(sig unix.Signal) (foreground bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pty == nil || s.gone.Load() {
		return false, s.stopAll(sig)
	}
	if sig == unix.SIGTTIN || sig == unix.SIGTTOU {
		s.wants = true
		if inForeground(s.tty.fd) {
			return true, s.take()
		}
		if orphaned() { // we will never be in the foreground
			if sig == unix.SIGTTIN {
				s.hangUp()
			}
			return true, nil
		}
	}
	if err := s.yield(); err != nil && !s.tty.hungUp() {
		return false, err
	}
	if err := s.stopAll(sig); err != nil {
		return false, err
	}
	if s.wants && inForeground(s.tty.fd) {
		return true, s.take()
	}
	return false, nil
}

func (s *Session) stopAll(sig unix.Signal) error {
	if s.caller.Suspend != nil {
		resumed, err := s.caller.Suspend()
		if err != nil {
			return err
		}
		defer resumed()
	}
	s.caller.signals.stopAll(sig)
	return nil
}

// Finish is for when the payload and everything else in the sandbox have gone. It delivers the last byte and restores the
// terminal; a signal that would have ended the payload ends the delivery. It may be called more than once.
func (s *Session) Finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return nil
	}
	s.finished = true
	s.finishing.Store(true)
	if s.in != nil {
		s.in.end()
	}
	if s.out != nil {
		s.out.drain(true)
	}
	var err error
	if s.tty != nil {
		if err = s.tty.restore(); err != nil && s.tty.hungUp() {
			err = nil
		}
		s.tty.Close()
	}
	if s.pty != nil {
		s.pty.Close()
	}
	if f := s.caller.feed; f != nil && f.done != nil {
		f.finish()
	}
	for _, p := range s.caller.pipes {
		p.finish(s.giveUp)
	}
	close(s.quit)
	return err
}

// LineEnd is what a line of ours for the terminal has to end in: \r\n while the payload has it.
func (s *Session) LineEnd() string {
	if s.tty != nil && s.tty.bare() {
		return "\r\n"
	}
	return "\n"
}

// hangUp is for when the terminal has gone: so does the payload's.
func (s *Session) hangUp() {
	s.hangup.Do(func() {
		s.gone.Store(true)
		s.payload.signalGroup(unix.SIGHUP)
		s.payload.signalGroup(unix.SIGCONT) // as the kernel does: the stopped are to hear it
		s.pty.Close()
	})
}

func (s *Session) resize() {
	ws, err := unix.IoctlGetWinsize(s.tty.fd, unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	control(s.pty, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, ws) })
}

// follow does what the signals that reach us ask for.
func (s *Session) follow() {
	defer s.payload.close()
	for {
		select {
		case sig := <-s.caller.signals.arrived:
			s.handle(sig.(unix.Signal))
		case <-s.look.C:
			go s.guard(s.continued)
		case <-s.quit:
			return
		}
	}
}

func (s *Session) handle(sig unix.Signal) {
	switch sig {
	case unix.SIGWINCH:
		s.resize()
		return
	case unix.SIGCONT:
		go s.guard(s.continued) // it may have to wait, and no other signal is to wait with it
		return
	case unix.SIGTSTP:
		s.payload.signalGroup(sig)
		return
	}
	if s.finishing.Load() {
		if s.tty != nil {
			s.tty.SetWriteDeadline(past)
		}
		s.gaveUp.Do(func() { close(s.giveUp) })
		return
	}
	switch {
	case sig == unix.SIGHUP && s.tty != nil && s.tty.hungUp():
		s.hangUp()
	case sig == unix.SIGQUIT && s.caller.signals.noQuit:
	case (sig == unix.SIGINT || sig == unix.SIGQUIT) && s.cooked() && fromKeyboard(s.caller.terminal):
		s.payload.signalGroup(sig)
	default:
		s.payload.signal(sig)
	}
}

func (s *Session) cooked() bool { return s.tty == nil || !s.tty.raw.Load() }

// continued is for when we were stopped, and continued, without the payload: by kill -STOP. Where we come back in the
// background, the terminal is another's; nothing will tell us when it is ours again, so we look now and then.
func (s *Session) continued() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || !s.has || s.gone.Load() {
		return
	}
	switch {
	case inForeground(s.tty.fd):
		s.read(false) // it may have ended by itself
		s.take()
	case orphaned():
		s.hangUp()
	default:
		s.read(false)
		s.tty.lose()
		s.look.Reset(250 * time.Millisecond)
	}
}
