package match

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A crawl reads directory trees. Every directory is opened relative to its
// parent's descriptor, never through a symlink, so renames can't lead it
// astray and no path is too long. It starts on the caller's thread and takes
// on workers only when the tree turns out to be worth them.

const (
	helpAfter  = 24  // directories read before other workers are started
	openMax    = 200 // directories kept open for their subdirectories
	bufferSize = 32 << 10
)

// crawler is what the workers of one crawl share.
type crawler struct {
	visit   visitor
	workers int
	openMax int64
	open    atomic.Int64 // directories kept open, see handle.go

	hungry atomic.Int32 // workers without work
	stop   atomic.Bool

	mu      sync.Mutex
	more    sync.Cond
	queue   []*node
	running int32
	done    bool
	err     error

	spare sync.Mutex // guards the directories that are not kept open
}

type worker struct {
	*crawler
	stack []*node // to do, last first: few directories wait in a deep tree
	held  *node   // see handle.go
	fd    int     // the directory that is being read
	buf   *[bufferSize]byte
	reads int
}

func crawl(seeds []*node, v visitor, workers int) error {
	return crawlWith(seeds, v, workers, openMax)
}

func crawlWith(seeds []*node, v visitor, workers int, openMax int64) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	c := &crawler{visit: v, workers: workers, openMax: openMax, running: 1}
	c.more.L = &c.mu
	w := c.newWorker()
	w.stack = slices.Clone(seeds)
	w.work()
	for _, n := range seeds {
		if n.pinned {
			w.letGo(n)
		}
	}
	return c.err
}

func (c *crawler) newWorker() *worker { return &worker{crawler: c} }

// buffers outlive a crawl: a build makes thousands of directories, and each is
// a crawl of its own.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// work reads directories until there are none left anywhere.
func (w *worker) work() {
	w.buf = buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(w.buf)
	var helpers sync.WaitGroup
	for n := w.next(); n != nil; n = w.next() {
		if err := w.read(n); err != nil {
			w.fail(err)
		}
		if w.reads++; w.reads == helpAfter && w.workers > 1 {
			w.hire(&helpers)
		}
	}
	helpers.Wait()
}

// hire starts the other workers; the first who asks does it.
func (w *worker) hire(helpers *sync.WaitGroup) {
	w.mu.Lock()
	hired := w.running > 1
	w.running = int32(w.workers)
	w.mu.Unlock()
	if hired {
		return
	}
	for range w.workers - 1 {
		helpers.Add(1)
		go func() {
			defer helpers.Done()
			w.newWorker().work()
		}()
	}
}

func (c *crawler) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.stop.Store(true)
}

// next gives the worker its next directory.
func (w *worker) next() *node {
	if len(w.stack) > 1 && w.hungry.Load() > 0 {
		w.share()
	}
	if last := len(w.stack) - 1; last >= 0 {
		n := w.stack[last]
		w.stack = w.stack[:last]
		return n
	}
	return w.wait()
}

// share gives half of what the worker has, nearest to the top, to those who
// have nothing. What hangs from a spare node stays: two workers would close it
// under each other's hands.
func (w *worker) share() {
	half := len(w.stack) / 2
	for half > 0 && w.stack[half-1].parent != nil && w.stack[half-1].parent.spare {
		half /= 2
	}
	if half == 0 {
		return
	}
	w.mu.Lock()
	w.queue = append(w.queue, w.stack[:half]...)
	w.mu.Unlock()
	w.more.Broadcast()
	w.stack = append(w.stack[:0], w.stack[half:]...)
}

// wait takes what another worker gave, or learns that all are done.
func (w *worker) wait() *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hungry.Add(1) == w.running && len(w.queue) == 0 {
		w.done = true
		w.more.Broadcast()
	}
	for len(w.queue) == 0 && !w.done {
		w.more.Wait()
	}
	last := len(w.queue) - 1
	if last < 0 {
		return nil
	}
	w.hungry.Add(-1)
	n := w.queue[last]
	w.queue = w.queue[:last]
	return n
}

// push adds a subdirectory to what is to be read.
func (w *worker) push(parent, n *node) {
	n.parent = parent
	n.name = strings.Clone(n.name)
	parent.refs.Add(1)
	w.stack = append(w.stack, n)
}

// read does one directory.
func (w *worker) read(n *node) error {
	if w.stop.Load() {
		w.letGo(n.parent)
		return nil
	}
	fd, err := w.openNode(n)
	listed := err == nil
	if errors.Is(err, unix.EACCES) {
		fd, err = w.closed(n)
	}
	w.letGo(n.parent)
	if err != nil || fd < 0 {
		return w.forgive(n, err)
	}
	w.fd = fd
	w.visit.enter(n)
	if listed {
		err = w.list(n)
	} else {
		err = w.probe(n)
	}
	w.keep(n, fd)
	return err
}

// forgive drops errors that only say that the tree has changed.
func (w *worker) forgive(n *node, err error) error {
	switch {
	case err == nil:
		return nil
	case gone(err) && (n.parent != nil || n.optional):
		if n.parent == nil {
			w.visit.absent(n.name)
		}
		return nil
	}
	return w.failed(n, "", err)
}

// failed is an error that ends the crawl.
func (w *worker) failed(n *node, name string, err error) error {
	path := n.path()
	if name != "" {
		path = join(path, name)
	}
	return fmt.Errorf("can't look for denied files in %s: %w", path, err)
}

// list reads the entries of the open directory.
func (w *worker) list(n *node) error {
	for {
		size, err := retry(func() (int, error) { return unix.Getdents(w.fd, w.buf[:]) })
		if err != nil {
			return w.forgive(n, err)
		}
		if size == 0 {
			return nil
		}
		for rest := w.buf[:size]; len(rest) > 0; {
			var e entry
			if e, rest, err = nextEntry(rest); err != nil {
				return w.failed(n, "", err)
			}
			if e.name == "." || e.name == ".." {
				continue
			}
			if err := w.meet(n, e); err != nil {
				return err
			}
		}
	}
}

// meet hands an entry to the visitor, its kind made sure.
func (w *worker) meet(n *node, e entry) error {
	if e.kind != kindUnknown {
		return w.visit.entry(w, n, e)
	}
	st, err := w.stat(n, e.name, false)
	switch {
	case err == nil:
		e.kind, e.ino = st.kind, st.inode.Ino
		return w.visit.entry(w, n, e)
	case gone(err):
		return nil
	case errors.Is(err, unix.EACCES):
		w.blame(n, w.fd)
		return nil
	}
	return w.failed(n, e.name, err)
}

// probe tries the names that a pattern spells out in a directory that may be
// entered but not listed.
func (w *worker) probe(n *node) error {
	for _, name := range w.visit.spelled(n) {
		if err := w.meet(n, entry{name: name, kind: kindUnknown}); err != nil {
			return err
		}
	}
	return nil
}

// closed deals with a directory that may not be listed. If it is the caller's
// own, a payload may open it up; if not, it may at least be entered by name,
// and fd is for that.
func (w *worker) closed(n *node) (fd int, err error) {
	parent, name, done, err := w.parentFd(n)
	if err != nil {
		return -1, err
	}
	defer done()
	flags := unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !n.follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err = unix.Openat(parent, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		// Not even its name may be looked up: its parent is to blame.
		if n.parent != nil {
			w.blame(n.parent, parent)
		} else {
			if dir, own := closedAbove(n.name); own {
				w.visit.unreadable(dir)
			}
		}
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if w.blame(n, fd) {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// blame reports a directory that is in the way, if it is the caller's.
func (w *worker) blame(n *node, fd int) (own bool) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && int(st.Uid) == unix.Geteuid() {
		w.visit.unreadable(n.path())
		return true
	}
	return false
}

// stat looks at an entry of the directory that is being read.
func (w *worker) stat(_ *node, name string, follow bool) (status, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	var st unix.Stat_t
	if err := unix.Fstatat(w.fd, name, &st, flags|unix.AT_NO_AUTOMOUNT); err != nil {
		return status{}, err
	}
	return status{kind: kindOfMode(&st), nlink: uint32(st.Nlink), inode: Inode{Dev: uint64(st.Dev), Ino: st.Ino}}, nil
}
