package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("on-terminal CMD...", func(a []string) error { return onTerminal(a, "tty") })
	add("on-terminal-piped CMD...", func(a []string) error { return onTerminal(a, "piped") })
	add("tiocsti TTY TEXT", tiocsti)
	add("tiocsti-fds TEXT", tiocstiFDs)
	add("tiocsti-high TTY TEXT", tiocstiHigh)
	add("tioclinux TTY", tioclinux)
}

// onTerminal is a terminal whose user runs CMD from a shell: CMD gets a session with this terminal as its
// controlling one. What CMD says goes to stdout; what is in the terminal's input queue afterwards, which the
// user's shell would now read as typed, is printed after "TYPED:". With "piped", the standard streams of CMD
// are pipes, as in `true | CMD | cat`, and the terminal is only the controlling one.
func onTerminal(args []string, streams string) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return err
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := raw(slave); err != nil {
		return err
	}
	var said bytes.Buffer
	drained := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for {
			k, err := master.Read(buf)
			said.Write(buf[:max(k, 0)])
			if err != nil {
				close(drained)
				return
			}
		}
	}()
	cmd := exec.Command(args[0], args[1:]...)
	if streams == "piped" {
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.ExtraFiles = []*os.File{slave}
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	} else {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		err = <-done
		fmt.Println("TIMEOUT")
	}
	typed, k := make([]byte, 4096), 0
	tty := int(slave.Fd()) // which makes it blocking, so only this once
	if waiting, _ := unix.Poll([]unix.PollFd{{Fd: int32(tty), Events: unix.POLLIN}}, 0); waiting > 0 {
		k, _ = unix.Read(tty, typed)
	}
	slave.Close()
	select {
	case <-drained:
	case <-time.After(time.Second):
	}
	os.Stdout.Write(said.Bytes())
	fmt.Printf("TYPED:%s\nENDED: %v\n", typed[:max(k, 0)], err)
	return nil
}

// raw turns off echo and line mode, so that pushed input neither shows as output nor waits for a newline.
func raw(tty *os.File) error {
	t, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.Lflag &^= unix.ECHO | unix.ICANON
	return unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, t)
}

func push(fd int, request uint, text string) error {
	for i := range len(text) {
		c := text[i]
		if err := call(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&c))); err != nil {
			return err
		}
	}
	return nil
}

func tiocsti(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	return push(fd, unix.TIOCSTI, args[1])
}

func tiocstiFDs(args []string) error {
	err := error(unix.ENOTTY)
	for fd := range 64 {
		if e := push(fd, unix.TIOCSTI, args[0]); e == nil {
			err = nil
		} else if err != nil && e != unix.EBADF {
			err = e
		}
	}
	return err
}

// tiocstiHigh sets bits of the request that the kernel ignores and a filter that compares 64 bits does not.
func tiocstiHigh(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	return push(fd, unix.TIOCSTI|1<<32, args[1])
}

// tioclinux pastes the selection of a virtual console, which is another way to type.
func tioclinux(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	sub := byte(3)
	return call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCLINUX, uintptr(unsafe.Pointer(&sub)))
}
