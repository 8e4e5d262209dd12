package sandbox

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// open opens a path the way a caller would find it, whatever its mounts, root
// and folder are, without following a FIFO or a device into anything.
//
// openat2(2) does that for a path whose links stay in one root. The links of
// /proc that are no paths (/proc/self/exe, a descriptor) it does not follow, and
// /proc/self is another process for us; these are walked step by step.
func (a *asker) open(at int, path string) (int, error) {
	base, err := a.base(at, path)
	if err != nil {
		return -1, err
	}
	if base != a.root && base != a.cwd {
		defer unix.Close(base)
	}
	if path == "" {
		return unix.FcntlInt(uintptr(base), unix.F_DUPFD_CLOEXEC, 0)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH}
	if path[0] == '/' {
		how.Resolve = unix.RESOLVE_IN_ROOT
	}
	fd, err := unix.Openat2(base, path, &how)
	if err == nil {
		return fd, nil
	}
	if err := a.openRoot(); err != nil {
		return -1, err
	}
	w := walk{asker: a}
	defer w.leave()
	return w.follow(base, path)
}

// base opens what a path begins at. Root and folder are kept.
func (a *asker) base(at int, path string) (int, error) {
	switch {
	case path != "" && path[0] == '/':
		return a.root, a.openRoot()
	case at == unix.AT_FDCWD:
		var err error
		if a.cwd < 0 {
			a.cwd, err = unix.Open(a.proc("cwd"), unix.O_PATH|unix.O_CLOEXEC, 0)
		}
		return a.cwd, err
	}
	return unix.Open(a.proc("fd/"+strconv.Itoa(at)), unix.O_PATH|unix.O_CLOEXEC, 0)
}

func (a *asker) openRoot() (err error) {
	if a.root < 0 {
		a.root, err = unix.Open(a.proc("root"), unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	return err
}

// walk resolves a path element by element, path_resolution(7).
type walk struct {
	*asker
	at    int // where it is, a descriptor of its own
	links int
}

// mostLinks is the kernel's MAXSYMLINKS.
const mostLinks = 40

func (w *walk) leave() {
	if w.at >= 0 {
		unix.Close(w.at)
	}
}

// follow goes along path from base and gives what is there.
func (w *walk) follow(base int, path string) (fd int, err error) {
	w.at = -1
	if err := w.enter(base); err != nil {
		return -1, err
	}
	todo := strings.Split(path, "/")
	if path[0] == '/' {
		if err := w.enter(w.root); err != nil {
			return -1, err
		}
	}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch {
		case name == "" || name == ".":
			continue
		case name == ".." && w.atRoot():
			continue
		}
		link, err := w.step(name)
		if err != nil {
			return -1, err
		}
		if link == "" {
			continue
		}
		if w.links++; w.links > mostLinks || len(todo) > unix.PathMax {
			return -1, unix.ELOOP
		}
		if link[0] == '/' {
			if err := w.enter(w.root); err != nil {
				return -1, err
			}
		}
		todo = append(strings.Split(link, "/"), todo...)
	}
	fd, w.at = w.at, -1
	return fd, nil
}

// enter goes to what another descriptor is open on.
func (w *walk) enter(fd int) error {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		w.move(n)
	}
	return err
}

func (w *walk) move(fd int) {
	w.leave()
	w.at = fd
}

// step goes on by one name, or gives the link that is there, to be followed from
// where the walk is.
func (w *walk) step(name string) (link string, err error) {
	fd, err := unix.Openat(w.at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	inProc := w.inProc()
	if err == unix.ENOENT && inProc && (name == "self" || name == "thread-self") {
		return w.self(name)
	}
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		w.move(fd)
		return "", err
	}
	defer unix.Close(fd)
	if inProc && (name == "self" || name == "thread-self") {
		return w.self(name)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil || n == 0 {
		return "", unix.ENOENT
	}
	if inProc && name != "mounts" && name != "net" { // these two are paths
		to, err := unix.Openat(w.at, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		w.move(to)
		return "", nil
	}
	return string(buf[:n]), nil
}

func (w *walk) inProc() bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(w.at, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// atRoot says that .. leads nowhere.
func (w *walk) atRoot() bool {
	var here, root unix.Statx_t
	const what = unix.STATX_INO | unix.STATX_MNT_ID
	if unix.Statx(w.at, "", unix.AT_EMPTY_PATH, what, &here) != nil || unix.Statx(w.root, "", unix.AT_EMPTY_PATH, what, &root) != nil {
		return true
	}
	return here.Mnt_id == root.Mnt_id && here.Ino == root.Ino
}

// self is what /proc/self is to the caller, in the procfs where the walk is: it
// goes by the pids of the namespace that it was mounted for, of which the caller
// has one in each from ours down to its own.
func (w *walk) self(name string) (string, error) {
	own := w.pids("/proc/" + strconv.Itoa(w.pid) + "/status")
	base := "/proc/self/fd/" + strconv.Itoa(w.at) + "/"
	for level := len(own) - 1; level >= 0; level-- {
		there := w.pids(base + own[level] + "/status")
		if strings.Join(there, " ") != strings.Join(own[level:], " ") {
			continue
		}
		if name == "thread-self" {
			return own[level] + "/task/" + own[level], nil
		}
		return own[level], nil
	}
	return "", unix.ENOENT
}

// pids reads the line NSpid of proc_pid_status(5).
func (w *walk) pids(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	_, line, _ := strings.Cut(string(text), "\nNSpid:")
	line, _, _ = strings.Cut(line, "\n")
	return strings.Fields(line)
}
