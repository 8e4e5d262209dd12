package term

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
func (*signals) stopAll(sig unix.Signal) {
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
