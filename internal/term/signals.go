package term

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// signals holds what arrived for us from Listen on.
type signals struct {
	arrived chan os.Signal
	ready   chan struct{} // closed when all are registered
	noQuit  bool
}

var forwarded = []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP}

// collect registers in the background, because nine signals cost 400 µs. One that comes before its turn ends us as it
// would any program, and the sandbox with us; the terminal is not raw before Start, which waits.
//
// A signal that we were told to ignore (nohup, a shell's `&` in a script) stays ignored, also by the payload.
func collect(terminal bool) *signals {
	s := &signals{arrived: make(chan os.Signal, 64), ready: make(chan struct{})}
	// Go takes SIGQUIT over before main; whoever has us ignore SIGINT has us ignore both.
	s.noQuit = ignored(unix.SIGINT)
	go func() {
		defer close(s.ready)
		for _, sig := range forwarded {
			if !ignored(sig) {
				signal.Notify(s.arrived, sig)
			}
		}
		if terminal {
			signal.Notify(s.arrived, unix.SIGCONT, unix.SIGWINCH)
		}
	}()
	return s
}

func (s *signals) release() {
	<-s.ready
	signal.Stop(s.arrived)
}

// orphaned says whether no process of our session but outside our group is there to continue us. The kernel asks
// that of every member of the group; our own ancestors are the ones that matter to us.
func orphaned() bool {
	group := unix.Getpgrp()
	session, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	for pid := unix.Getppid(); pid > 0; pid = parent(pid) {
		if g, err := unix.Getpgid(pid); err != nil || g != group {
			s, err := unix.Getsid(pid)
			return err != nil || s != session
		}
	}
	return true
}

// fromKeyboard says whether a SIGINT or SIGQUIT may have been a key pressed at our controlling terminal, which goes to all
// of a job, rather than kill(1), which goes to one process.
func fromKeyboard(terminal int) bool {
	if terminal >= 0 {
		_, err := unix.IoctlGetInt(terminal, unix.TIOCGPGRP)
		return err == nil && inForeground(terminal)
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return inForeground(fd)
}

// signalGroup asks first whether the payload still is there, for its number may be another's by now.
func (p payload) signalGroup(sig unix.Signal) error {
	if err := p.signal(0); err != nil {
		return err
	}
	if err := unix.Kill(-p.pid, sig); err != unix.ESRCH {
		return err
	}
	return p.signal(sig) // it has not come to its setpgid yet
}
