package term

import (
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

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

// action is a struct sigaction of the kernel, whose first word is the handler everywhere Go runs but on MIPS.
type action [8]uintptr

const (
	actionDefault = 0
	actionIgnore  = 1
)

func sigaction(sig unix.Signal, set, old *action) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

func ignored(sig unix.Signal) bool {
	var old action
	sigaction(sig, nil, &old)
	return old[0] == actionIgnore
}

// stopAll stops our process group as the terminal would have, ourselves last, and returns when we have been continued:
// at once if sig is ignored or if our group is orphaned, for then no shell would ever continue it.
//
// The signal's action is set by hand: os/signal.Reset leaves Go's handler in place, which does not stop.
func stopAll(sig unix.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if sig == unix.SIGSTOP { // sent to a process, never by a terminal; and the kernel would stop an orphan too
		if !orphaned() {
			stopThread(sig)
		}
		return
	}
	var old action
	sigaction(sig, nil, &old)
	if old[0] == actionIgnore {
		return
	}
	sigaction(sig, &action{actionIgnore}, nil)
	unix.Kill(0, sig)
	sigaction(sig, &action{actionDefault}, nil)
	stopThread(sig)
	sigaction(sig, &old, nil)
}

// stopThread sends to the calling thread, which takes the signal before it returns; another thread might take one that is
// sent to the process, later than we need it.
func stopThread(sig unix.Signal) { unix.Tgkill(unix.Getpid(), unix.Gettid(), sig) }

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

func parent(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state ppid; the name may hold anything, parentheses too.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
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

// payload is the process in the sandbox that was asked for, and the group it leads.
type payload struct {
	pid   int
	pidfd int // -1 where the kernel has none
}

func openPayload(pid int) payload {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		pidfd = -1
	}
	return payload{pid, pidfd}
}

func (p payload) close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
}

func (p payload) signal(sig unix.Signal) error {
	if p.pidfd >= 0 {
		return unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	}
	return unix.Kill(p.pid, sig)
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
