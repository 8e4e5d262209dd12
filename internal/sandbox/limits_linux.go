package sandbox

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/nofile"
	"golang.org/x/sys/unix"
)

// limits are how one run is held to its limits, from the supervisor's side.
type limits struct {
	*limit.Control
	inside limit.Inside
	sight  limit.Sight

	mu    sync.Mutex
	over  *limit.Excess // why the sandbox was ended
	blind error         // why nobody looks any more
	timer *time.Timer
	// when max_time is over; zero before follow
	deadline time.Time
	quiet    bool // the run is at its end: nobody is ended any more
}

// How many of aigate's own processes and threads are in a sandbox: PID 1; with
// bubblewrap, PID 1 is a Go program, and bubblewrap itself waits for it.
var ownTasks = map[Engine]int{Native: 1, Bwrap: 8}

func beginLimits(with Base) (*limits, error) {
	c, err := limit.Begin(with.Limits, ownTasks[with.Engine], with.LimitsBy)
	if err != nil {
		return nil, err
	}
	return &limits{Control: c}, nil
}

// limitsInForce waits until the first process is held to its limits, and says
// what it is to be told.
func (r *running) limitsInForce() error {
	if err := r.limits.InForce(); err != nil {
		return err
	}
	r.limits.inside = r.limits.Inside()
	if r.opt.Limited != nil && r.Limits.Counted() {
		r.opt.Limited(r.limits.Means())
	}
	if r.Limits.Counted() {
		r.lap("limits")
	}
	return nil
}

// sights are the folders whose descriptors the inner side hands out, so that
// the supervisor can look at what is used: /proc, and one of every file system in
// memory. native has a single one of those, see stage.
func (r *running) sights() (paths []string) {
	for _, s := range r.plan.Steps {
		switch {
		case s.Kind == Proc:
			paths = append([]string{s.Path}, paths...)
		case !r.limits.Looks():
		case s.Kind == Dev, s.Kind == Scratch && r.Engine == Bwrap:
			paths = append(paths, s.Path)
		}
	}
	return paths
}

func (l *limits) see(fds []int) {
	if len(fds) > 0 {
		l.sight = limit.Sight{Proc: fds[0], Memory: fds[1:]}
	}
}

// follow begins to look after a command that has started.
func (l *limits) follow(r *running) error {
	if t := r.Limits.MaxTime; t != 0 {
		l.mu.Lock()
		l.deadline = time.Now().Add(t)
		l.timer = time.AfterFunc(t, func() { l.timeUp(r) })
		l.mu.Unlock()
	}
	return l.Follow(l.sight, func(e limit.Excess, err error) {
		l.mu.Lock()
		if err != nil {
			l.blind = err
		} else if l.over == nil {
			l.over = &e
		}
		l.mu.Unlock()
		r.kill()
	})
}

// timeUp asks the command to end, and ends it.
func (l *limits) timeUp(r *running) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quiet {
		return
	}
	if l.over == nil {
		l.over = &limit.Excess{Key: "max_time", Ended: true}
		if fd, err := unix.PidfdOpen(r.payload, 0); err == nil {
			unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
			unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
			unix.Close(fd)
		}
		l.timer = time.AfterFunc(termGrace, func() { l.timeUp(r) })
		return
	}
	r.kill()
}

// ended is the limit that the sandbox was ended for, nil when it was not.
func (l *limits) ended() *limit.Excess {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// failure is why nobody looks any more, for which the sandbox was ended.
func (l *limits) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blind
}

// stop keeps anybody from ending the sandbox, which is at its end: whatever
// holds its processes is about to be closed.
func (l *limits) stop() {
	l.mu.Lock()
	l.quiet = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.Unfollow()
}

// end leaves nothing behind and tells what was reached.
func (l *limits) end(r *running) {
	err := l.Close()
	if len(l.sight.Memory) > 0 {
		for _, fd := range append(l.sight.Memory, l.sight.Proc) {
			unix.Close(fd)
		}
	}
	if r.opt.Exceeded == nil {
		return
	}
	if over := l.ended(); over != nil {
		r.opt.Exceeded(*over)
	}
	for _, e := range l.Exceeded() {
		r.opt.Exceeded(e)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "[aigate] the cgroup of this run could not be removed: %v\n", err)
	}
}

// limit appends what the command is given of limits, before its filter, which
// forbids it to change some. The caller's own limits, which nobody may raise,
// stay where they are lower.
func (p *program) limit(in limit.Inside) {
	files := nofile.Original
	for _, l := range in.Rlimits {
		if l.Resource == unix.RLIMIT_NOFILE {
			files.Cur, files.Max = min(files.Cur, l.Value), min(files.Max, l.Value)
			continue
		}
		own := syscall.Rlimit{Cur: l.Value, Max: l.Value}
		_ = syscall.Getrlimit(l.Resource, &own) // fails for a bad number alone
		own.Cur, own.Max = min(own.Cur, l.Value), min(own.Max, l.Value)
		p.call("set a limit", unix.SYS_PRLIMIT64, 0, l.Resource, ptrArg(p, &own), 0)
	}
	p.call("restore the limit on open files", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, ptrArg(p, &files), 0)
	if in.Nice != 0 {
		own := 0
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
			own = 20 - raw // the system call gives 1 to 40
		}
		p.call("lower the priority", unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, min(own+in.Nice, 19))
	}
	if in.CPUs != nil {
		p.call("limit the processors", unix.SYS_SCHED_SETAFFINITY, 0, len(in.CPUs), p.bytes(in.CPUs))
	}
}

// forkInto forks PID 1 into the cgroup that has its limits. Where clone3(2) is
// kept from us, as by the filters of some containers, it is moved there, which
// takes longer.
func (in *inner) forkInto(flags uintptr, c *limit.Control) (pid, pidfd int, err error) {
	pid, pidfd, err = in.clone(flags, c.Into())
	if c.Into() < 0 || err != unix.ENOSYS && err != unix.EPERM {
		return pid, pidfd, err
	}
	if pid, pidfd, err = in.clone(flags, -1); err != nil {
		return pid, pidfd, err
	}
	if err = c.Enter(pid); err != nil {
		unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		waitFor(pid)
		unix.Close(pidfd)
	}
	return pid, pidfd, err
}

// startInto does so with a program.
func startInto(path string, argv []string, attr *syscall.ProcAttr, c *limit.Control) (pid int, err error) {
	if c.Into() >= 0 {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, c.Into()
	}
	// Not os.StartProcess, which first tries, with a process, what the kernel can do.
	pid, err = syscall.ForkExec(path, argv, attr)
	if c.Into() < 0 || err != unix.ENOSYS && err != unix.EPERM {
		return pid, err
	}
	attr.Sys.UseCgroupFD = false
	if pid, err = syscall.ForkExec(path, argv, attr); err != nil {
		return pid, err
	}
	if err = c.Enter(pid); err != nil {
		unix.Kill(pid, unix.SIGKILL)
		waitFor(pid)
	}
	return pid, err
}

// size appends the limit of a file system in memory.
func (p *program) size(path string, in limit.Inside) {
	if in.TmpSize != 0 {
		p.call("limit "+path, unix.SYS_MOUNT, "", path, 0, unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, "size="+strconv.FormatInt(in.TmpSize, 10))
	}
}

// sizes appends what limits the file systems in memory that bubblewrap made: it
// has no option for it before 0.7, and none for /dev.
func (p *program) sizes(plan *Plan, in limit.Inside) {
	for _, s := range plan.Steps {
		if s.Kind == Scratch || s.Kind == Dev {
			p.size(s.Path, in)
		}
	}
}

// insideText is what the inner stage is told of limits; readInside reads it.
func insideText(in limit.Inside) string {
	f := []string{strconv.Itoa(in.Nice), hex.EncodeToString(in.CPUs)}
	for _, l := range in.Rlimits {
		f = append(f, fmt.Sprintf("%d=%d", l.Resource, l.Value))
	}
	return strings.Join(f, " ")
}

func readInside(text string) (in limit.Inside, ok bool) {
	f := strings.Split(text, " ")
	if len(f) < 2 {
		return in, false
	}
	nice, err := strconv.Atoi(f[0])
	in.Nice = nice
	cpus, err2 := hex.DecodeString(f[1])
	if len(cpus) > 0 {
		in.CPUs = cpus
	}
	for _, one := range f[2:] {
		var l limit.Rlimit
		if n, e := fmt.Sscanf(one, "%d=%d", &l.Resource, &l.Value); n != 2 || e != nil {
			return in, false
		}
		in.Rlimits = append(in.Rlimits, l)
	}
	return in, err == nil && err2 == nil
}
