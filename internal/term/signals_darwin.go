package term

import (
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"
)

func ignored(sig unix.Signal) bool { return signal.Ignored(sig) }

// stopAll stops our process group as the terminal would have, ourselves last, and
// returns when we have been continued: at once if sig is ignored or if our group
// is orphaned. Go has no way here to give a signal its default action for a
// moment, so we stop ourselves by SIGSTOP, which the shell tells of by another
// word.
func (s *signals) stopAll(sig unix.Signal) {
	if ignored(sig) || orphaned() {
		return
	}
	if sig != unix.SIGSTOP {
		signal.Ignore(sig)
		unix.Kill(0, sig)
	}
	unix.Kill(unix.Getpid(), unix.SIGSTOP)
	switch {
	case sig == unix.SIGSTOP:
	case slices.Contains(forwarded, sig):
		signal.Notify(s.arrived, sig)
	default:
		signal.Reset(sig)
	}
}

func parent(pid int) int {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0
	}
	return int(info.Eproc.Ppid)
}

// payload is the process in the sandbox that was asked for, and the group it
// leads. Nothing here holds a process by more than its number, which is not given
// anew before all others have been.
type payload struct{ pid int }

func openPayload(pid int) payload { return payload{pid} }

func (p payload) close() {}

func (p payload) signal(sig unix.Signal) error { return unix.Kill(p.pid, sig) }
