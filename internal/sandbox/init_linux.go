package sandbox

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The inner side of a sandbox is PID 1 and the payload that it forks. PID 1 is
// a forked image of the supervisor (native) or a fresh aigate (bwrap); either
// way it runs the same programs and the same loop, in raw system calls:
//
//	early    namespaces, id maps, loopback, what every plan has    → waits for the plan's list
//	frame    mounts what the plan begins with    → waits for the rest of it
//	setup    hands sockets out, mounts    → tells "ready", hands descriptors out, waits for the rest
//	secure   gives up rights
//	payload  in a forked child, waits for "go", ends in execve
//
// PID 1 then reaps, tells the supervisor of stops and the end, and exits with
// the payload; the kernel ends whatever else is left (pid_namespaces(7)).

// Messages on the socket between PID 1 and the supervisor (SOCK_SEQPACKET).
// The first byte says what it is.
const (
	msgNetwork = 'N' // from PID 1, with descriptors: its network namespace and sockets there
	msgReady   = 'R' // from PID 1, with descriptors: the plan is in place
	msgGo      = 'G' // to PID 1: more of the list is there; to the payload: everything else is in place, too
	msgPayload = 'P' // from the payload, when nothing but execve is left, with the seccomp listener; its pid is in the credentials
	msgStopped = 'S' // from PID 1: u32 wait status; it waits for msgResume
	msgFreeze  = 'Z' // to PID 1, before msgResume: all stop
	msgFrozen  = 'z' // from PID 1: they have been told
	msgResume  = 'C' // to PID 1: u8, 1 if the payload gets the terminal
	msgExited  = 'X' // from PID 1: u32 wait status
	msgFailed  = 'E' // a step failed: u32 errno, its name
	msgNoExec  = 'F' // the last step, execve, failed: u32 errno, its name
)

// inner is everything that the inner side will do, prepared.
type inner struct {
	early, frame, setup, secure, payload program
	sock                                 uintptr // PID 1's end of the socket
	only                                 bool    // run setup alone, then exit: see join
	slave                                reg     // setup's register with the pty's slave, noReg without
	buf                                  [256]byte
	status                               uint32
	fail                                 failure
}

// newInner prepares an inner side that talks over descriptor sock.
func newInner(sock int) (*inner, error) {
	m, err := newMemory()
	if err != nil {
		return nil, err
	}
	in := (*inner)(unsafe.Pointer(&m.take(int(unsafe.Sizeof(inner{})))[0]))
	in.sock, in.slave = uintptr(sock), noReg
	regs := (*[maxRegs]uintptr)(unsafe.Pointer(&m.take(int(unsafe.Sizeof([maxRegs]uintptr{})))[0]))
	for _, p := range []*program{&in.early, &in.frame, &in.setup, &in.secure, &in.payload} {
		n := fewSteps
		switch p {
		case &in.frame:
			n = frameSteps
		case &in.setup:
			n = maxSteps
		}
		p.steps, p.mem, p.regs = m.steps(n), m, regs
	}
	return in, nil
}

// start is what PID 1 does; it does not return.
//
//go:nosplit
//go:norace
//go:noinline
func (in *inner) start() {
	if !in.early.run(&in.fail) {
		in.failed(&in.early, msgFailed)
	}
	if !in.frame.run(&in.fail) {
		in.failed(&in.frame, msgFailed)
	}
	if !in.setup.run(&in.fail) {
		in.failed(&in.setup, msgFailed)
	}
	if in.only {
		in.exit(0)
	}
	if !in.secure.run(&in.fail) {
		in.failed(&in.secure, msgFailed)
	}
	a := [6]uintptr{uintptr(unix.SIGCHLD)}
	pid, e := rawSyscall(unix.SYS_CLONE, &a)
	if e != 0 {
		in.fail.errno, in.fail.step = e, 0
		in.failed(&in.payload, msgFailed)
	}
	if pid == 0 {
		in.payload.run(&in.fail)
		kind := byte(msgFailed)
		if in.fail.step == len(in.payload.steps)-1 {
			kind = msgNoExec
		}
		in.failed(&in.payload, kind)
	}
	in.reap(pid)
}

// failed tells the supervisor which step of p failed, and exits.
//
//go:nosplit
//go:norace
func (in *inner) failed(p *program, kind byte) {
	in.buf[0] = kind
	*(*uint32)(unsafe.Pointer(&in.buf[1])) = uint32(in.fail.errno)
	name := p.steps[in.fail.step].name
	n := 5
	for i := 0; i < len(name) && n < len(in.buf); i++ {
		in.buf[n] = name[i]
		n++
	}
	in.send(uintptr(n))
	in.exit(1)
}

//go:nosplit
//go:norace
func (in *inner) send(n uintptr) {
	a := [6]uintptr{in.sock, uintptr(unsafe.Pointer(&in.buf[0])), n, unix.MSG_NOSIGNAL}
	rawSyscall(unix.SYS_SENDTO, &a)
}

//go:nosplit
//go:norace
func (in *inner) exit(code uintptr) {
	for {
		a := [6]uintptr{code}
		rawSyscall(unix.SYS_EXIT_GROUP, &a)
	}
}

// reap waits for every child until the payload ends. The payload's stops go to
// the supervisor, whose answer says when it may go on.
//
//go:nosplit
//go:norace
func (in *inner) reap(payload uintptr) {
	for {
		a := [6]uintptr{^uintptr(0), uintptr(unsafe.Pointer(&in.status)), unix.WUNTRACED | unix.WALL}
		pid, e := rawSyscall(unix.SYS_WAIT4, &a)
		if e != 0 {
			in.exit(1)
		}
		if pid != payload {
			continue
		}
		stopped := in.status&0xff == 0x7f
		in.buf[0] = msgExited
		if stopped {
			in.buf[0] = msgStopped
		}
		*(*uint32)(unsafe.Pointer(&in.buf[1])) = in.status
		in.send(5)
		if !stopped {
			in.exit(0)
		}
		in.resume(payload)
	}
}

// resume blocks until the supervisor lets the stopped payload go on.
//
//go:nosplit
//go:norace
func (in *inner) resume(payload uintptr) {
	whom := -payload
	var a [6]uintptr
	for {
		a = [6]uintptr{in.sock, uintptr(unsafe.Pointer(&in.buf[0])), 2}
		n, e := rawSyscall(unix.SYS_RECVFROM, &a)
		if e != 0 || n != 2 {
			in.exit(1) // the supervisor is gone
		}
		if in.buf[0] != msgFreeze {
			break
		}
		whom = ^uintptr(0) // all but us
		a = [6]uintptr{whom, uintptr(unix.SIGSTOP)}
		rawSyscall(unix.SYS_KILL, &a)
		in.buf[0] = msgFrozen
		in.send(1)
	}
	if in.slave != noReg {
		// In the background the terminal is PID 1's own, whose group is 1, or the
		// payload would never be told (SIGTTIN) that it may not read.
		in.status = 1
		if in.buf[1] == 1 {
			in.status = uint32(payload)
		}
		a = [6]uintptr{in.setup.regs[in.slave], unix.TIOCSPGRP, uintptr(unsafe.Pointer(&in.status))}
		rawSyscall(unix.SYS_IOCTL, &a) // fails only when the payload left its group; then it has its own job control
	}
	a = [6]uintptr{whom, uintptr(unix.SIGCONT)}
	rawSyscall(unix.SYS_KILL, &a)
}

// ready appends the message that hands descriptors to the supervisor.
func (in *inner) ready(fds ...reg) { in.handOver(&in.setup, msgReady, fds...) }

// handOver appends a message with descriptors, which are closed here.
func (in *inner) handOver(p *program, kind byte, fds ...reg) {
	if len(fds) == 0 {
		p.call("report to the supervisor", unix.SYS_SENDTO, in.sock, string([]byte{kind}), 1, unix.MSG_NOSIGNAL, 0, 0)
		return
	}
	size := unix.CmsgSpace(4 * len(fds))
	ctl := make([]byte, size)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&ctl[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4 * len(fds)))
	at := p.bytes(ctl)
	for i, r := range fds {
		p.put(r, at+uintptr(unix.CmsgLen(0)+4*i))
	}
	iov := ptrArg(p, &[2]uintptr{p.bytes([]byte{kind}), 1})
	// struct msghdr: name, its length, iovec, number, control, its length, flags.
	m := ptrArg(p, &[7]uintptr{0, 0, iov, 1, at, uintptr(size), 0})
	p.call("report to the supervisor", unix.SYS_SENDMSG, in.sock, m, unix.MSG_NOSIGNAL)
	for _, r := range fds {
		p.close(r)
	}
}

// waitGo appends the wait for the supervisor's word.
func (in *inner) waitGo(p *program) {
	p.call("wait for the supervisor", unix.SYS_RECVFROM, in.sock, p.bytes(make([]byte, 8)), 1, 0, 0, 0).least = 1
}

// terminal appends what gives the sandbox a pty of its own, in its own devpts,
// so that ttyname(3) inside is true. The master goes to the supervisor.
func (in *inner) terminal() (master reg) {
	p := &in.setup
	master = p.open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	zero := new(int32)
	p.call("unlock the pty", unix.SYS_IOCTL, master, unix.TIOCSPTLCK, ptrArg(p, zero))
	in.slave = p.newReg()
	p.call("open the pty's other side", unix.SYS_IOCTL, master, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).into(in.slave)
	return master
}

// origin is the signal state that the payload is to inherit: what the caller
// gave aigate, not what the Go runtime made of it.
type origin struct {
	mask    [8]byte
	handled []uintptr // signals with a handler of ours
}

// sigaction as the kernel has it on amd64 and arm64; only the handler matters.
type sigaction struct{ handler, flags, restorer, mask uintptr }

// signals reads the calling thread's signal state.
func signals() (o origin, err error) {
	if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, 0, uintptr(unsafe.Pointer(&o.mask)), 8, 0, 0); e != 0 {
		return o, e
	}
	for n := uintptr(1); n <= 64; n++ {
		var sa sigaction
		_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, n, 0, uintptr(unsafe.Pointer(&sa)), 8, 0, 0)
		if e == 0 && sa.handler > 1 {
			o.handled = append(o.handled, n)
		}
	}
	return o, nil
}

// fork clones the calling thread's process with the given flags and lets the
// child run fn, which must be nosplit and never return. All signals are blocked
// in the child, for good unless fn opens them: no Go handler may run there.
func (in *inner) fork(flags uintptr) (pid, pidfd int, err error) { return in.clone(flags, -1) }

// clone is fork, into a cgroup where that is not -1: clone3(2), cgroups(7).
//
//go:noinline
//go:norace
func (in *inner) clone(flags uintptr, cgroup int) (pid, pidfd int, err error) {
	runtime.LockOSThread() // PR_SET_PDEATHSIG belongs to the forking thread
	var fd int32 = -1
	all := ^uint64(0)
	var old uint64
	syscall.ForkLock.Lock()
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	// From here on the stack stays where it is: no signal, no call that grows it.
	keepHeap(uintptr(unsafe.Pointer(&old)), unix.MADV_DONTFORK)
	nr, a := uintptr(unix.SYS_CLONE), [3]uintptr{flags | unix.CLONE_PIDFD | uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&fd))}
	args := cloneArgs{flags: uint64(flags | unix.CLONE_PIDFD), pidfd: uint64(uintptr(unsafe.Pointer(&fd))), exitSignal: uint64(unix.SIGCHLD)}
	if cgroup >= 0 {
		args.flags, args.cgroup = args.flags|unix.CLONE_INTO_CGROUP, uint64(cgroup)
		nr, a = unix.SYS_CLONE3, [3]uintptr{uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args)}
	}
	r, _, e := syscall.RawSyscall6(nr, a[0], a[1], a[2], 0, 0, 0)
	if e == 0 && r == 0 {
		in.start()
	}
	keepHeap(uintptr(unsafe.Pointer(&old)), unix.MADV_DOFORK)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(in)
	if e != 0 {
		return 0, -1, e
	}
	return int(r), int(fd), nil
}

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// keepHeap keeps the heap that the stack lies in (Go's come in arenas of this
// size) from being copied by a fork, but for the part of the stack that the
// child works on: all else it needs is in shared memory. That saves the copying
// of the page tables, twice, and a fault for each page that is written later;
// and what the supervisor knows is not in PID 1's memory. Where it fails, the
// heap is copied, or a later child lacks its stack and dies at once.
//
//go:nosplit
//go:norace
func keepHeap(sp, advice uintptr) {
	if racing {
		return
	}
	const arena, page = 64 << 20, 64 << 10 // the largest page of any kernel
	base, at := sp&^(arena-1), sp&^(page-1)
	from, to := at-page, at+2*page
	if from > base {
		syscall.RawSyscall6(unix.SYS_MADVISE, base, from-base, advice, 0, 0, 0)
	}
	if to < base+arena {
		syscall.RawSyscall6(unix.SYS_MADVISE, to, base+arena-to, advice, 0, 0, 0)
	}
}
