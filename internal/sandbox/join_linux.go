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
	_, err := helper(mntns, func(in *inner) {
		p := &in.setup
		p.stepwise = noOpenat2()
		p.forCaller(plan)
		p.call("join the sandbox's mounts", unix.SYS_SETNS, mntns, unix.CLONE_NEWNS)
		p.call("umask", unix.SYS_UMASK, 0)
		add(p)
	})
	return err
}

// helper forks a child into the user namespace that owns ns, and has it run what
// add puts into its setup. It gives the child's message, if there is one.
func helper(ns int, add func(in *inner)) (m message, err error) {
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
	p := &in.setup
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
	return m, nil
}

// finishFromOutside adds to a sandbox of bwrap's what bwrap was not asked for.
func (r *running) finishFromOutside() error {
	return join(r.mntns, r.plan, func(p *program) {
		p.call("make mounts private", unix.SYS_MOUNT, "", "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
		p.call("mount "+KitDir, unix.SYS_MOUNT, "tmpfs", KitDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
		p.kitInto(KitDir, r.plan)
		p.call("protect "+KitDir, unix.SYS_MOUNT, "", KitDir, 0, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, 0)
		for _, s := range r.plan.Steps {
			if isLate(s.Kind) {
				p.late(s)
			}
		}
		if r.plan.RootUser {
			p.procGuard()
		}
		p.share()
	})
}
