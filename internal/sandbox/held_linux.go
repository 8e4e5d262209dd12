package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A protected name that does not exist (".aigate.yaml", ".git/hooks") can only
// be kept from coming into being by something to mount over. So a run makes a
// placeholder and takes it away at its end: a socket for a file, because git
// takes no notice of sockets, a folder for a folder. Their modes mark them as
// ours, so another run, or the next one after a crash of the machine, knows
// them. Runs that share a folder share its placeholders: each holds a lock on
// the folder, and only who is alone with it removes them.
const (
	placeholderSocket = unix.S_IFSOCK         // mode 0
	placeholderDir    = unix.S_IFDIR | 0o1700 // sticky: nobody makes such a folder,
	placeholderFile   = unix.S_IFREG | 0o1444 // or such a file, by hand
)

// IsPlaceholder says whether a file of this mode (st_mode) is one that a run
// put there.
func IsPlaceholder(mode uint32) bool {
	file := mode&unix.S_IFMT == unix.S_IFREG && mode&unix.S_ISVTX != 0 && mode&0o333 == 0 // whatever the umask left
	return mode == placeholderSocket || mode == placeholderDir || file
}

// held are the placeholders of one run.
type held struct {
	mu      sync.Mutex
	entries []heldEntry
	dirs    map[string]int // locked parents
	spare   *spare
	janitor int // pid, 0 without
	timer   *time.Timer
	done    bool
	alive   *os.File // write end of the pipe whose closing tells the janitor
}

type heldEntry struct {
	parent int
	name   string
	view   Placeholder
	inode  uint64
}

// janitorDelay is how long a run lasts, once it is no short one, before a process
// is spent on cleaning up after a supervisor that is killed. One that is killed
// sooner leaves its placeholders to the next run.
const janitorDelay = 10 * time.Millisecond

// hold makes the placeholders of a plan.
func hold(plan *Plan, spare string) (*held, error) {
	h := &held{dirs: map[string]int{}, spare: openSpare(spare).own()}
	for _, s := range plan.Steps {
		if s.View == NoPlaceholder {
			continue
		}
		if err := h.add(s); err != nil {
			h.release()
			return h, fmt.Errorf("keep %s from being created: %w", s.Path, err)
		}
	}
	return h, nil
}

func (h *held) add(s Step) error {
	parent, name := filepath.Dir(s.Path), filepath.Base(s.Path)
	fd, err := h.lock(parent)
	if err != nil {
		return err
	}
	e := heldEntry{parent: fd, name: name, view: s.View}
	if h.spare.take(s.View, fd, name) != nil {
		if err := create(fd, name, s); err != nil && err != unix.EEXIST {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != viewMode(s.View)&unix.S_IFMT || !IsPlaceholder(st.Mode) {
		return errors.New("somebody made it just now; start again")
	}
	e.inode = st.Ino
	h.entries = append(h.entries, e)
	return nil
}

// create makes one placeholder. Where another program of the host may read it
// meanwhile, it is a file that holds nothing. It has its mark from the first
// moment: another run may look just then.
func create(dir int, name string, s Step) error {
	switch s.View {
	case DirView:
		return unix.Mkdirat(dir, name, placeholderDir&0o7777)
	case SocketView:
		return unix.Mknodat(dir, name, placeholderSocket, 0)
	}
	fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, placeholderFile&0o7777)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	text := viewText(s.View)
	if s.View == TextView {
		text = s.Text
	}
	if text != "" {
		_, err = unix.Write(fd, []byte(text))
	}
	return err
}

// viewMode is the st_mode of a placeholder.
func viewMode(view Placeholder) uint32 {
	switch view {
	case DirView:
		return placeholderDir
	case SocketView:
		return placeholderSocket
	}
	return placeholderFile
}

// viewText is what a placeholder holds that is a file.
func viewText(view Placeholder) string {
	if view == JSONView {
		return "{}\n"
	}
	return ""
}

// lock opens a folder and locks it, shared with other runs.
func (h *held) lock(path string) (int, error) {
	if fd, ok := h.dirs[path]; ok {
		return fd, nil
	}
	// The policy resolved the links; one that is there now was put there since.
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if errors.Is(err, unix.ENOSYS) { // inside another aigate
		fd, err = unix.Open(path, flags, 0)
	}
	if err != nil {
		return -1, err
	}
	for {
		if err = unix.Flock(fd, unix.LOCK_SH); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("lock %s: %w", path, err)
	}
	h.dirs[path] = fd
	return fd, nil
}

// release removes what this run made, unless another run still needs it.
func (h *held) release() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done {
		return // a descriptor that is closed twice is somebody else's the second time
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	h.done = true
	if h.janitor != 0 {
		unix.Kill(h.janitor, unix.SIGKILL)
		waitFor(h.janitor)
		h.alive.Close()
	}
	// Once for each folder: the lock is lost when it is refused, and to ask
	// again while another run asks would refuse both.
	alone := map[int]bool{}
	closed := map[int]uint32{} // folders that the command closed to us, and their modes
	for _, fd := range h.dirs {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&0o300 != 0o300 && unix.Fchmod(fd, st.Mode&0o7777|0o300) == nil {
			closed[fd] = st.Mode & 0o7777
		}
	}
	for i := len(h.entries) - 1; i >= 0; i-- {
		e := h.entries[i]
		if _, asked := alone[e.parent]; !asked {
			alone[e.parent] = unix.Flock(e.parent, unix.LOCK_EX|unix.LOCK_NB) == nil
		}
		if alone[e.parent] {
			h.remove(e)
		}
	}
	for _, fd := range h.dirs {
		if mode, ok := closed[fd]; ok {
			unix.Fchmod(fd, mode)
		}
		unix.Close(fd)
	}
	h.spare.close()
	h.entries, h.dirs = nil, nil
}

// remove takes one placeholder away; its folder is locked.
func (h *held) remove(e heldEntry) {
	fd := e.parent
	var st unix.Stat_t
	if unix.Fstatat(fd, e.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Ino != e.inode || !IsPlaceholder(st.Mode) {
		return
	}
	if h.spare.put(e.view, fd, e.name) {
		return
	}
	if e.view != DirView {
		unix.Unlinkat(fd, e.name, 0)
		return
	}
	if unix.Unlinkat(fd, e.name, unix.AT_REMOVEDIR) != nil {
		unix.Fchmodat(fd, e.name, 0o755, 0) // something was put in: it stays, as an ordinary folder
	}
}

// guard sees to it that the placeholders go even when the supervisor is killed.
func (h *held) guard(r *running) {
	if len(h.entries) == 0 {
		return
	}
	h.timer = time.AfterFunc(janitorDelay, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.done {
			h.startJanitor(r.pidfd)
		}
	})
}

// startJanitor forks a process that waits for the supervisor's end, then for
// PID 1's, and then removes the placeholders. Failing to start it weakens
// nothing: the next run in this folder does its work.
func (h *held) startJanitor(pidfd int) {
	var pipe [2]int
	if unix.Pipe2(pipe[:], unix.O_CLOEXEC) != nil {
		return
	}
	in, err := newInner(-1)
	if err != nil {
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		return
	}
	in.only = true
	p := &in.setup
	p.call("setsid", unix.SYS_SETSID)
	p.keepOnly(append(h.descriptors(), pipe[0], pidfd)...)
	p.call("wait for the supervisor", unix.SYS_READ, pipe[0], p.bytes(make([]byte, 8)), 1)
	if pidfd >= 0 {
		poll := &unix.PollFd{Fd: int32(pidfd), Events: unix.POLLIN}
		p.call("wait for PID 1", unix.SYS_PPOLL, ptrArg(p, poll), 1, 0, 0, 0)
	}
	for i := len(h.entries) - 1; i >= 0; i-- {
		h.entries[i].removeBy(p)
	}
	h.spare.layBy(p)
	pid, fd, err := in.fork(0)
	unix.Close(pipe[0])
	if err != nil {
		unix.Close(pipe[1])
		return
	}
	unix.Close(fd)
	h.janitor = pid
	h.alive = os.NewFile(uintptr(pipe[1]), "alive")
}

// descriptors are those of the locked folders, and of the spare one.
func (h *held) descriptors() (fds []int) {
	for _, fd := range h.dirs {
		fds = append(fds, fd)
	}
	if h.spare.fd >= 0 {
		fds = append(fds, h.spare.fd)
	}
	return fds
}

// keepOnly closes every descriptor but these: a forked process that lives on
// must not hold the other end of anybody's pipe.
func (p *program) keepOnly(fds ...int) {
	slices.Sort(fds)
	from := 0
	for _, fd := range fds {
		if fd > from {
			p.call("close descriptors", unix.SYS_CLOSE_RANGE, from, fd-1, 0)
		}
		from = max(from, fd+1)
	}
	p.call("close descriptors", unix.SYS_CLOSE_RANGE, from, int(^uint32(0)), 0)
}

func (e heldEntry) removeBy(p *program) {
	dir := e.parent
	p.call("lock", unix.SYS_FLOCK, dir, unix.LOCK_EX|unix.LOCK_NB).unless(3, unix.EWOULDBLOCK)
	st := ptrArg(p, &unix.Stat_t{})
	p.call("stat", sysFstatat, dir, e.name, st, unix.AT_SYMLINK_NOFOLLOW).unless(2, unix.ENOENT)
	p.skipUnless(st+unsafe.Offsetof(unix.Stat_t{}.Ino), e.inode, 1)
	flags := 0
	if e.view == DirView {
		flags = unix.AT_REMOVEDIR
	}
	p.call("remove", unix.SYS_UNLINKAT, dir, e.name, flags).unless(0, unix.ENOENT, unix.ENOTEMPTY, unix.EBUSY)
}
