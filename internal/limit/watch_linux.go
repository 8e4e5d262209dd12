package limit

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Where no cgroup counts, somebody has to look. What is used is memory that is
// the processes' own (their anonymous pages, what they share counted once: PSS
// of proc_pid_smaps(5)), shared memory that they have mapped, and what lies in
// the sandbox's file systems in memory. A program that means to can hide some:
// in files in memory that it keeps open and does not map, in pipes and socket
// buffers, in shared memory of System V. And what is allocated between two looks
// is seen too late. So this keeps a machine usable when something runs away; it
// is no boundary.
//
// Cheap numbers first: the resident set of all processes is more than what they
// use, and while that is within the limit nothing else is read.

// The time between two looks is the first, or what leaves us at most a twentieth
// of a processor, but never more than the last: on a busy machine, where a look
// takes long, most is at stake.
const (
	watchPause = 50 * time.Millisecond
	watchShare = 20
	watchMost  = 250 * time.Millisecond
)

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
		u.memory += int64(st.Blocks-st.Bfree) * st.Bsize
	}
	pids, err := w.pids()
	if err != nil {
		return u, err
	}
	files, resident := u.memory, int64(0)
	for _, pid := range pids {
		if rss, tasks, ok := w.stat(pid); ok {
			resident += rss * pageSize
			u.tasks += tasks
		}
	}
	if u.memory += resident; w.limits.MaxMemory == 0 || u.memory <= w.limits.MaxMemory {
		return u, nil
	}
	u.memory = files
	for _, pid := range pids {
		u.memory += w.own(pid)
	}
	return u, nil
}

// pids are the processes that there are, but for PID 1.
func (w *watcher) pids() (pids []string, err error) {
	fd, err := unix.Openat(w.Proc, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), "proc")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' && name != "1" {
			pids = append(pids, name)
		}
	}
	return pids, err
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

// stat gives the resident pages and the number of threads, proc_pid_stat(5).
func (w *watcher) stat(pid string) (rss, tasks int64, ok bool) {
	text := w.read(pid + "/stat")
	end := bytes.LastIndexByte(text, ')') // a program's name may hold anything
	if end < 0 {
		return 0, 0, false
	}
	f := bytes.Fields(text[end+1:]) // from the third field on
	if len(f) < 22 {
		return 0, 0, false
	}
	return number(f[21]), number(f[17]), true
}

// own is the memory that a process uses and no file backs. Of one that lets
// nobody look it is all that is resident.
func (w *watcher) own(pid string) (bytes int64) {
	text := w.read(pid + "/smaps_rollup")
	if text == nil {
		rss, _, _ := w.stat(pid)
		return rss * pageSize
	}
	anon, known := kilobytes(text, "Pss_Anon:")
	shmem, _ := kilobytes(text, "Pss_Shmem:")
	if !known { // before Linux 5.10
		anon, _ = kilobytes(text, "Pss:")
	}
	return (anon + shmem) << 10
}

func kilobytes(text []byte, name string) (n int64, ok bool) {
	for line := range bytes.Lines(text) {
		if v, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return number(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(v), []byte("kB")))), true
		}
	}
	return 0, false
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n
}
