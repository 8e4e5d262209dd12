package gate

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

const (
	// chunkSize is what is read at once while copying.
	chunkSize = 32 << 10

	// spliceAfter is how much one direction carries before the kernel does the copying. Most connections are short, and
	// not worth a pipe.
	spliceAfter = 1 << 20
)

// chunks are shared by all connections. Each has one only while there is
// something in it: a thousand idle connections have none.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// errNoPipe says that bytes have to be copied.
var errNoPipe = errors.New("no pipe to splice with")

// A way is one direction of a connection: from its source's receive queue to
// its destination's send queue, no faster than the destination takes it.
type way struct {
	src, dst Conn
	from, to syscall.RawConn
	moved    int64
	deaf     bool // the destination takes nothing any more

	// For the system calls below, which are made from inside of RawConn.
	tryRead, tryWrite, tryLoad, tryUnload func(fd uintptr) bool

	chunk *[chunkSize]byte
	rest  []byte // is still to be written
	pipe  *pipe
	want  int
	got   int
	err   error
}

func (w *way) init(src, dst Conn) (err error) {
	w.src, w.dst, w.tryRead, w.tryWrite = src, dst, w.readChunk, w.writeRest
	if w.from, err = src.SyscallConn(); err == nil {
		w.to, err = dst.SyscallConn()
	}
	return err
}

// carry moves so many bytes, or all if limit is negative, and says how many it
// has moved. The error at the end of the stream is io.EOF.
func (w *way) carry(limit int64) (moved int64, err error) {
	for limit < 0 || moved < limit {
		most := int64(1 << 30)
		if limit >= 0 {
			most = min(most, limit-moved)
		}
		n, err := 0, errNoPipe
		if w.moved >= spliceAfter {
			n, err = w.splice(int(most))
		}
		if err == errNoPipe {
			n, err = w.copy(int(min(most, chunkSize)))
		}
		moved += int64(n)
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

func (w *way) copy(most int) (int, error) {
	b, err := w.read(most)
	if err != nil {
		return 0, err
	}
	return len(b), w.write(b)
}

// read waits until something has come, and only then takes a chunk for it.
// write, or release, gives it back.
func (w *way) read(most int) ([]byte, error) {
	w.want = most
	if err := w.from.Read(w.tryRead); err != nil {
		return nil, err
	}
	if w.err == nil && w.got == 0 {
		w.err = io.EOF
	}
	if w.err != nil {
		w.release()
		return nil, w.err
	}
	return w.chunk[:w.got], nil
}

func (w *way) readChunk(fd uintptr) bool {
	w.chunk = chunks.Get().(*[chunkSize]byte)
	w.got, w.err = retry(func() (int, error) { return readNow(fd, w.chunk[:w.want]) })
	if w.err == syscall.EAGAIN {
		w.release()
		return false
	}
	return true
}

func (w *way) release() {
	if w.chunk != nil {
		chunks.Put(w.chunk)
		w.chunk = nil
	}
}

func (w *way) write(b []byte) error {
	defer w.release()
	return w.send(b)
}

// send waits until the destination has taken all of b.
func (w *way) send(b []byte) error {
	w.rest = b
	err := w.to.Write(w.tryWrite)
	if err == nil {
		err = w.err
	}
	w.rest = nil
	w.deaf = err != nil
	return err
}

func (w *way) writeRest(fd uintptr) bool {
	for w.err = nil; len(w.rest) > 0; w.rest = w.rest[w.got:] {
		w.got, w.err = retry(func() (int, error) { return writeNow(fd, w.rest) })
		if w.err != nil {
			return w.err != syscall.EAGAIN
		}
		w.moved += int64(w.got)
	}
	return true
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}
