package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptyName is the one ioctl here that x/sys has no function for.
func ptyName(fd int, name *[128]byte) error {
	//lint:ignore SA1019 to call libSystem takes cgo
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCPTYGNAME, uintptr(unsafe.Pointer(name))); errno != 0 {
		return errno
	}
	return nil
}
