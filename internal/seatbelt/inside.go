package seatbelt

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is the last stage: it is in the sandbox, and becomes the command.
func inside() int {
	unix.CloseOnExec(control)
	c := newChannel(os.NewFile(control, "control"))
	m, err := c.receive()
	if err != nil || m.Kind != isOrder || m.Order == nil {
		fmt.Fprintln(os.Stderr, "[aigate] this is started by aigate alone")
		return 1
	}
	o := m.Order
	for _, check := range o.Checks {
		if what := check.failed(); what != "" {
			c.send(message{Kind: isFailed, Text: "the sandbox does not keep what it should: " + what +
				"; this version of macOS may have another one than aigate was made for"})
			return 1
		}
	}
	if err := c.send(message{Kind: isReady}); err != nil {
		return 1
	}
	if m, err = c.receive(); err != nil || m.Kind != isGo {
		return 1
	}
	failed := func(step string, err error) int {
		c.send(message{Kind: isFailed, Text: "cannot " + step + ": " + err.Error()})
		return 1
	}
	if err := os.Chdir(o.Dir); err != nil {
		return failed("enter "+o.Dir, err)
	}
	if o.OpenFiles.Max != 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &o.OpenFiles); err != nil {
			return failed("restore the limit on open files", err)
		}
	}
	if err := limitFileSize(o.FileSize); err != nil {
		return failed("limit the size of files", err)
	}
	err = syscall.Exec(o.Path, o.Args, o.Env)
	var errno syscall.Errno
	errors.As(err, &errno)
	c.send(message{Kind: isNoExec, Value: int(errno)})
	return 1
}

// limitFileSize lowers the limit, setrlimit(2), where the caller's is not lower.
func limitFileSize(most uint64) error {
	var now syscall.Rlimit
	if most == 0 {
		return nil
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
		return err
	}
	now.Cur, now.Max = min(now.Cur, most), min(now.Max, most)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now)
}

// failed tries what has to be refused, and says so if it was not.
func (c Check) failed() string {
	var err error
	switch c.Op {
	case "read":
		err = tryOpen(c.Path, unix.O_RDONLY)
	case "write":
		err = tryOpen(c.Path, unix.O_WRONLY)
	case "create":
		if err = tryOpen(c.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL); err == nil {
			unix.Unlink(c.Path)
		}
	case "rename":
		if err = unix.Rename(c.Path, c.Path+".moved"); err == nil {
			unix.Rename(c.Path+".moved", c.Path)
		}
	case "connect":
		err = tryConnect(c.Path)
	case "signal":
		pid, _ := strconv.Atoi(c.Path)
		err = unix.Kill(pid, 0)
	default:
		return "unknown check " + c.Op
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return ""
	}
	if err == nil {
		return c.Op + " " + c.Path + " was not refused"
	}
	return c.Op + " " + c.Path + " was not refused, but failed: " + err.Error()
}

func tryOpen(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func tryConnect(port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrInet4{Port: int(n), Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}).As4()})
}
