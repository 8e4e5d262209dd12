package limit

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Where no cgroup counts, somebody has to look. What is used is memory that is
// the processes' own (their anonymous pages, what they share counted once: PSS
// of proc_pid_smaps(5)), shared memory that they have mapped, the tables of
// their pages, and what lies in the sandbox's file systems in memory. A program
// that means to can hide some: in files in memory that it keeps open and does
// not map, in shared memory that it has mapped and dropped, in pipes and socket
// buffers, in shared memory of System V, in what the kernel has to know of a
// great many mappings. And what is allocated between two looks is seen too late.
// So this keeps a machine usable when something runs away; it is no boundary.
//
// Cheap numbers first: what is resident in all processes, shared or not, is more
// than what they use, and while that is within the limit nothing else is read.
// Then the largest, until it is too much: of a process with a great many mappings
// it takes long.

// The time between two looks is the first, or what leaves us at most a twentieth
// of a processor, but never more than the last: on a busy machine, where a look
// takes long, most is at stake.
const (
	watchPause = 50 * time.Millisecond
	watchShare = 20
	watchMost  = 250 * time.Millisecond
)

// perFile is what the kernel keeps for a file in memory, empty or not: about.
const perFile = 1 << 10

// Sight is what to look at.
type Sight struct {
	Proc   int   // descriptor of the sandbox's own /proc
	Memory []int // descriptors of its file systems in memory, each once
}

// usage is what one look finds.
type usage struct{ memory, tasks int64 }

// watcher looks until it is stopped.
type watcher struct {
	Sight
	limits Limits
	quit   chan struct{}
	done   chan struct{}
	buf    []byte
}

// watch begins. Over is told once of the first limit that is passed; an error
// means that nobody looks any more.
func watch(l Limits, at Sight, over func(Excess, error)) *watcher {
	w := &watcher{Sight: at, limits: l, quit: make(chan struct{}), done: make(chan struct{}), buf: make([]byte, 4096)}
	go func() {
		defer close(w.done)
		if e, err := w.look(); e != nil || err != nil {
			over(*orNone(e), err)
		}
	}()
	return w
}

func orNone(e *Excess) *Excess {
	if e == nil {
		return &Excess{}
	}
	return e
}

func (w *watcher) stop() {
	close(w.quit)
	<-w.done
}

// look gives the first limit that is passed, nil when it was stopped before.
func (w *watcher) look() (*Excess, error) {
	for pause := time.Duration(0); ; {
		select {
		case <-w.quit:
			return nil, nil
		case <-time.After(pause):
		}
		began := time.Now()
		u, err := w.use()
		if err != nil {
			return nil, fmt.Errorf("look at what the sandbox uses: %w", err)
		}
		switch {
		case w.limits.MaxMemory != 0 && u.memory > w.limits.MaxMemory:
			return &Excess{Key: "max_memory", Ended: true, Used: u.memory}, nil
		case w.limits.MaxPids != 0 && u.tasks > w.limits.MaxPids:
			return &Excess{Key: "max_pids", Ended: true, Used: u.tasks}, nil
		}
		pause = min(max(watchPause, watchShare*time.Since(began)), watchMost)
	}
}

// use counts. PID 1 is aigate's and not counted.
func (w *watcher) use() (u usage, err error) {
	for _, fd := range w.Memory {
		var st unix.Statfs_t
		if err := unix.Fstatfs(fd, &st); err != nil {
			return u, err
		}
		u.memory += int64(st.Blocks-st.Bfree)*st.Bsize + int64(st.Files-st.Ffree)*perFile
	}
	pids, err := w.pids()
	if err != nil {
		return u, err
	}
	var all []process
	files, most := u.memory, u.memory
	for _, pid := range pids {
		if p, ok := w.status(pid); ok {
			all = append(all, p)
			most += p.most()
			files += p.tables
			u.tasks += p.tasks
		}
	}
	if u.memory = most; w.limits.MaxMemory == 0 || most <= w.limits.MaxMemory {
		return u, nil
	}
	slices.SortFunc(all, func(a, b process) int { return cmp.Compare(b.most(), a.most()) })
	if u.memory = files + w.owned(all); u.memory > w.limits.MaxMemory {
		// What processes share wanders from one to another while they come and go, and
		// may have been met twice.
		u.memory = files + w.owned(all)
	}
	return u, nil
}

// owned adds up until it is too much.
func (w *watcher) owned(all []process) (bytes int64) {
	for _, p := range all {
		if bytes += w.own(p); bytes > w.limits.MaxMemory {
			break
		}
	}
	return bytes
}

// A process is what its status tells, in bytes: proc_pid_status(5).
type process struct {
	dir              string // in /proc
	resident, tables int64
	tasks            int64
}

func (p process) most() int64 { return p.resident + p.tables }

// pids are the processes that there are, but for PID 1.
func (w *watcher) pids() (pids []string, err error) {
	names, err := w.names(".")
	return slices.DeleteFunc(names, func(name string) bool { return name[0] < '1' || name[0] > '9' || name == "1" }), err
}

// names are those in a folder of /proc.
func (w *watcher) names(path string) ([]string, error) {
	fd, err := unix.Openat(w.Proc, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// read gives a file of a process, nothing when the process has gone or does not
// let anybody look.
func (w *watcher) read(path string) []byte {
	fd, err := unix.Openat(w.Proc, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, w.buf)
	if err != nil || n <= 0 {
		return nil
	}
	return w.buf[:n]
}

// status reads it. A process whose first thread has ended is still there, but the
// memory has to be asked of another thread.
func (w *watcher) status(pid string) (p process, ok bool) {
	if p, ok = w.statusIn(pid); !ok || p.tasks < 2 || p.resident > 0 {
		return p, ok
	}
	threads, _ := w.names(pid + "/task") // none, when it has gone
	for _, thread := range threads {
		if q, ok := w.statusIn(pid + "/task/" + thread); ok && q.resident > 0 {
			q.tasks = p.tasks
			return q, true
		}
	}
	return p, ok
}

func (w *watcher) statusIn(dir string) (p process, ok bool) {
	text := w.read(dir + "/status")
	if p.tasks, ok = numberOf(text, "Threads:"); !ok {
		return p, false
	}
	p.dir = dir
	for _, name := range []string{"RssAnon:", "RssShmem:"} {
		n, _ := numberOf(text, name) // none when there is no memory
		p.resident += n << 10
	}
	tables, _ := numberOf(text, "VmPTE:")
	p.tables = tables << 10
	return p, true
}

// own is the memory that a process uses and no file backs. Of one that lets
// nobody look it is all that is resident.
func (w *watcher) own(p process) (bytes int64) {
	text := w.read(p.dir + "/smaps_rollup")
	if text == nil {
		p, _ = w.statusIn(p.dir) // nothing, when it has gone
		return p.resident
	}
	anon, known := numberOf(text, "Pss_Anon:")
	shmem, _ := numberOf(text, "Pss_Shmem:")
	if !known { // before Linux 5.10
		anon, _ = numberOf(text, "Pss:")
	}
	return (anon + shmem) << 10
}

// numberOf reads a line of a name and a number, perhaps of kilobytes.
func numberOf(text []byte, name string) (int64, bool) {
	n, err := strconv.ParseInt(wordOf(text, name), 10, 64)
	return n, err == nil
}

// wordOf reads a line of a name and words, and gives the first of these; "" when
// there is no such line.
func wordOf(text []byte, name string) string {
	for line := range bytes.Lines(text) {
		if v, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if words := bytes.Fields(v); len(words) > 0 {
				return string(words[0])
			}
		}
	}
	return ""
}
