package policy

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// realPath gives the path that remains when all symlinks are followed, and
// what is there. The kernel does the following, once, so that nothing can
// change between two looks.
func realPath(path string) (string, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", st, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return "", st, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return "", st, fmt.Errorf("readlink /proc/self/fd: %w", err)
	}
	if n == len(buf) {
		return "", st, &fs.PathError{Op: "readlink", Path: path, Err: unix.ENAMETOOLONG}
	}
	return string(buf[:n]), st, nil
}

// realPath is the function of that name for a path whose folder is known, most
// often: it asks once then, instead of four times. A link that is put on the way
// later is not followed when the path is mounted.
func (p *Policy) realPath(path string) (string, unix.Stat_t, error) {
	if dir := p.folder(filepath.Dir(path)); dir != "" && dir != "-" {
		at := filepath.Join(dir, filepath.Base(path))
		var st unix.Stat_t
		if unix.Lstat(at, &st) == nil && !isLink(st) {
			return at, st, nil
		}
	}
	return realPath(path)
}

// canonical has nothing to do: the caller's paths are the kernel's.
func canonical(*Host) {}

// strikeBefore has nothing to do: what is struck is removed when it appears.
func (p *Policy) strikeBefore() {}
