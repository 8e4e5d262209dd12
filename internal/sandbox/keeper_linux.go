package sandbox

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// keeper is a process that is there from the first moment, for when the
// supervisor is killed: what has to go then and does not by itself.
//
//   - bubblewrap ends with the supervisor, but a child that it has just forked
//     does not know of its parent yet: it would wait for it for ever, and hold the
//     caller's output open. It is in bubblewrap's process group; later it has a
//     session of its own, and the kernel's promise to end it with bubblewrap.
//   - the run's cgroup
type keeper struct {
	pid   int
	alive *os.File // write end of the pipe whose closing tells it
}

// keep forks one, nil when there is nothing to keep. Group is bubblewrap's
// process group, 0 without bubblewrap.
func keep(group int, l *limits) (*keeper, error) {
	parent, names := l.Cleanup()
	if group == 0 && names == nil {
		return nil, nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("keep watch over the sandbox: %w", err)
	}
	defer unix.Close(pipe[0])
	k := &keeper{alive: os.NewFile(uintptr(pipe[1]), "alive")}
	in, err := newInner(-1)
	if err != nil {
		return k, err
	}
	defer in.early.mem.free()
	in.only = true
	p := &in.setup
	p.call("setsid", unix.SYS_SETSID)
	if names != nil {
		p.keepOnly(pipe[0], parent)
	} else {
		p.keepOnly(pipe[0])
	}
	p.call("wait for the supervisor", unix.SYS_READ, pipe[0], p.bytes(make([]byte, 8)), 1)
	if group != 0 {
		p.call("end bubblewrap", unix.SYS_KILL, -group, int(unix.SIGKILL)).unless(0, unix.ESRCH)
	}
	p.removeGroup(parent, names)
	pid, fd, err := in.fork(0)
	if err != nil {
		return k, fmt.Errorf("keep watch over the sandbox: %w", err)
	}
	unix.Close(fd)
	k.pid = pid
	return k, nil
}

// removeGroup removes cgroups, the innermost first, as soon as what was in them
// has ended.
func (p *program) removeGroup(parent int, names []string) {
	if names == nil {
		return
	}
	pause := unix.NsecToTimespec(int64(10 * time.Millisecond))
	for range 100 {
		for _, name := range names {
			p.call("remove the cgroup", unix.SYS_UNLINKAT, parent, name, unix.AT_REMOVEDIR).unless(0, unix.EBUSY, unix.ENOENT, unix.ENOTEMPTY)
		}
		p.call("wait", unix.SYS_NANOSLEEP, ptrArg(p, &pause), 0).unless(0, unix.EINTR)
	}
}

// release ends it: the supervisor lives, and cleans up itself.
func (k *keeper) release() {
	if k == nil {
		return
	}
	if k.pid != 0 {
		unix.Kill(k.pid, unix.SIGKILL)
		waitFor(k.pid)
	}
	k.alive.Close()
}
