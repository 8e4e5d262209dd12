package doctor

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's structures and requests, seccomp_unotify(2).
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

const (
	notifyRecv = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifySend = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND

	// The call that is handed over: one that no runtime makes, and that does nothing to a process
	// without rights, should the filter not hold it.
	asked    = unix.SYS_VHANGUP
	answer42 = 42
)

// listenerChild loads the filter, says which descriptor its listener is, and makes the call.
func listenerChild() error {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: asked, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if _, err := fmt.Println(int(fd), int(e)); err != nil || e != 0 {
		return err
	}
	got, _, e := unix.Syscall(asked, 0, 0, 0)
	if e != 0 || got != answer42 {
		return fmt.Errorf("the call gave %d, %w", got, e)
	}
	_, err := fmt.Println("answered")
	return err
}

// answerOne waits for a call and answers it.
func answerOne(listener int) error {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	for end := time.Now().Add(patience); ; {
		n, err := unix.Poll(fds, int(time.Until(end).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 || fds[0].Revents&unix.POLLIN == 0 {
			return fmt.Errorf("no call arrived on the listener: %v", err)
		}
		break
	}
	var n notification
	if e := ioctl(listener, notifyRecv, unsafe.Pointer(&n)); e != 0 {
		return fmt.Errorf("SECCOMP_IOCTL_NOTIF_RECV: %w", e)
	}
	a := answer{id: n.id, val: answer42}
	if e := ioctl(listener, notifySend, unsafe.Pointer(&a)); e != 0 {
		return fmt.Errorf("SECCOMP_IOCTL_NOTIF_SEND: %w", e)
	}
	return nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return e
}
