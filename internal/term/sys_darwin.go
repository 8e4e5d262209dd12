package term

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	getModes = unix.TIOCGETA
	setModes = unix.TIOCSETA
	inQueue  = 0x4004667f // FIONREAD of <sys/filio.h>, which x/sys does not have
	pathOnly = 0          // no such thing here
)

var nullDevice = unix.Mkdev(3, 2)

// makePipe holds off forks until the ends are closed on exec: here that takes
// calls of its own.
func makePipe(p *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return nil
}

// nameOf is by what the terminal can be opened again, as ttyname(3) finds it. Not
// /dev/tty: kqueue(2) does not wait for that one.
func nameOf(fd int) string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return ""
	}
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return ""
	}
	for _, e := range entries {
		var is unix.Stat_t
		name := "/dev/" + e.Name()
		if strings.HasPrefix(e.Name(), "tty") && e.Name() != "tty" && unix.Stat(name, &is) == nil && is.Rdev == st.Rdev {
			return name
		}
	}
	return ""
}

// reopensForWriting: to open /dev/fd/n gives the same descriptor again, with no
// more rights than it has, and fchmod is judged by the file's path.
func reopensForWriting(int, *unix.Stat_t) bool { return false }
