package policy

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// realPath gives the path that the kernel itself has for what is there: without
// symlinks, and with the letters that the volume has, whatever case and form of
// Unicode it was asked for in. Seatbelt judges by that path.
//
// The file is opened for events alone (open(2)), which has no effect on it.
func realPath(path string) (string, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Open(path, unix.O_EVTONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP:
		return "", st, &fs.PathError{Op: "open", Path: path, Err: err}
	case err != nil:
		return unopened(path, err)
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return "", st, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	var buf [unix.PathMax]byte
	//lint:ignore SA1019 x/sys has no function for a command with a buffer, and to call libSystem takes cgo
	if _, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETPATH, uintptr(unsafe.Pointer(&buf))); errno != 0 {
		return "", st, &fs.PathError{Op: "fcntl F_GETPATH", Path: path, Err: errno}
	}
	return string(buf[:max(bytes.IndexByte(buf[:], 0), 0)]), st, nil
}

// unopened is realPath for what cannot be opened: a socket, or a file that may
// not be read and that its owner could make readable.
func unopened(path string, why error) (string, unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || isLink(st) || path == "/" {
		return "", st, &fs.PathError{Op: "open", Path: path, Err: why}
	}
	dir, _, err := realPath(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), st, err
}

// realPath leaves nothing out here: the kernel knows a path by more spellings.
func (p *Policy) realPath(path string) (string, unix.Stat_t, error) { return realPath(path) }

// canonical writes the caller's places as Seatbelt will see them.
func canonical(h *Host) {
	for _, path := range []*string{&h.Home, &h.Dir, &h.Project} {
		if real, _, err := realPath(*path); *path != "" && err == nil && real != "" {
			*path = real
		}
	}
}

// strikeBefore protects what elsewhere would be removed when it appears: here it
// cannot be made.
func (p *Policy) strikeBefore() {
	for _, path := range p.Struck {
		if !p.isProtected(path) {
			p.Protected = append(p.Protected, Protected{Entry: Entry{Path: path, Rule: "git runs what it names"}, Missing: true})
		}
	}
	p.Struck = nil
}

// strikeOff has nothing to do: nothing is struck here.
func (p *Policy) strikeOff(string) (removed bool, err error) { return false, nil }
