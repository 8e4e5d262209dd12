package gate

import (
	"io"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Every pipe counts against a limit per user (fs.pipe-user-pages-soft, usually 64 MiB, pipe(7)), which the payload
	// shares with us. So there are few of them, and a connection has one only while something is in it.
	maxPipes = 16
	pipeSize = 512 << 10
)

// A pipe is what splice(2) needs between two sockets.
type pipe struct{ r, w int }

// pipes are those of all connections.
var pipes pipePool

type pipePool struct {
	mu   sync.Mutex
	free []*pipe
	made int // how many there are, free or not
}

// get returns nil when all pipes are in use, or none can be had.
func (p *pipePool) get() *pipe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		last := p.free[n-1]
		p.free = p.free[:n-1]
		return last
	}
	if p.made >= maxPipes {
		return nil
	}
	var fd [2]int
	if unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	// Past the user's limit pipes are of one or two pages, and cannot grow: worse than copying.
	if _, err := unix.FcntlInt(uintptr(fd[0]), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		closePipe(&pipe{fd[0], fd[1]})
		return nil
	}
	p.made++
	return &pipe{fd[0], fd[1]}
}

// put takes back a pipe that is empty.
func (p *pipePool) put(one *pipe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, one)
}

// drop is put for a pipe that is not empty.
func (p *pipePool) drop(one *pipe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	closePipe(one)
	p.made--
}

// empty closes what is not in use.
func (p *pipePool) empty() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.free {
		closePipe(one)
	}
	p.made -= len(p.free)
	p.free = nil
}

func closePipe(p *pipe) {
	unix.Close(p.r)
	unix.Close(p.w)
}

// splice moves at most so many bytes through a pipe.
func (w *way) splice(most int) (moved int, err error) {
	if w.tryLoad == nil {
		w.tryLoad, w.tryUnload = w.load, w.unload
	}
	w.want = most
	if err := w.from.Read(w.tryLoad); err != nil {
		return 0, err
	}
	if w.pipe == nil {
		return 0, errNoPipe
	}
	if w.err != nil || w.got == 0 {
		pipes.put(w.pipe)
		w.pipe = nil
		if w.err == nil {
			w.err = io.EOF
		}
		return 0, w.err
	}
	for loaded := w.got; moved < loaded; moved += w.got {
		w.want = loaded - moved
		if err = w.to.Write(w.tryUnload); err == nil {
			err = w.err
		}
		if err != nil {
			w.deaf = true
			pipes.drop(w.pipe)
			w.pipe = nil
			return moved, err
		}
		w.moved += int64(w.got)
	}
	pipes.put(w.pipe)
	w.pipe = nil
	return moved, nil
}

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

func (w *way) load(fd uintptr) bool {
	if w.pipe = pipes.get(); w.pipe == nil {
		return true
	}
	w.got, w.err = retry(func() (int, error) {
		n, err := unix.Splice(int(fd), nil, w.pipe.w, nil, min(w.want, pipeSize), spliceFlags)
		return int(n), err
	})
	if w.err == unix.EAGAIN {
		pipes.put(w.pipe)
		w.pipe = nil
		return false
	}
	return true
}

func (w *way) unload(fd uintptr) bool {
	w.got, w.err = retry(func() (int, error) {
		n, err := unix.Splice(w.pipe.r, nil, int(fd), nil, w.want, spliceFlags)
		return int(n), err
	})
	return w.err != unix.EAGAIN
}

// readNow and writeNow are recv(2) and send(2) on a socket that never blocks,
// without the Go scheduler's knowledge. A system call that it knows of wakes its
// watch (sysmon) when everybody slept before, which then looks about every 20 µs
// for a while: with small messages it took a quarter of the gate's time, and
// pushed client and server aside.
func readNow(fd uintptr, b []byte) (int, error) {
	return now(unix.SYS_RECVFROM, fd, b, 0)
}

func writeNow(fd uintptr, b []byte) (int, error) {
	return now(unix.SYS_SENDTO, fd, b, unix.MSG_NOSIGNAL)
}

func now(call, fd uintptr, b []byte, flags uintptr) (int, error) {
	n, _, e := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
