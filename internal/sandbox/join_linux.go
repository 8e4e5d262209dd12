package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A process that joins the user namespace which owns the sandbox's mounts, and
// then the mount namespace, can mount there: before the payload starts (what
// bwrap left to us) and while it runs (what the watcher saw). Joining a user
// namespace takes a process with one thread, which a Go program never is and
// its forked child always: setns(2), ioctl_ns(2).

// join forks a child into the sandbox's mount namespace and has it run what
// add appends.
func join(mntns int, plan *Plan, add func(p *program)) error {
	return joinAndSee(mntns, plan, add, func(*program) error { return nil })
}

// joinAndSee does so and then has see look at what the child left in the memory
// that both share.
func joinAndSee(mntns int, plan *Plan, add func(p *program), see func(p *program) error) error {
	_, err := helper(mntns, func(in *inner) {
		p := &in.setup
		p.stepwise = noOpenat2()
		p.forCaller(plan)
		p.joinMounts(mntns)
		add(p)
	}, nil, func(in *inner) error { return see(&in.setup) })
	return err
}

func (p *program) joinMounts(mntns int) {
	p.call("join the sandbox's mounts", unix.SYS_SETNS, mntns, unix.CLONE_NEWNS)
	p.call("umask", unix.SYS_UMASK, 0)
}

// helper forks a child into the user namespace that owns ns, and has it run what
// add puts into its setup. It gives the child's message, if there is one.
//
// With then, add has put something into the child's early part, which ends with
// msgReady and a wait. Then decides on the setup, by what the early part left in
// the memory that both share. See, when it is not nil, looks there at the end.
func helper(ns int, add func(in *inner), then, see func(in *inner) error) (m message, err error) {
	user, err := unix.IoctlRetInt(ns, unix.NS_GET_USERNS)
	if err != nil {
		return m, fmt.Errorf("find the owner of the sandbox's namespaces: %w", err)
	}
	defer unix.Close(user)
	ours, theirs, err := sockets()
	if err != nil {
		return m, err
	}
	defer unix.Close(ours)
	in, err := newInner(theirs)
	if err != nil {
		unix.Close(theirs)
		return m, err
	}
	defer in.setup.mem.free()
	in.only = true
	p := &in.early
	p.call("tie the helper to the supervisor", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	p.call("join the sandbox's user namespace", unix.SYS_SETNS, user, unix.CLONE_NEWUSER)
	add(in)
	pid, pidfd, err := in.fork(0)
	unix.Close(theirs)
	if err != nil {
		return m, fmt.Errorf("fork: %w", err)
	}
	defer unix.Close(pidfd)
	m, err = receive(ours)
	if err == nil && then != nil && m.kind == msgReady {
		m, err = in.goOn(ours, then)
	}
	if err != nil {
		unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) // it waits
	}
	status := waitFor(pid)
	if err != nil {
		return m, err
	}
	if m.kind == msgFailed {
		return m, (&running{}).failure(m)
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return m, fmt.Errorf("the helper in the sandbox ended with %v", status)
	}
	if see != nil {
		err = see(in)
	}
	return m, err
}

// goOn writes the rest of a waiting child's list and lets it go on.
func (in *inner) goOn(sock int, then func(in *inner) error) (m message, err error) {
	if err := then(in); err != nil {
		return m, err
	}
	if err := unix.Send(sock, []byte{msgGo}, unix.MSG_NOSIGNAL); err != nil {
		return m, err
	}
	return receive(sock)
}

// finishFromOutside compares what bwrap mounted with what it was asked for, and
// adds what it was not asked for. It says how many paths were gone.
func (r *running) finishFromOutside() (gone int, err error) {
	var saw []looked
	err = joinAndSee(r.mntns, r.plan, func(p *program) {
		for _, a := range r.asked {
			saw = append(saw, p.lookInside(a.step.Path))
		}
		r.here = p.lookInside(r.plan.Dir)
		p.call("make mounts private", unix.SYS_MOUNT, "", "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
		p.call("mount "+KitDir, unix.SYS_MOUNT, "tmpfs", KitDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
		p.kitInto(KitDir, append(constantFiles, planFiles(r.plan)...))
		p.kitNodes(KitDir)
		p.call("protect "+KitDir, unix.SYS_MOUNT, "", KitDir, 0, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, 0)
		p.sizes(r.plan, r.limits.inside)
		for _, s := range r.plan.Steps {
			if isLate(s.Kind) {
				p.late(s)
			}
		}
		if r.plan.RootUser {
			p.procGuard()
		}
		p.bedrock(r.plan)
		p.enterTop()
		p.share()
	}, func(p *program) error {
		gone = p.gone
		for i, a := range r.asked {
			if !a.is(saw[i].seen()) {
				return &MovedError{a.step.Path}
			}
		}
		return r.isHere()
	})
	return gone, err
}
