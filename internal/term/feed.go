package term

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// feed passes a regular file to standard input through a pipe. The file's position, which the payload would share
// with the caller, is moved at the end by as much as the payload has read: a loop such as
// `while read f; do aigate run -- cc $f; done < list` depends on that.
type feed struct {
	file int
	pos  int64
	r, w *os.File
	done chan struct{} // nil until run
}

func newFeed(file int) (*feed, error) {
	pos, err := unix.Seek(file, 0, unix.SEEK_CUR)
	if err != nil {
		return nil, err
	}
	var p [2]int
	if err := makePipe(&p); err != nil {
		return nil, err
	}
	// The end that is written to can be interrupted; the other one is the payload's, and blocks as programs expect.
	if err := unix.SetNonblock(p[1], true); err != nil {
		return nil, err
	}
	return &feed{file: file, pos: pos, r: os.NewFile(uintptr(p[0]), "feed"), w: os.NewFile(uintptr(p[1]), "feed")}, nil
}

func (f *feed) start() {
	f.done = make(chan struct{})
	go f.run()
}

func (f *feed) run() {
	defer close(f.done)
	defer f.w.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Pread(f.file, buf, f.pos)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		n, err = f.w.Write(buf[:n])
		f.pos += int64(n)
		if err != nil {
			return
		}
	}
}

// finish may be called when nobody else holds the end of the pipe that is read.
func (f *feed) finish() {
	f.w.SetWriteDeadline(time.Now())
	<-f.done
	if unread, err := unix.IoctlGetInt(int(f.r.Fd()), inQueue); err == nil {
		unix.Seek(f.file, f.pos-int64(unread), unix.SEEK_SET)
	}
	f.r.Close()
}
