package seatbelt

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// leader is the process that the command's session belongs to.
type leader struct {
	up, down *channel
	order    *Order
	pid      int
	terminal int         // -1 without
	obeys    bool        // obey runs
	over     atomic.Bool // the command has ended, and its number may be another's
}

func lead() int {
	if err := closeOthers(); err != nil {
		fmt.Fprintln(os.Stderr, "[aigate] list the open descriptors:", err)
		return 1
	}
	// Caught, so that they do not end us; not ignored, for that would be passed on.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGPIPE)
	l := &leader{up: newChannel(os.NewFile(control, "control")), terminal: -1}
	m, err := l.up.receive()
	if err != nil || m.Kind != isOrder || m.Order == nil {
		fmt.Fprintln(os.Stderr, "[aigate] this is started by aigate alone")
		return 1
	}
	if l.order = m.Order; l.order.Terminal {
		l.terminal = terminal
	}
	if failed := l.run(); failed != "" {
		l.up.send(message{Kind: isFailed, Text: failed})
	}
	l.killAll()
	l.over.Store(true)
	if !l.obeys {
		l.obey()
	}
	select {} // it ends us when aigate has gone
}

// run starts the command and follows it to its end. It gives the reason when
// nothing was started.
func (l *leader) run() (failed string) {
	if err := l.start(); err != nil {
		return err.Error()
	}
	m, err := l.down.receive()
	switch {
	case err != nil:
		return "read from the sandbox: " + err.Error()
	case m.Kind == isFailed:
		return m.Text
	case m.Kind != isReady:
		return l.notStarted()
	}
	if l.order.Foreground {
		if err := unix.IoctlSetPointerInt(l.terminal, unix.TIOCSPGRP, l.pid); err != nil {
			return "bring the command to the foreground: " + err.Error()
		}
	}
	l.up.send(message{Kind: isReady, Pid: l.pid})
	if m, err = l.up.receive(); err != nil || m.Kind != isGo {
		return "aigate has gone"
	}
	if err := l.down.send(message{Kind: isGo}); err != nil {
		return "start the command: " + err.Error()
	}
	l.obeys = true
	go l.obey()
	l.follow()
	return ""
}

// start runs sandbox-exec, which becomes the last stage.
func (l *leader) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	o := l.order
	p, err := os.StartProcess(o.Exec[0], append(slices.Clone(o.Exec), self, insideArg), &os.ProcAttr{
		Env: o.Env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, theirs}, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return fmt.Errorf("start %s: %w", o.Exec[0], err)
	}
	l.pid = p.Pid
	l.down = newChannel(ours)
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} { // the command's; whoever reads its output waits for the last of them
		f.Close()
	}
	inner := *o
	inner.Exec = nil
	return l.down.send(message{Kind: isOrder, Order: &inner})
}

// notStarted says why the last stage was never reached.
func (l *leader) notStarted() string {
	var w unix.WaitStatus
	if _, err := wait(l.pid, &w, 0); err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%s ended with status %d before the command was started", l.order.Exec[0], w.ExitStatus())
	if w.Signaled() {
		text = fmt.Sprintf("%s was ended by signal %d before the command was started", l.order.Exec[0], w.Signal())
	}
	return text + "; what it said stands above (a sandbox cannot be made inside of another one)"
}

// follow tells of stops and of the end.
func (l *leader) follow() {
	failure := make(chan message, 1)
	go func() { // closed by exec
		m, _ := l.down.receive()
		failure <- m
	}()
	for {
		var w unix.WaitStatus
		if _, err := wait(l.pid, &w, unix.WUNTRACED); err != nil {
			l.up.send(message{Kind: isFailed, Text: err.Error()})
			return
		}
		switch {
		case w.Stopped():
			l.up.send(message{Kind: isStopped, Value: int(w)})
		case w.Exited() || w.Signaled():
			if m := <-failure; m.Kind == isNoExec || m.Kind == isFailed {
				l.up.send(m)
				return
			}
			l.up.send(message{Kind: isExited, Value: int(w)})
			return
		}
	}
}

func wait(pid int, w *unix.WaitStatus, options int) (int, error) {
	for {
		if n, err := unix.Wait4(pid, w, options, nil); err != unix.EINTR {
			return n, err
		}
	}
}

// obey does what the supervisor says, and ends everything when it has gone.
func (l *leader) obey() {
	for {
		m, err := l.up.receive()
		switch {
		case err == nil && m.Kind == isResume && l.over.Load():
			continue
		case err != nil || m.Kind != isResume:
			if !l.over.Load() {
				l.killAll()
			}
			l.cleanUp()
			os.Exit(0)
		}
		if m.Fore && l.terminal >= 0 {
			// Ours is in the foreground until the command has asked; later it is one of the command's own groups.
			if group, err := unix.IoctlGetInt(l.terminal, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
				unix.IoctlSetPointerInt(l.terminal, unix.TIOCSPGRP, l.pid)
			}
		}
		unix.Kill(-l.pid, unix.SIGCONT)
	}
}

// cleanUp does what the supervisor does at its end, should it have been killed.
func (l *leader) cleanUp() {
	if l.order.Mark != "" {
		Leftovers(l.order.Mark)
	}
	if l.order.Remove != "" {
		os.RemoveAll(l.order.Remove)
	}
}

// killAll ends the command's group, and then what is left of the session.
func (l *leader) killAll() {
	if l.pid == 0 {
		return
	}
	unix.Kill(-l.pid, unix.SIGKILL)
	for range 100 { // while they make new ones
		some := false
		for _, pid := range processes() {
			if sid, err := unix.Getsid(pid); err == nil && sid == unix.Getpid() && pid != unix.Getpid() && unix.Kill(pid, unix.SIGKILL) == nil {
				some = some || !zombie(pid)
			}
		}
		if !some {
			return
		}
	}
}
