package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/limit"
	"golang.org/x/sys/unix"
)

// A command that stops, as Ctrl-Z has it do, stops us as well, for the shell to
// see. Then nobody hides files that appear, adds memory up or looks at the clock.
// So before that everything in the sandbox is stopped: PID 1 sends SIGSTOP to all,
// which no fork gets away from. But a process may have itself continued, by a
// timer of its own (timer_create(2)), and there is max_time. Both are for a
// warden: a process in a session of its own, which is there while we are stopped.

const wardenArg = "sandbox-warden"

// The warden's descriptors, and how it looks.
const (
	wardenPipe  = 3 // that closes when we go on, or are gone
	wardenProc  = 4 // the sandbox's /proc
	wardenPID1  = 5 // a pidfd
	wardenPause = 50 * time.Millisecond
	wardenAwake = 20 // looks at which something runs, until the sandbox is ended; a few are over before all have stopped
)

// suspend stops the sandbox. Resumed is for when we go on; the inside is told by
// msgResume.
func (r *running) suspend() (resumed func(), err error) {
	resumed, err = r.startWarden()
	if err != nil {
		return nil, fmt.Errorf("suspend the sandbox: %w", err)
	}
	if err = unix.Send(r.sock, []byte{msgFreeze, 0}, unix.MSG_NOSIGNAL); err == nil {
		var m message
		if m, err = receive(r.sock); err == nil && m.kind != msgFrozen && m.kind != 0 {
			err = r.failure(m)
		}
	}
	if err != nil {
		resumed()
		return nil, fmt.Errorf("suspend the sandbox: %w", err)
	}
	return resumed, nil
}

func (r *running) startWarden() (release func(), err error) {
	if r.limits.sight.Proc <= 0 {
		return nil, errors.New("the sandbox's /proc is not at hand")
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, fd := range []int{r.limits.sight.Proc, r.pidfd} {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			to.Close()
			return nil, err
		}
		files = append(files, os.NewFile(uintptr(own), "sandbox"))
	}
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"aigate", wardenArg, strconv.FormatInt(r.limits.left(r.Limits.MaxTime).Milliseconds(), 10)},
		Env: []string{}, Stderr: os.Stderr, ExtraFiles: append([]*os.File{from}, files...), SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		to.Close()
		return nil, err
	}
	return func() {
		to.Close()
		_ = cmd.Wait() // it has nothing more to say
	}, nil
}

// left is the time that max_time, which is most, leaves; 0 without.
func (l *limits) left(most time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case most == 0:
		return 0
	case l.deadline.IsZero(): // the command has just begun
		return most
	}
	return max(time.Until(l.deadline), time.Millisecond)
}

func init() {
	if len(os.Args) == 3 && os.Args[1] == wardenArg {
		os.Exit(watchStopped(os.Args[2]))
	}
}

// watchStopped is the warden.
func watchStopped(milliseconds string) int {
	supervisor := os.Getppid()
	left, _ := strconv.ParseInt(milliseconds, 10, 64)
	end := time.Now().Add(time.Duration(left) * time.Millisecond)
	pipe := []unix.PollFd{{Fd: wardenPipe, Events: unix.POLLIN}}
	for awake := 0; awake < wardenAwake; {
		if n, err := unix.Poll(pipe, int(wardenPause.Milliseconds())); n > 0 || err != nil && err != unix.EINTR {
			return 0
		}
		if left > 0 && time.Now().After(end) {
			left = 0
			unix.Kill(supervisor, unix.SIGCONT) // who ends the sandbox, and says why
		}
		if some, _ := limit.Awake(wardenProc); some { // or it cannot be told
			awake++ // for good: it could stop itself now and then
		}
	}
	fmt.Fprintln(os.Stderr, "[aigate] something in the sandbox went on while it was stopped; it was ended")
	unix.PidfdSendSignal(wardenPID1, unix.SIGKILL, nil, 0)
	unix.Kill(supervisor, unix.SIGCONT)
	return 0
}
