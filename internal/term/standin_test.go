//go:build linux

package term

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/AxeForging/aigate/internal/mask"
	"golang.org/x/sys/unix"
)

// The test binary plays three parts besides its own. "aigate" is the supervisor as the sandbox package will write it;
// "init" stands for the sandbox's PID 1; "stage" is what PID 1 forks, up to its exec of the payload.
const roleVar = "TERM_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	os.Unsetenv(roleVar)
	switch role {
	case "":
		if signal.Ignored(unix.SIGHUP) { // below nohup, and then by all that we start
			signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
		}
		os.Exit(runTests(m))
	case "aigate":
		os.Exit(playAigate(os.Args[1:]))
	case "init":
		os.Exit(playInit(os.Args[1:]))
	case "stage":
		playStage(os.Args[1:])
	case "sizes":
		playSizes()
	case "closed":
		os.Exit(playClosed())
	}
	panic(role)
}

// runCommand is a program that stands for `aigate run --`.
var runCommand string

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "term")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	runCommand = filepath.Join(dir, "run")
	for command, role := range map[string]string{"run": "aigate", "sizes": "sizes"} {
		script := fmt.Sprintf("#!/bin/sh\n%s=%s exec %s \"$@\"\n", roleVar, role, self())
		if err := os.WriteFile(filepath.Join(dir, command), []byte(script), 0o755); err != nil {
			panic(err)
		}
	}
	os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	return m.Run()
}

func self() string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return exe
}

func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(self(), args...)
	cmd.Env = append(os.Environ(), roleVar+"="+name)
	return cmd
}

func playAigate(command []string) int {
	status, err := supervise(command)
	if err != nil {
		fmt.Fprintln(os.Stderr, "[aigate]", err)
		return 1
	}
	return status
}

func supervise(command []string) (status int, err error) {
	c, err := Inspect()
	if err != nil {
		return 0, err
	}
	if os.Getenv("TERM_TEST_MASK") != "" {
		if err := c.Mask(func(to io.Writer) io.WriteCloser { return mask.NewWriter(testMask, to) }); err != nil {
			return 0, err
		}
	}
	c.Listen()
	if os.Getenv("TERM_TEST_SLOW") != "" {
		fmt.Fprintln(os.Stderr, "setting up")
		time.Sleep(time.Second)
	}
	control, theirs, err := socketPair()
	if err != nil {
		return 0, err
	}
	init := role("init", append([]string{fmt.Sprint(c.Foreground())}, command...)...)
	init.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	init.ExtraFiles = []*os.File{theirs}
	var master, slave *os.File
	if c.WantsPTY() {
		if master, slave, err = openPTY(); err != nil {
			return 0, err
		}
		size, modes := c.Settings()
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &size); err != nil {
			return 0, err
		}
		if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &modes); err != nil {
			return 0, err
		}
		init.ExtraFiles = append(init.ExtraFiles, slave)
	}
	given := [3]*os.File{c.Stdin(), c.Stdout(), c.Stderr()}
	for n, f := range given {
		if f == nil {
			given[n] = slave
		}
	}
	init.Stdin, init.Stdout, init.Stderr = given[0], given[1], given[2]
	if err := init.Start(); err != nil {
		return 0, err
	}
	theirs.Close()
	if slave != nil {
		slave.Close()
	}
	return converse(c, master, control, init)
}

// converse is the supervisor's part of the talk with PID 1.
func converse(c *Caller, master *os.File, control net.Conn, init *exec.Cmd) (status int, err error) {
	lines := bufio.NewScanner(control)
	var s *Session
	defer func() {
		init.Wait()
		if s != nil {
			err = errors.Join(err, s.Finish(), s.Finish())
		}
	}()
	for lines.Scan() {
		var n int
		word, arg, _ := strings.Cut(lines.Text(), " ")
		fmt.Sscan(arg, &n)
		switch word {
		case "payload":
			if s, err = c.Start(master, n); err != nil {
				return 0, err
			}
			if to := os.Getenv("TERM_TEST_PIDS"); to != "" {
				os.WriteFile(to, []byte(fmt.Sprintf("%d %d", os.Getpid(), n)), 0o644)
			}
			fmt.Fprintln(control, "go")
		case "stopped":
			foreground, err := s.Stopped(unix.Signal(n))
			if err != nil {
				return 0, err
			}
			fmt.Fprintln(control, foreground)
		case "exited":
			status = n
		}
	}
	return status, lines.Err()
}

func testMask() *mask.Mask {
	m, err := mask.New(mask.Rules{Patterns: []mask.Pattern{{Regex: "secret-[a-z0-9]+", ShowPrefix: 7}}})
	if err != nil {
		panic(err)
	}
	return m
}

func socketPair() (ours net.Conn, theirs *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(p[0]), "ours")
	defer f.Close()
	ours, err = net.FileConn(f)
	return ours, os.NewFile(uintptr(p[1]), "theirs"), err
}

func openPTY() (master, slave *os.File, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	p, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, nil, errno
	}
	return os.NewFile(uintptr(m), "master"), os.NewFile(p, "slave"), nil
}

const (
	initControl = 3 // the descriptors of "init"
	initSlave   = 4
)

// playInit keeps the slave open to its end, or the master would read EIO while nobody else has it open.
func playInit(args []string) int {
	unix.CloseOnExec(initControl)
	control := os.NewFile(initControl, "control")
	lines := bufio.NewScanner(control)
	// TIOCSPGRP from the background and the hang-up of the master are not to hit PID 1.
	signal.Ignore(unix.SIGTTOU, unix.SIGTTIN, unix.SIGHUP)
	pty := unix.IoctlSetInt(initSlave, unix.TIOCSCTTY, 0) == nil
	stage := role("stage", args...)
	stage.Stdin, stage.Stdout, stage.Stderr = os.Stdin, os.Stdout, os.Stderr
	gate, opened, _ := os.Pipe()
	stage.ExtraFiles = []*os.File{gate}
	if pty {
		unix.CloseOnExec(initSlave)
		stage.ExtraFiles = append(stage.ExtraFiles, os.NewFile(initSlave, "slave"))
	}
	stage.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := stage.Start(); err != nil {
		panic(err)
	}
	gate.Close()
	os.Stdin.Close() // the feed's pipe must have one reader
	pid := stage.Process.Pid
	fmt.Fprintln(control, "payload", pid)
	if !lines.Scan() {
		return 1
	}
	opened.Close()
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err == unix.EINTR {
			continue
		} else if err != nil {
			panic(err)
		}
		switch {
		case status.Exited():
			fmt.Fprintln(control, "exited", status.ExitStatus())
			return 0
		case status.Signaled():
			fmt.Fprintln(control, "exited", 128+int(status.Signal()))
			return 0
		case status.Stopped():
			fmt.Fprintln(control, "stopped", int(status.StopSignal()))
			if !lines.Scan() {
				return 1
			}
			if pty {
				group := unix.Getpgrp()
				if lines.Text() == "true" {
					group = pid
				}
				unix.IoctlSetPointerInt(initSlave, unix.TIOCSPGRP, group)
			}
			unix.Kill(-pid, unix.SIGCONT)
		}
	}
}

const (
	stageGate  = 3
	stageSlave = 4
)

func playStage(args []string) {
	os.NewFile(stageGate, "gate").Read(make([]byte, 1)) // until the session has started
	if args[0] == "true" {
		if err := unix.IoctlSetPointerInt(stageSlave, unix.TIOCSPGRP, unix.Getpgrp()); err != nil {
			panic(err)
		}
	}
	for _, sig := range []unix.Signal{unix.SIGTTOU, unix.SIGTTIN, unix.SIGHUP} {
		sigaction(sig, &action{actionDefault}, nil)
	}
	unix.CloseOnExec(stageGate)
	unix.CloseOnExec(stageSlave)
	path, err := exec.LookPath(args[1])
	if err == nil {
		err = unix.Exec(path, args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(127)
}

// playSizes is a payload that says how large its terminal has become. (bash loses a SIGWINCH while it is stopped, and
// dash a Ctrl-Z during its vfork, by which it waits for a child that has stopped.)
func playSizes() {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	for {
		ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			panic(err)
		}
		fmt.Println("size", ws.Row, ws.Col)
		<-resized
	}
}

// playClosed is a caller whose descriptors 0 and 1 are closed, which Go itself would have filled at its start.
func playClosed() int {
	unix.Close(0)
	unix.Close(1)
	c, err := Inspect()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for n := range 2 {
		name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", c.Descriptor(n)))
		flags, _ := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
		fmt.Fprintln(os.Stderr, n, name, flags&unix.O_ACCMODE)
	}
	return 0
}
