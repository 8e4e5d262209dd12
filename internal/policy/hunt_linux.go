package policy

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// strays are sockets that are not found by their names alone.
type strays struct {
	elsewhere chan []bound // of other network namespaces
	lost      []bound      // led nowhere at the start
	hunt      *hunt        // for these, nil without
}

// listElsewhere begins to look for network namespaces; the walk of the project
// takes longer.
func (p *Policy) listElsewhere() {
	p.elsewhere = make(chan []bound, 1)
	go func() { p.elsewhere <- elsewhere() }()
}

// A hunt looks through the folders for sockets whose names lead nowhere: their
// files are known, or at least how they are called, but not where they lie. It
// goes breadth first, since sockets lie near the top. It has huntFirst, and huntLeast folders on a
// machine however busy, before the payload starts, and goes on beside it.

const (
	huntFirst = 10 * time.Millisecond
	huntLeast = 1000
	huntMost  = 30 * time.Second
)

type hunt struct {
	policy *Policy
	lost   []bound         // what it is after
	files  map[uint32]int  // names still to be found of each: 0 not one was yet, -1 none
	names  map[string]bool // of those whose file nobody can tell
	mounts map[string]bool // are not entered from above: each is for itself
	queue  [][]string      // what is to be read: the likely folders, then the others
	seen   map[string]bool // what is in the queue at its outset, not to be read twice
	mu     sync.Mutex      // guards what follows
	found  []string        // and not taken yet
	done   bool            // all of it was looked at
	begun  time.Time       // when it started to go on beside the payload
	took   time.Duration   // and how long that was
}

// newHunt gives a hunt for the lost, nil if they cannot lie where the payload sees them.
func newHunt(p *Policy, lost []bound) *hunt {
	h := &hunt{policy: p, files: map[uint32]int{}, names: map[string]bool{}, mounts: map[string]bool{}, seen: map[string]bool{}}
	places := h.devices()
	roots := map[string]bool{}
	for _, b := range lost {
		on := places[b.dev]
		if b.file == 0 {
			on = []string{"/", p.Home}
			h.names[filepath.Base(b.path)] = true
		} else if len(on) > 0 {
			h.files[b.file] = 0
		}
		for _, root := range on {
			roots[root] = true
		}
		if len(on) > 0 {
			h.lost = append(h.lost, b)
		}
	}
	if len(h.lost) == 0 {
		return nil
	}
	var first, rest []string
	for _, w := range append([]Entry{{Path: p.Home, Dir: true}}, p.Writable...) {
		if w.Dir && w.Path != "" && !h.seen[w.Path] {
			h.seen[w.Path] = true
			first = append(first, w.Path)
		}
	}
	for root := range roots {
		if root != "" && !h.seen[root] {
			h.seen[root] = true
			rest = append(rest, root)
		}
	}
	slices.Sort(rest)
	h.queue = [][]string{first, rest}
	return h
}

// devices gives the mounts of each file system that the payload sees any of.
func (h *hunt) devices() map[uint64][]string {
	on := map[uint64][]string{}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(line, " ", 6) // id, parent, device, root, mount point, …
		var major, minor uint32
		if len(f) < 6 {
			continue
		}
		if n, _ := fmt.Sscanf(f[2], "%d:%d", &major, &minor); n != 2 {
			continue
		}
		at := unescape.Replace(f[4])
		h.mounts[at] = true
		if h.policy.visible(at) {
			dev := unix.Mkdev(major, minor)
			on[dev] = append(on[dev], at)
		}
	}
	for _, at := range []string{"/", h.policy.Home, h.policy.Project} { // btrfs has a number for each of its volumes
		var st unix.Stat_t
		if at != "" && unix.Stat(at, &st) == nil && !slices.Contains(on[uint64(st.Dev)], at) {
			on[uint64(st.Dev)] = append(on[uint64(st.Dev)], at)
		}
	}
	return on
}

// look goes on until all is found, or looked at, or it is time.
func (h *hunt) look(until time.Time) {
	for read := 0; len(h.queue) > 0; {
		if len(h.queue[0]) == 0 {
			h.queue = h.queue[1:]
			continue
		}
		level := h.queue[0]
		n := min(len(level), 512)
		read += n
		next := h.read(level[:n])
		h.queue[0] = append(level[n:], next...)
		if h.over() {
			break
		}
		if read >= huntLeast && !time.Now().Before(until) {
			return
		}
	}
	h.mu.Lock()
	h.done = true
	h.mu.Unlock()
}

// over says that every name of every file was found. By a name alone one never
// knows.
func (h *hunt) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, left := range h.files {
		if left >= 0 {
			return false
		}
	}
	return len(h.names) == 0
}

// read lists folders, on every processor, and gives those that lie in them.
func (h *hunt) read(dirs []string) (next []string) {
	var at atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(dirs)+7)/8) {
		all.Add(1)
		go func() {
			defer all.Done()
			var below []string
			for i := at.Add(1) - 1; i < int64(len(dirs)); i = at.Add(1) - 1 {
				below = h.list(dirs[i], below)
			}
			mu.Lock()
			next = append(next, below...)
			mu.Unlock()
		}()
	}
	all.Wait()
	return next
}

func (h *hunt) list(dir string, below []string) []string {
	d, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return below // gone, or closed to the caller and so to the payload
	}
	defer d.Close()
	entries, _ := d.ReadDir(-1)
	for _, e := range entries {
		path := strings.TrimRight(dir, "/") + "/" + e.Name()
		switch e.Type() {
		case fs.ModeDir:
			if !h.mounts[path] && !h.seen[path] {
				below = append(below, path)
			}
		case fs.ModeSocket:
			h.meet(path)
		}
	}
	return below
}

// meet judges a socket that was found. Where the payload may not write it can
// have no use for any but the host's; elsewhere one that nobody listens on may
// be a program's to make anew.
func (h *hunt) meet(path string) {
	var st unix.Stat_t
	if !h.policy.visible(path) || unix.Lstat(path, &st) != nil || isPlaceholder(st) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	left, wanted := h.files[uint32(st.Ino)]
	if wanted {
		if left == 0 {
			left = int(st.Nlink)
		}
		if left--; left == 0 {
			left = -1
		}
		h.files[uint32(st.Ino)] = left
	}
	if wanted || h.names[filepath.Base(path)] || h.policy.writableRoot(path) == "" {
		h.found = append(h.found, path)
	}
}

func (h *hunt) isDone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done
}

// take gives what was found since it was last asked.
func (h *hunt) take() (found []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found, h.found = h.found, nil
	slices.Sort(found)
	return found
}

// goOn looks at what is left, beside the payload.
func (h *hunt) goOn() {
	h.begun = time.Now()
	go func() {
		h.look(h.begun.Add(huntMost))
		h.mu.Lock()
		h.took = max(time.Since(h.begun), time.Millisecond)
		h.mu.Unlock()
	}()
}

// ended says that it has, when, and what it was after if that could not be
// looked for everywhere.
func (h *hunt) ended() (when time.Time, took time.Duration, left string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.took == 0 {
		return time.Time{}, 0, ""
	}
	if !h.done {
		left = h.text()
	}
	return h.begun.Add(h.took), h.took, left
}

// text names what is lost, for people.
func (h *hunt) text() string {
	var names []string
	for _, b := range h.lost {
		names = append(names, b.String())
	}
	slices.SortFunc(names, cmp.Compare)
	if n := len(names); n > 3 {
		names = append(names[:3], fmt.Sprintf("%d more", n-3))
	}
	return strings.Join(names, ", ")
}

// stray gives those of the sockets of which not every name is known to be hidden or
// out of sight. places has where their names lead.
func (p *Policy) stray(list []bound, places [][]string, hidden map[uint32]int) (out []bound) {
	for i, b := range list {
		names := hidden[b.file]
		var nlink uint64 = 1
		for _, path := range places[i] {
			var st unix.Stat_t
			if unix.Lstat(path, &st) != nil || uint32(st.Ino) != b.file && b.file != 0 || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
				continue
			}
			nlink = uint64(st.Nlink)
			if b.file == 0 && hidden[uint32(st.Ino)] > 0 {
				names = hidden[uint32(st.Ino)]
			}
			if !p.visible(path) {
				names++
			}
		}
		if names == 0 || uint64(names) < nlink {
			out = append(out, b)
		}
	}
	return out
}
