package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/term"
	"golang.org/x/sys/unix"
)

// Begin begins a sandbox before it is known what is to be in it: its first
// process makes namespaces while the caller finds that out. Whoever begins one
// must End it.
//
// Begin and Run must be called on the main goroutine, locked to its thread:
// when that thread ends, so does the sandbox (PR_SET_PDEATHSIG in prctl(2)).
func Begin(with Base) (*Sandbox, error) {
	runtime.LockOSThread()
	r := &running{Base: with, master: -1, mntns: -1, netns: -1, pidfd: -1}
	var err error
	if r.limits, err = beginLimits(with); err != nil {
		return nil, err
	}
	switch with.Engine {
	case Native:
		err = r.beginNative()
	case Bwrap:
		err = r.beginBwrap()
	default:
		err = fmt.Errorf("no engine %q on this system", with.Engine)
	}
	if err != nil {
		r.end()
		return nil, err
	}
	return &Sandbox{r}, nil
}

// Sandbox is one that was begun.
type Sandbox struct{ *running }

// End leaves nothing behind of a sandbox, whether or not it was run. A nil one
// is none.
func (s *Sandbox) End() {
	if s != nil {
		s.end()
	}
}

// Run executes the command under the plan and gives its exit status: the
// payload's own, or 128+N when signal N ended it. An error means that nothing
// was started (or, after the start, that the sandbox was ended). The sandbox has
// ended when it returns.
func (s *Sandbox) Run(plan *Plan, cmd Command, opt Options) (status int, err error) {
	r := s.running
	r.plan, r.cmd, r.opt, r.clock = plan, cmd, opt, time.Now()
	defer r.end()
	if plan.OwnNet != r.OwnNet || plan.Limits != r.Limits {
		return 1, errors.New("the sandbox was begun with another network or other limits than the plan's")
	}
	if err := r.foundation(); err != nil {
		return 1, err
	}
	if r.Engine == Native {
		err = r.startNative()
	} else {
		err = r.startBwrap()
	}
	if err != nil {
		return 1, err
	}
	if err := r.network(); err != nil {
		return 1, err
	}
	if err := r.connect(); err != nil {
		return 1, err
	}
	return r.supervise()
}

// Frame begins with what the plan is known to begin with, before the rest of it
// is: its steps up to Show. Run says what came of it. Nothing is done where it has
// to wait for something else (a folder that is yet to be made, a cgroup), nor to
// a nil Sandbox.
func (s *Sandbox) Frame(plan *Plan) {
	if s == nil {
		return
	}
	r := s.running
	if r.limits.Pending() || slices.ContainsFunc(plan.Steps, func(s Step) bool { return s.View != NoPlaceholder }) {
		return
	}
	r.frameErr = r.frame(plan.frame())
}

func (r *running) frame(steps []Step) error {
	r.framed = slices.Clone(steps)
	if r.Engine == Native {
		return r.frameNative(steps)
	}
	return r.frameBwrap(steps)
}

// foundation makes the frame, if it is not made, and everything that has to be
// there before the rest is.
func (r *running) foundation() (err error) {
	if r.frameErr != nil {
		return r.frameErr
	}
	if r.framed != nil && !slices.Equal(r.framed, r.plan.frame()) {
		return errors.New("the sandbox was begun with another frame than the plan's")
	}
	if r.held, err = hold(r.plan, r.opt.Spare); err != nil {
		return err
	}
	r.lap("placeholders")
	if err := r.limitsInForce(); err != nil {
		return err
	}
	if r.framed != nil {
		return nil
	}
	return r.frame(r.plan.frame())
}

// running is one sandbox, from the supervisor's side.
type running struct {
	Base
	inner  *inner         // native: the list that PID 1 works through
	shell  shell          // native: what was made before the plan was known
	helper *helperProgram // bwrap
	plan   *Plan
	cmd    Command
	opt    Options
	held   *held
	framed []Step // what of the plan is mounted, or being mounted

	sock    int           // our end of the socket to PID 1
	wait    func()        // waits for PID 1 (and bwrap)
	kill    func()        // ends PID 1, by whatever holds it
	explain func() string // what the engine's helper program said, if anything
	pidfd   int           // of PID 1, or -1
	master  int           // pty, or -1
	mntns   int           // the sandbox's mount namespace
	netns   int           // its network namespace, where the plan needs it
	front   *gate.Transparent

	frameErr error
	served   chan struct{} // closed when front is there, or serveErr
	serveErr error
	payload  int     // host pid
	asked    []asked // of bubblewrap
	here     looked  // native: what PID 1 saw in the command's folder
	calls    *calls
	pid1     int // host pid
	session  *term.Session
	limits   *limits
	keeper   *keeper

	heard bool // of the inside
	ended bool
	clock time.Time
}

// lap reports how long the stage since the last lap took.
func (r *running) lap(stage string) {
	if r.opt.Timing != nil {
		now := time.Now()
		r.opt.Timing(stage, now.Sub(r.clock))
		r.clock = now
	}
}

// sockets makes the socket pair between supervisor and PID 1. SO_PASSCRED has
// the kernel translate the senders' pids for us, unix(7).
func sockets() (ours, theirs int, err error) {
	sp, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make a socket pair: %w", err)
	}
	if err := unix.SetsockoptInt(sp[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return -1, -1, fmt.Errorf("set SO_PASSCRED: %w", err)
	}
	return sp[0], sp[1], nil
}

// mostDescriptors is how many one message may carry.
const mostDescriptors = 100

// message is one packet from the inside.
type message struct {
	kind  byte
	value uint32 // wait status or errno
	name  string // the step that failed
	pid   int    // the sender
	fds   []int
}

// receive reads the next message. io.EOF-like: kind 0 when PID 1 is gone.
func receive(sock int) (m message, err error) {
	var buf [256]byte
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*mostDescriptors))
	var n, oobn int
	for reset := false; ; {
		n, oobn, _, _, err = unix.Recvmsg(sock, buf[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.ECONNRESET && !reset { // it did not read all; but what it said before is still to be read
			reset = true
			continue
		}
		if err != unix.EINTR {
			break
		}
	}
	if err == unix.ECONNRESET || err == nil && n == 0 {
		return message{}, nil
	}
	if err != nil {
		return m, fmt.Errorf("read from the sandbox: %w", err)
	}
	m.kind = buf[0]
	if n >= 5 {
		m.value = binary.NativeEndian.Uint32(buf[1:5])
		m.name = string(buf[5:n])
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return m, fmt.Errorf("read from the sandbox: %w", err)
	}
	for i := range msgs {
		if c, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
			m.pid = int(c.Pid)
		}
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			m.fds = append(m.fds, fds...)
		}
	}
	return m, nil
}

// expect reads a message of one kind; any other is the reason of a failure.
func (r *running) expect(kind byte) (message, error) {
	m, err := receive(r.sock)
	r.heard = r.heard || m.kind != 0
	if err != nil || m.kind == kind {
		return m, err
	}
	return m, r.failure(m)
}

// failure turns an unexpected message into the sentence that the user reads.
func (r *running) failure(m message) error {
	switch m.kind {
	case msgFailed:
		return &SetupError{Step: m.name, Errno: syscall.Errno(m.value)}
	case msgNoExec:
		return fmt.Errorf("%w: %w", ErrNotExecuted, syscall.Errno(m.value))
	case 0:
		said := r.explain()
		switch {
		case r.Engine == Bwrap && !r.heard && said == "":
			return &EngineError{r.Bwrap + " ended without a word"}
		case r.Engine == Bwrap && !r.heard:
			return &EngineError{said}
		case said != "":
			return errors.New(said)
		}
		return errors.New("the sandbox ended before the command was started")
	}
	return fmt.Errorf("unexpected message %q from the sandbox", m.kind)
}

// SetupError is a system call that failed while the sandbox was built.
type SetupError struct {
	Step  string
	Errno syscall.Errno
}

func (e *SetupError) Error() string { return "cannot " + e.Step + ": " + e.Errno.Error() }
func (e *SetupError) Unwrap() error { return e.Errno }

// connect takes over from "the mounts are in place" to "the payload runs". PID 1
// goes on by itself meanwhile, up to where nothing but execve is left to do.
func (r *running) connect() error {
	m, err := r.expect(msgReady)
	if err != nil {
		return err
	}
	pty := b2i(r.Caller.WantsPTY())
	if want := 1 + pty + len(r.sights()); len(m.fds) != want {
		return fmt.Errorf("the sandbox handed out %d descriptors instead of %d", len(m.fds), want)
	}
	r.mntns, r.pid1 = m.fds[0], m.pid
	if r.pidfd < 0 { // bubblewrap's child; it is there, for it waits
		if r.pidfd, err = unix.PidfdOpen(r.pid1, 0); err != nil {
			return fmt.Errorf("hold PID 1: %w", err)
		}
	}
	r.limits.see(m.fds[1+pty:])
	if r.Caller.WantsPTY() {
		r.master = m.fds[1]
		size, modes := r.Caller.Settings()
		if err := unix.IoctlSetTermios(r.master, unix.TCSETS, &modes); err != nil {
			return fmt.Errorf("set the pty's modes: %w", err)
		}
		if err := unix.IoctlSetWinsize(r.master, unix.TIOCSWINSZ, &size); err != nil {
			return fmt.Errorf("set the pty's size: %w", err)
		}
	}
	r.lap("namespaces and mounts")
	if err := r.asMeant(); err != nil {
		return err
	}
	if m, err = r.expect(msgPayload); err != nil {
		return err
	}
	r.payload = m.pid
	if want := b2i(!inAigate()); len(m.fds) != want {
		return fmt.Errorf("the command handed out %d descriptors instead of %d", len(m.fds), want)
	}
	for _, listener := range m.fds {
		if r.calls, err = serveCalls(listener, r); err != nil {
			return err
		}
	}
	if err := r.networkServed(); err != nil {
		return err
	}
	if r.opt.Ready != nil {
		r.opt.Ready()
	}
	var master *os.File
	if r.master >= 0 {
		master = os.NewFile(uintptr(r.master), "pty")
	}
	r.Caller.Suspend = r.suspend
	if r.session, err = r.Caller.Start(master, r.payload); err != nil {
		return err
	}
	if err := unix.Send(r.sock, []byte{msgGo}, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("start the command: %w", err)
	}
	r.lap("command started")
	return nil
}

// supervise follows the payload to its end. Most commands are over within
// moments; what only a longer one needs, and costs a thread each, waits until
// then: the watcher, the janitor, who answers calls, and who serves the network.
func (r *running) supervise() (int, error) {
	started, busy := time.Now(), false
	for {
		if !busy && !r.readable(watchDelay-time.Since(started)) {
			if err := r.lookAfter(); err != nil {
				return 1, err
			}
			busy = true
		}
		m, err := receive(r.sock)
		if err != nil {
			return 1, err
		}
		switch m.kind {
		case msgStopped:
			fg, err := r.session.Stopped(unix.WaitStatus(m.value).StopSignal())
			if err != nil {
				return 1, err
			}
			if err := unix.Send(r.sock, []byte{msgResume, byte(b2i(fg))}, unix.MSG_NOSIGNAL); err != nil && err != unix.EPIPE && err != unix.ECONNRESET {
				return 1, fmt.Errorf("continue the command: %w", err)
			}
		case msgExited:
			if !busy && r.opt.Watch != nil {
				r.opt.Watch.tooLate(time.Since(started))
			}
			r.lap("command ran")
			if over := r.limits.ended(); over != nil {
				return statusOf(*over), nil
			}
			return exitStatus(unix.WaitStatus(m.value)), nil
		case 0:
			if over := r.limits.ended(); over != nil {
				return statusOf(*over), nil
			}
			if err := r.opt.Watch.failure(); err != nil {
				return 1, fmt.Errorf("%w: what appears could not be hidden any more: %w", ErrEnded, err)
			}
			if err := r.limits.failure(); err != nil {
				return 1, fmt.Errorf("%w: limits could not be kept any more: %w", ErrEnded, err)
			}
			if r.limits.Killed() {
				return statusOf(limit.Excess{Key: "max_memory"}), nil
			}
			return 128 + int(unix.SIGKILL), fmt.Errorf("%w: something killed it", ErrEnded)
		default:
			return 1, r.failure(m)
		}
	}
}

// readable waits for a message of PID 1's, and judges programs meanwhile. It is
// false when that takes longer than limit, or when the payload wants an answer
// of somebody else.
func (r *running) readable(limit time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(r.sock), Events: unix.POLLIN}, {Fd: r.calls.descriptor(), Events: unix.POLLIN}}
	for _, fd := range r.front.Waiting() {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	end := time.Now().Add(limit)
	for left := limit; left > 0; left = time.Until(end) {
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return false
		}
		switch {
		case fds[0].Revents != 0:
			return true
		case fds[1].Revents&unix.POLLIN != 0:
			if slow := r.calls.next(); slow {
				return false
			}
		case slices.ContainsFunc(fds[2:], func(p unix.PollFd) bool { return p.Revents != 0 }):
			return false
		case fds[1].Revents != 0: // no process is left that could ask
			fds[1].Fd = -1
		}
	}
	return false
}

// lookAfter starts what a command needs that is not over at once.
func (r *running) lookAfter() error {
	if err := r.front.Begin(); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	r.held.guard(r)
	if err := r.limits.follow(r); err != nil {
		return err
	}
	if err := r.calls.start(); err != nil {
		return err
	}
	if r.opt.Watch != nil {
		return r.opt.Watch.start(r)
	}
	return nil
}

func exitStatus(w unix.WaitStatus) int {
	if w.Signaled() {
		return 128 + int(w.Signal())
	}
	return w.ExitStatus()
}

// end leaves nothing behind, whatever happened before.
func (r *running) end() {
	if r.ended {
		return
	}
	r.ended = true
	r.limits.stop()
	if r.kill != nil {
		r.kill()
		r.wait()
		r.lap("sandbox gone")
	}
	if r.networkServed() == nil {
		r.front.Finish()
	}
	closeSources(r.asked)
	r.calls.stop()
	if r.session != nil {
		r.session.Finish()
	}
	if r.opt.Watch != nil {
		r.opt.Watch.stop()
	}
	looked := make(chan struct{})
	if r.opt.Gone != nil {
		go func() { r.opt.Gone(); close(looked) }()
	} else {
		close(looked)
	}
	// The last hold on the sandbox's mounts: to remove a placeholder that is
	// still a mount point somewhere costs the kernel a grace period each.
	if r.mntns >= 0 {
		unix.Close(r.mntns)
	}
	r.helper.close()
	r.keeper.release()
	r.held.release()
	r.limits.end(r)
	<-looked
	r.lap("cleaned up")
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
