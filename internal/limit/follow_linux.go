package limit

import (
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// follower keeps the counters of a scope in mind: systemd removes its cgroup as
// soon as it is empty, before anybody could ask what happened in it. Their
// files say when they change, by POLLPRI, cgroups(7).
type follower struct {
	dir  string
	quit *os.File // the end whose closing is the signal
	done chan struct{}
	mu   sync.Mutex
	last events
}

func follow(dir string) (*follower, error) {
	var fds []unix.PollFd
	closeAll := func() {
		for _, f := range fds {
			unix.Close(int(f.Fd))
		}
	}
	for _, name := range []string{"memory.events", "pids.events"} {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue // a controller that it does not have
		}
		if err != nil {
			closeAll()
			return nil, &os.PathError{Op: "follow", Path: filepath.Join(dir, name), Err: err}
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI})
	}
	r, w, err := os.Pipe()
	if err != nil {
		closeAll()
		return nil, err
	}
	f := &follower{dir: dir, quit: w, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer r.Close()
		defer closeAll()
		f.run(append(fds, unix.PollFd{Fd: int32(r.Fd()), Events: unix.POLLIN}))
	}()
	return f, nil
}

func (f *follower) run(fds []unix.PollFd) {
	for {
		f.look()
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		if fds[len(fds)-1].Revents != 0 {
			return
		}
		var buf [512]byte
		for _, p := range fds[:len(fds)-1] {
			if _, err := unix.Pread(int(p.Fd), buf[:], 0); err != nil {
				return // the group has gone
			}
		}
	}
}

// look keeps the larger numbers: of a group that has gone none can be read.
func (f *follower) look() {
	e := readEvents(f.dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last.killed, f.last.refused = max(f.last.killed, e.killed), max(f.last.refused, e.refused)
}

func (f *follower) events() events {
	f.look()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *follower) stop() {
	f.quit.Write([]byte{0}) // not Close alone: a forked helper may hold a copy
	f.quit.Close()
	<-f.done
}
