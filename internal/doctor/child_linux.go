package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// What cannot be undone, or must not be done to ourselves, is tried in a child: this program once
// more, with childArg and the name of a trial as its arguments. The child says on stdout what came of
// it. It starts here, before the packages initialize that only the rest of aigate needs.
const childArg = "__doctor"

func trialNamed(name string) func() error {
	switch name {
	case "nothing":
		return func() error { return nil }
	case "namespaces":
		return namespacesChild
	case "listener":
		return listenerChild
	}
	return nil
}

func init() {
	if len(os.Args) != 3 || os.Args[1] != childArg {
		return
	}
	if do := trialNamed(os.Args[2]); do != nil {
		runtime.LockOSThread()
		if err := do(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func child(name string, attr *syscall.SysProcAttr) *exec.Cmd {
	c := exec.Command("/proc/self/exe", childArg, name)
	attr.Pdeathsig = syscall.SIGKILL
	c.SysProcAttr, c.Dir = attr, "/"
	return c
}

// inUserNamespace maps root of a new user namespace to us.
func inUserNamespace(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// TryNamespaces makes a user namespace and in it what a sandbox consists of.
func TryNamespaces() (t Trial) {
	out, err := child("namespaces", inUserNamespace(unix.CLONE_NEWPID)).Output()
	var errno syscall.Errno
	if errors.As(err, &errno) { // it did not start: was it the namespace or the map?
		bare := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID}
		if err := child("nothing", bare).Run(); errors.As(err, &errno) {
			t.Clone = errno
		} else {
			t.Map = errno
		}
		return t
	}
	var others, mount, proc uintptr
	if err == nil {
		_, err = fmt.Sscan(string(out), &others, &mount, &proc)
	}
	if err != nil {
		t.Broken = fmt.Sprintf("the child that tries namespaces: %v", err)
	}
	t.Others, t.Mount, t.Proc = syscall.Errno(others), syscall.Errno(mount), syscall.Errno(proc)
	return t
}

func namespacesChild() error {
	var e [3]syscall.Errno
	steps := []func() error{
		func() error {
			return unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET)
		},
		func() error {
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount("aigate", "/proc", "tmpfs", 0, ""); err != nil {
				return err
			}
			return unix.Unmount("/proc", 0)
		},
		func() error {
			return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		},
	}
	for i, try := range steps {
		if err := try(); err != nil && !errors.As(err, &e[i]) {
			return err
		}
		if e[i] != 0 {
			break
		}
	}
	_, err := fmt.Println(uintptr(e[0]), uintptr(e[1]), uintptr(e[2]))
	return err
}

// tryListener has a child load a seccomp filter with a listener, takes the listener out of it as
// aigate takes sockets out of the processes of a sandbox (pidfd_getfd(2), which asks what ptrace(2)
// asks), and answers the one call that the filter hands over.
func tryListener() error {
	c, said, err := startListener(inUserNamespace(0))
	if err != nil { // no user namespaces, which another line says
		c, said, err = startListener(&syscall.SysProcAttr{})
	}
	if err != nil {
		return err
	}
	if err := listen(c.Process.Pid, said); err != nil {
		c.Process.Kill() // it may wait for an answer for ever
		c.Wait()
		return err
	}
	rest, err := io.ReadAll(said)
	if err := errors.Join(err, c.Wait()); err != nil || string(rest) != "answered\n" {
		return fmt.Errorf("the answer to a call did not arrive: %v %q", err, rest)
	}
	return nil
}

func startListener(attr *syscall.SysProcAttr) (*exec.Cmd, *bufio.Reader, error) {
	c := child("listener", attr)
	said, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return c, bufio.NewReader(said), c.Start()
}

// lookError says that the child cannot be looked into: the filter itself may be in order.
type lookError struct{ error }

func (e *lookError) Unwrap() error { return e.error }

func listen(pid int, said *bufio.Reader) error {
	var fd, errno int
	if _, err := fmt.Fscanln(said, &fd, &errno); err != nil {
		return fmt.Errorf("the child that loads a filter: %w", err)
	}
	if errno != 0 {
		return fmt.Errorf("seccomp(2) with a listener: %w", syscall.Errno(errno))
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open(2): %w", err)
	}
	defer unix.Close(pidfd)
	listener, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return &lookError{fmt.Errorf("pidfd_getfd(2) from a process in a sandbox: %w", err)}
	}
	defer unix.Close(listener)
	return answerOne(listener)
}
