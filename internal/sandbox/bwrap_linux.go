package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors that bwrap passes through to the stage.
const (
	stageSock = 3 + iota
	stageIn
	stageOut
	stageErr
	stageExe
	stageOrder // what the stage is to do, see order
	stageArgs  // bwrap's own
)

// helperProgram is bubblewrap as it waits for its arguments.
type helperProgram struct {
	args        *os.File // write end of a pipe
	order, said *os.File // in memory
}

// bwrapPatience is how long bubblewrap may take to end after its child.
const bwrapPatience = 2 * time.Second

// beginBwrap starts bubblewrap, which is loaded, and waits for its arguments,
// while we find out what they are.
func (r *running) beginBwrap() error {
	h := &helperProgram{}
	r.helper = h
	ours, theirs, err := sockets()
	if err != nil {
		return err
	}
	defer unix.Close(theirs)
	r.sock = ours
	exe, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open aigate's own program: %w", err)
	}
	defer unix.Close(exe)
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	h.args = os.NewFile(uintptr(pipe[1]), "bwrap's arguments")
	if h.order, err = inMemory("order"); err != nil {
		return err
	}
	if h.said, err = inMemory("said"); err != nil {
		return err
	}
	// Ambient capabilities, as in some containers, make bwrap refuse to start.
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	in, out, errs := r.descriptors()
	files := []int{null, null, int(h.said.Fd()), theirs, in, out, errs, exe, int(h.order.Fd()), pipe[0]}
	attr := &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}, Env: []string{}}
	for _, fd := range files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	argv := []string{r.Bwrap, "--args", strconv.Itoa(stageArgs), "--", "/proc/self/fd/" + strconv.Itoa(stageExe), stageArg}
	pid, err := startInto(r.Bwrap, argv, attr, r.limits.Control)
	if err != nil {
		return &EngineError{fmt.Sprintf("start bubblewrap: %v", err)}
	}
	waited := false
	r.wait = func() {
		if waited {
			return
		}
		waited = true
		hurry := time.AfterFunc(bwrapPatience, func() { unix.Kill(pid, unix.SIGKILL) })
		waitFor(pid)
		hurry.Stop()
		if r.pidfd >= 0 {
			untilGone(r.pidfd)
			unix.Close(r.pidfd)
		}
	}
	r.explain = func() string {
		r.wait()
		text, _ := io.ReadAll(io.NewSectionReader(h.said, 0, 1<<16))
		return strings.TrimSpace(string(text))
	}
	r.kill = func() {
		switch {
		case waited:
		case r.pidfd >= 0: // its child, which it then reaps; it would be left to init otherwise
			unix.PidfdSendSignal(r.pidfd, unix.SIGKILL, nil, 0)
		default:
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	r.limits.Adopt(pid)
	// Before bubblewrap knows enough to fork.
	r.keeper, err = keep(pid, r.limits)
	return err
}

// frameBwrap tells bubblewrap to make the namespaces and the frame, and to start
// aigate's inner stage as PID 1, which then waits for what it is to do.
func (r *running) frameBwrap(steps []Step) (err error) {
	if r.asked, err = openSources(steps); err != nil {
		return err
	}
	text := strings.Join(bwrapArgs(steps, r.OwnNet), "\x00") + "\x00"
	// bwrap that is gone already tells why, see explain.
	if _, err := io.WriteString(r.helper.args, text); err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("tell bubblewrap what to do: %w", err)
	}
	return r.helper.args.Close()
}

// startBwrap tells the inner stage what to do.
func (r *running) startBwrap() error {
	if _, err := r.helper.order.WriteAt(order(r.inward(stageSock)), 0); err != nil {
		return fmt.Errorf("prepare the inner stage: %w", err)
	}
	r.lap("program prepared")
	if err := unix.Send(r.sock, []byte{msgGo}, unix.MSG_NOSIGNAL); err != nil && err != unix.EPIPE && err != unix.ECONNRESET {
		return fmt.Errorf("talk to the inner stage: %w", err)
	}
	return nil
}

// close is for when there is nothing more to tell or to hear.
func (h *helperProgram) close() {
	if h == nil {
		return
	}
	for _, f := range []*os.File{h.args, h.order, h.said} {
		if f != nil {
			f.Close()
		}
	}
}

// descriptors are what the stage gets as 0, 1 and 2: any where the pty is to be,
// which takes its place before the payload starts.
func (r *running) descriptors() (in, out, err int) {
	fd := func(n int) int { return max(r.Caller.Descriptor(n), 0) }
	return fd(0), fd(1), fd(2)
}

// inMemory gives a file that exists in memory alone.
func inMemory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// bwrapArgs turns the frame of a plan into bubblewrap's arguments. Masks and protections
// are added from outside afterwards: bwrap's own cost grows with the square of
// their number.
func bwrapArgs(steps []Step, ownNet bool) []string {
	a := []string{"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		"--die-with-parent", "--as-pid-1", "--cap-drop", "ALL",
		// The stage has to enter the root that is made from outside, and then gives
		// up these, too.
		"--cap-add", "CAP_SYS_CHROOT", "--cap-add", "CAP_SETPCAP"}
	if ownNet {
		a = append(a, "--unshare-net")
	}
	for _, s := range steps {
		switch s.Kind {
		case Root:
			a = append(a, "--ro-bind", s.Path, s.Path)
		case Dev:
			a = append(a, "--dev", s.Path)
		case Proc:
			a = append(a, "--proc", s.Path)
		case Scratch:
			a = append(a, "--perms", strconv.FormatUint(uint64(s.Mode), 8), "--tmpfs", s.Path)
		case Kit:
			a = append(a, "--dir", s.Path)
		case Bind:
			a = append(a, "--bind", s.Path, s.Path)
		case Show:
			a = append(a, "--ro-bind", s.Path, s.Path)
		}
	}
	return append(a, "--chdir", "/")
}

// untilGone waits for PID 1, which ends when everything inside has: bubblewrap may
// have been hurried.
func untilGone(pidfd int) {
	const patience = 30 * time.Second // what the kernel still has to tear down
	p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if n, err := unix.Poll(p, int(time.Until(end).Milliseconds())+1); n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}
