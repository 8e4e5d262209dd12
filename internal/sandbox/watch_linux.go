package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch keeps a policy true while the payload runs: what appears and is denied
// is masked, what the host replaces is masked again. It is told of changes by
// inotify(7) on every folder in which a denied name can appear, asks the policy
// what a change means, and mounts into the running sandbox (see join).
//
// Between the appearance of a file and its mask lie milliseconds in which a
// payload that waits for it can read it; docs/files.md gives the measurement.
type Watch struct {
	// Scan looks everywhere, calls onDir for every folder before reading it, and
	// gives the steps that are not in place yet.
	Scan func(onDir func(dir string)) ([]Step, error)
	// Rescan does so for one path that has just appeared.
	Rescan func(path string, onDir func(dir string)) ([]Step, error)
	// Poll gives the steps for what there is no event for, since it was last asked.
	Poll func(onDir func(dir string)) ([]Step, error)
	// Appeared, when set, is told of every new name.
	Appeared func(path string, dir bool)
	// Log is told of what was done; Warn of what the user must know.
	Log, Warn func(format string, a ...any)

	fd      int
	stopped [2]int // a pipe that ends the watcher
	done    chan struct{}
	mu      sync.Mutex
	dirs    map[int32]string // by watch descriptor
	added   map[string]bool  // during one look around, each folder once
	failed  error            // why it ended the sandbox
	full    bool             // no more watches: look again from time to time
	mntns   int
	plan    *Plan
}

const watchMask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW | unix.IN_EXCL_UNLINK

// watchDelay is how long a payload has run before the watcher starts and looks
// around for the first time: commands that are over sooner are most, and pay
// nothing. What appears in that time is found by the first look.
const watchDelay = 10 * time.Millisecond

// noteworthy is how long a command takes that makes something which has to be
// told of at the end, such as a repository.
const noteworthy = 3 * time.Millisecond

// rescanPause is how often everything is looked through where the kernel's
// limit on watches (fs.inotify.max_user_watches) leaves folders unwatched.
const rescanPause = 2 * time.Second

// pollPause is how often Poll is asked, which takes some 50 µs.
const pollPause = 200 * time.Millisecond

// start begins to watch a sandbox.
func (w *Watch) start(r *running) error {
	w.mntns, w.plan = r.mntns, r.plan
	w.dirs = map[int32]string{}
	w.added = map[string]bool{}
	var err error
	if w.fd, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		// The user's limit on watchers, which another sandbox may have used up.
		w.fd, w.full = -1, true
		w.Warn("cannot watch folders (%v): new files are looked for every %v", err, rescanPause)
	}
	if err := unix.Pipe2(w.stopped[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("watch for new files: %w", err)
	}
	w.done = make(chan struct{})
	go w.run(r)
	return nil
}

// tooLate takes note, when a command was over before there was a watcher, of
// what it made in that time.
func (w *Watch) tooLate(took time.Duration) {
	if took > noteworthy {
		w.Scan(func(string) {}) // what it hides, or fails to, is hidden from nobody any more
	}
}

// stop ends the watcher and waits for it.
func (w *Watch) stop() {
	if w.done == nil {
		return
	}
	unix.Write(w.stopped[1], []byte{0}) // not Close: a forked helper may hold a copy
	<-w.done
	unix.Close(w.stopped[0])
	unix.Close(w.stopped[1])
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.done = nil
}

// run is the watcher. When it cannot do its work any more, the sandbox ends:
// what the policy denies would be readable.
func (w *Watch) run(r *running) {
	defer close(w.done)
	if err := w.loop(); err != nil {
		w.mu.Lock()
		w.failed = err
		w.mu.Unlock()
		r.kill()
	}
}

func (w *Watch) loop() error {
	scan := func() error {
		steps, err := w.Scan(w.add)
		clear(w.added)
		if err != nil {
			return err
		}
		return w.apply(steps)
	}
	if err := scan(); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	scanned, asked := time.Now(), time.Now()
	for {
		ok, err := w.wait(max(0, time.Until(asked.Add(pollPause))))
		if err != nil || !ok {
			return err
		}
		if time.Since(asked) >= pollPause {
			asked = time.Now()
			if err := w.poll(); err != nil {
				return err
			}
		}
		full := w.isFull() && time.Since(scanned) >= rescanPause
		n, err := 0, error(unix.EAGAIN)
		if w.fd >= 0 {
			n, err = unix.Read(w.fd, buf)
		}
		if err == unix.EAGAIN || err == unix.EINTR {
			n = 0
			if !full {
				continue
			}
		} else if err != nil {
			return err
		}
		lost, err := w.events(buf[:n])
		if err != nil {
			return err
		}
		if lost || full {
			if err := scan(); err != nil {
				return err
			}
			scanned = time.Now()
		}
	}
}

func (w *Watch) poll() error {
	steps, err := w.Poll(w.add)
	clear(w.added)
	if err != nil {
		return err
	}
	return w.apply(steps)
}

// wait blocks until there are events, or for the given time; false means stop.
func (w *Watch) wait(limit time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.stopped[0]), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, int((limit + time.Millisecond - 1).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		return fds[1].Revents == 0, err
	}
}

// failure is why the watcher ended the sandbox, nil when it did not.
func (w *Watch) failure() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

func (w *Watch) isFull() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full
}

// add watches one folder. It is called concurrently.
func (w *Watch) add(dir string) {
	w.mu.Lock()
	known := w.added[dir]
	w.added[dir] = true
	w.mu.Unlock()
	if known {
		return
	}
	if w.fd < 0 {
		return
	}
	wd, err := unix.InotifyAddWatch(w.fd, dir, watchMask)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.dirs[int32(wd)] = dir
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EACCES), errors.Is(err, unix.ELOOP):
		// gone, or nothing that the payload could read either
	case !w.full:
		w.full = true
		w.Warn("cannot watch every folder (%v): new files are looked for every %v; raise fs.inotify.max_user_watches", err, rescanPause)
	}
}

// events handles what one read gave. lost: the queue ran over.
func (w *Watch) events(b []byte) (lost bool, err error) {
	var steps []Step
	seen := map[string]bool{}
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b[unsafe.Offsetof(unix.InotifyEvent{}.Wd):]))
		mask := binary.NativeEndian.Uint32(b[unsafe.Offsetof(unix.InotifyEvent{}.Mask):])
		size := binary.NativeEndian.Uint32(b[unsafe.Offsetof(unix.InotifyEvent{}.Len):])
		name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+int(size)], "\x00"))
		b = b[unix.SizeofInotifyEvent+int(size):]
		w.mu.Lock()
		dir := w.dirs[wd]
		if mask&unix.IN_IGNORED != 0 {
			delete(w.dirs, wd)
		}
		w.mu.Unlock()
		if mask&unix.IN_Q_OVERFLOW != 0 {
			lost = true
		}
		path := filepath.Join(dir, name)
		if dir == "" || name == "" || seen[path] {
			continue
		}
		seen[path] = true
		if w.Appeared != nil {
			w.Appeared(path, mask&unix.IN_ISDIR != 0)
		}
		more, err := w.Rescan(path, w.add)
		if err != nil {
			return lost, err
		}
		steps = append(steps, more...)
	}
	clear(w.added)
	return lost, w.apply(steps)
}

// apply mounts the steps into the running sandbox.
func (w *Watch) apply(steps []Step) error {
	for len(steps) > 0 {
		n := min(len(steps), 2000)
		batch := steps[:n]
		steps = steps[n:]
		if err := join(w.mntns, w.plan, func(p *program) {
			for _, s := range batch {
				p.late(s)
			}
		}); err != nil {
			return err
		}
		for _, s := range batch {
			w.Log("%s %s, which appeared", s.Kind, quote(s.Path))
		}
	}
	return nil
}
