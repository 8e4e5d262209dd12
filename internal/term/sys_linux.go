package term

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	getModes = unix.TCGETS
	setModes = unix.TCSETS
	inQueue  = unix.TIOCINQ
	pathOnly = unix.O_PATH
)

var nullDevice = unix.Mkdev(1, 3)

func makePipe(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC) }

// nameOf is by what the terminal can be opened again.
func nameOf(fd int) string {
	if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil {
		return "/dev/tty" // works after su, too
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}

// reopensForWriting says whether a payload given the read-only descriptor n could change the file: by opening
// /proc/self/fd/n again, which no mount of the sandbox governs, or as its owner by fchmod.
func reopensForWriting(n int, st *unix.Stat_t) bool {
	if st.Nlink == 0 { // a here-document of the shell: nobody else has it
		return false
	}
	err := unix.Faccessat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", n), unix.W_OK, unix.AT_EACCESS)
	switch {
	case err == unix.EROFS:
		return false
	case err == unix.EACCES:
		return int(st.Uid) == unix.Geteuid()
	}
	return true
}
