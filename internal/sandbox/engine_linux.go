package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/AxeForging/aigate/internal/limit"
	"golang.org/x/sys/unix"
)

// inward are the parts of a start that both engines' inner sides share.
type inward struct {
	sock       int
	pty        [3]bool // descriptors of the payload that are the pty
	wantPTY    bool
	foreground bool
	scope      bool // Landlock scopes are there
	inner      bool // this is a sandbox in another aigate's
	execs      bool // the supervisor judges programs
	exposed    bool // see filtering
	bare       bare
	dir        string
	cmd        Command
	limits     limit.Inside
	sights     []string // folders to hand out, see running.sights
}

// handOut appends the end of the setup: a pty where one is wanted, and the
// message that gives the supervisor the mount namespace and the pty's master.
func (in *inner) handOut(w inward) {
	ns := in.setup.open("/proc/self/ns/mnt", unix.O_RDONLY)
	fds := []reg{ns}
	if w.wantPTY {
		fds = append(fds, in.terminal())
	}
	for _, path := range w.sights {
		fds = append(fds, in.setup.open(path, unix.O_RDONLY|unix.O_DIRECTORY))
	}
	in.ready(fds...)
}

// finish appends what both engines do behind the mounts: a session of its own (so
// /dev/tty is never the caller's), rights given up, the payload.
func (in *inner) finish(w inward, o origin, nested func(*program)) {
	p := &in.secure
	p.nregs = in.setup.nregs
	if w.wantPTY {
		p.call("make the pty the controlling terminal", unix.SYS_IOCTL, in.slave, unix.TIOCSCTTY, 0)
		for fd, on := range w.pty {
			if on {
				p.call("use the pty", unix.SYS_DUP3, in.slave, fd, 0)
			}
		}
	}
	if nested != nil {
		nested(p)
	}
	p.dropRights()
	for _, n := range o.handled {
		sa := &sigaction{}
		p.call("reset a signal", unix.SYS_RT_SIGACTION, int(n), ptrArg(p, sa), 0, 8)
	}
	// Last, because credentials changed: the kernel forgets the first, and the
	// maps above could not be written after the second. PID 1 holds a copy of the
	// supervisor's memory; nobody may look.
	p.call("tie PID 1 to the supervisor", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	p.call("hide PID 1's memory", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	in.payloadProgram(w, o)
}

func (in *inner) payloadProgram(w inward, o origin) {
	p := &in.payload
	p.nregs = in.setup.nregs
	p.call("make a process group", unix.SYS_SETPGID, 0, 0)
	if w.foreground {
		pid := p.newReg()
		p.call("getpid", unix.SYS_GETPID).into(pid)
		group := make([]byte, 4)
		at := p.bytes(group)
		p.put(pid, at)
		p.call("bring the command to the foreground", unix.SYS_IOCTL, in.slave, unix.TIOCSPGRP, at)
	}
	if w.scope {
		p.scope()
	}
	p.limit(w.limits)
	in.handOver(p, msgPayload, p.seccomp(filtering{inner: w.inner, execs: w.execs, pinned: w.limits.CPUs != nil, exposed: w.exposed})...)
	in.waitGo(p) // until everything else is in place, the caller's terminal too
	// Not before: what is mounted from outside may cover the folder.
	p.call("enter "+w.dir, unix.SYS_CHDIR, w.dir)
	mask := o.mask
	p.call("restore the signal mask", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, p.bytes(mask[:]), 0, 8)
	p.call("close what is not the command's", unix.SYS_CLOSE_RANGE, 3, int(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
	p.call("execute "+w.cmd.Path, unix.SYS_EXECVE, w.cmd.Path, p.argv(w.cmd.Args), p.argv(w.cmd.Env))
}

// inward gathers what the inner side must know.
func (r *running) inward(sock int) inward {
	c := r.Caller
	return inward{
		sock: sock, wantPTY: c.WantsPTY(), pty: [3]bool{c.OnPTY(0), c.OnPTY(1), c.OnPTY(2)},
		foreground: c.WantsPTY() && c.Foreground(), scope: landlockABI() >= landlockABIWithScopes,
		inner: inAigate(), execs: r.opt.Execs != nil, bare: r.plan.bare(), dir: r.plan.Dir, cmd: r.cmd,
		limits: r.limits.inside, sights: r.sights(), exposed: r.limits.Exposed(),
	}
}

// inAigate says that this process runs inside a sandbox of aigate's, which it
// cannot have made look so: the kit is a mount of its own in a folder that is
// otherwise root's.
func inAigate() bool {
	var st unix.Statfs_t
	return unix.Statfs(PolicyFile, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// A process is born into its user and pid namespaces; the others it makes
// itself, while the supervisor does something else.
const (
	bornInto = unix.CLONE_NEWUSER | unix.CLONE_NEWPID
	makes    = unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
)

// beginNative forks PID 1 into namespaces of its own. It makes what does not
// depend on the plan's mounts and waits for the rest.
func (r *running) beginNative() error {
	ours, theirs, err := sockets()
	if err != nil {
		return err
	}
	defer unix.Close(theirs)
	r.sock = ours
	if r.inner, err = newInner(theirs); err != nil {
		return err
	}
	r.inner.earlySetup(r)
	pid, pidfd, err := r.inner.forkInto(bornInto, r.limits.Control)
	if errno, ok := err.(syscall.Errno); ok {
		return &SetupError{Step: "make namespaces", Errno: errno}
	} else if err != nil {
		return err
	}
	r.explain = func() string { return "" }
	r.kill = func() { unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) }
	r.wait = func() { waitFor(pid); unix.Close(pidfd) }
	r.pidfd = pidfd
	r.limits.Adopt(pid)
	r.keeper, err = keep(0, r.limits)
	return err
}

// frameNative has PID 1 mount the frame.
func (r *running) frameNative(steps []Step) error {
	p := &r.inner.frame
	p.nregs = r.inner.early.nregs
	p.stepwise = noOpenat2()
	p.mountFrame(steps, r.shell)
	r.inner.waitGo(p)
	return r.goOn()
}

// goOn lets PID 1 go on with what has been added to its list.
func (r *running) goOn() error {
	if err := unix.Send(r.sock, []byte{msgGo}, unix.MSG_NOSIGNAL); err != nil {
		return r.broken(err)
	}
	return nil
}

// startNative writes the rest of PID 1's list and lets it go on, as soon as it
// has something to do.
func (r *running) startNative() error {
	w := r.inward(int(r.inner.sock))
	in := r.inner
	in.nativeSetup(r, w)
	if err := r.goOn(); err != nil {
		return err
	}
	// While that is done, the end of it.
	o, err := signals()
	if err != nil {
		return fmt.Errorf("read the signal state: %w", err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	var nested func(*program)
	if uid != 0 || gid != 0 {
		// The kernel makes a devpts only where uid and gid 0 are mapped, and the
		// payload is to have the caller's own: so it gets a user namespace inside
		// the one that built the mounts, and owns none of them.
		nested = func(p *program) {
			p.call("make the inner user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
			p.maps(uid, 0, gid, 0)
		}
	}
	in.finish(w, o, nested)
	r.lap("program prepared")
	return r.goOn()
}

// broken gives the reason why PID 1 does not listen any more.
func (r *running) broken(err error) error {
	if m, e := receive(r.sock); e == nil {
		return r.failure(m)
	}
	return fmt.Errorf("talk to the sandbox: %w", err)
}

// waitFor reaps a child of ours.
func waitFor(pid int) (w unix.WaitStatus) {
	for {
		if _, err := unix.Wait4(pid, &w, 0, nil); err != unix.EINTR {
			return w
		}
	}
}

// earlySetup prepares what the plan does not change.
func (in *inner) earlySetup(r *running) {
	p := &in.early
	p.call("tie PID 1 to the supervisor", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	for fd := range 3 {
		if from := r.Caller.Descriptor(fd); from >= 0 && from != fd {
			p.call("pass a descriptor on", unix.SYS_DUP3, from, fd, 0)
		}
	}
	p.keepOnly(0, 1, 2, int(in.sock))
	p.call("make a session", unix.SYS_SETSID)
	flags := makes
	if r.OwnNet {
		flags |= unix.CLONE_NEWNET
	}
	p.call("make namespaces", unix.SYS_UNSHARE, flags)
	p.maps(0, os.Getuid(), 0, os.Getgid())
	if r.OwnNet {
		p.loopback()
	}
	r.shell = in.prepare(p)
	in.waitGo(p)
}

// nativeSetup prepares everything else up to "ready".
func (in *inner) nativeSetup(r *running, w inward) {
	p := &in.setup
	p.nregs = in.frame.nregs
	p.stepwise = in.frame.stepwise
	// Not before: the namespace begins at the cgroup that limits put us into.
	p.call("make a cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	in.handOutNetwork(p, w.bare)
	p.mounts(r.plan, w.limits)
	r.here = p.lookInside(r.plan.Dir)
	p.call("umask", unix.SYS_UMASK, r.shell.umask)
	in.handOut(w)
	in.waitGo(p)
}

// noOpenat2 says that openat2(2) is refused, as it is inside another aigate.
func noOpenat2() bool {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
	if err != nil {
		return errors.Is(err, unix.ENOSYS)
	}
	unix.Close(fd)
	return false
}
