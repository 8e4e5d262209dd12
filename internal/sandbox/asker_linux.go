package sandbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/AxeForging/aigate/internal/guard"
	"golang.org/x/sys/unix"
)

// asker is a process that wants to execute something, from the outside.
type asker struct {
	pid       int
	root, cwd int           // opened when needed, or -1
	narrow    bool          // its pointers have 32 bits
	words     []uintptr     // where the arguments are
	texts     []string      // what the first few are, as far as they were read
	more      uintptr       // where the next pointers are, 0 at the end
	failed    syscall.Errno // of reading words
}

const (
	// The first reads are about as large as what is there in most calls, and end
	// with the page, for the next may not be there.
	firstPath  = 256
	firstWords = 16
	// mostWords is how many words of a call are read. With the usual limits the
	// kernel takes 2 MiB of them all, of which each takes 9 bytes or more.
	mostWords = 1 << 18
	mostWord  = unix.PathMax
	// mostTexts is how many are kept for the next rule.
	mostTexts = 64
)

// call gathers what is to be judged.
func (a *asker) call(n *notification, g *guard.Guard) (c guard.Call, e syscall.Errno) {
	path, argv, at, flags := n.args[0], n.args[1], int64(unix.AT_FDCWD), uint64(0)
	if n.isAt() {
		path, argv, at, flags = n.args[1], n.args[2], int64(int32(n.args[0])), n.args[4]
	}
	if a.narrow {
		path, argv = path&0xffffffff, argv&0xffffffff
	}
	if c.Path, e = a.start(uintptr(path), uintptr(argv)); e != 0 {
		return c, e
	}
	c.Args = a.arg
	c.Open = func(path string) (guard.File, error) { return a.look(unix.AT_FDCWD, path, g) }
	if c.Path == "" && flags&unix.AT_EMPTY_PATH == 0 {
		return c, proceed // ENOENT, says the kernel
	}
	f, err := a.look(int(at), c.Path, g)
	c.File = f
	switch err := err.(type) {
	case nil:
		return c, 0
	case syscall.Errno:
		if err == unix.ENOENT || err == unix.ENOTDIR {
			return c, proceed // a search along PATH goes on
		}
		// The kernel would say the same, or the caller is root in a namespace of its
		// own, may enter folders that are closed to us, and hides something there.
		return c, err
	}
	return c, unix.EACCES
}

// isAt tells execveat from execve.
func (n *notification) isAt() bool {
	for i := range tables {
		if tables[i].arch == n.arch {
			return tables[i].execveat == uint32(n.nr)
		}
	}
	return false
}

// start reads the path and the first pointers of the words in one call.
func (a *asker) start(path, argv uintptr) (string, syscall.Errno) {
	var buf [firstPath + firstWords*8]byte
	n := min(firstPath, pageLeft(path))
	m := min(firstWords*a.pointer(), pageLeft(argv)/a.pointer()*a.pointer())
	remote := []unix.RemoteIovec{{Base: path, Len: n}, {Base: argv, Len: m}}
	if argv == 0 || m == 0 {
		remote = remote[:1]
	}
	l := unix.Iovec{Base: &buf[0]}
	l.SetLen(n + m)
	got, err := unix.ProcessVMReadv(a.pid, []unix.Iovec{l}, remote, 0)
	if err == unix.EPERM || err == unix.EACCES {
		return "", unix.EPERM
	}
	if err != nil || got < n {
		return "", unix.EFAULT
	}
	if a.more = argv; argv != 0 && got > n {
		a.pointers(buf[n:got])
	}
	if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
		return string(buf[:i]), 0
	}
	text, e := readMemory(a.pid, path, unix.PathMax, 0)
	return string(text), e
}

func pageLeft(at uintptr) int { return 4096 - int(at%4096) }

func (a *asker) pointer() int {
	if a.narrow {
		return 4
	}
	return 8
}

// pointers takes in what was read of the array.
func (a *asker) pointers(b []byte) {
	size := a.pointer()
	for ; len(b) >= size; b = b[size:] {
		at := uintptr(binary.NativeEndian.Uint32(b))
		if !a.narrow {
			at = uintptr(binary.NativeEndian.Uint64(b))
		}
		if at == 0 {
			a.more = 0
			return
		}
		a.words = append(a.words, at)
		a.more += uintptr(size)
	}
}

// arg is guard.Args. What cannot be read, or has no end, ends the judging: see
// failed.
func (a *asker) arg(i int) (string, bool) {
	for i >= len(a.words) && a.more != 0 && a.failed == 0 {
		a.readPointers()
	}
	if a.failed != 0 || i >= len(a.words) {
		return "", false
	}
	if i < len(a.texts) {
		return a.texts[i], true
	}
	text := a.text(a.words[i])
	if a.failed == 0 && i == len(a.texts) && i < mostTexts {
		a.texts = append(a.texts, text)
	}
	return text, a.failed == 0
}

func (a *asker) readPointers() {
	if len(a.words) >= mostWords {
		a.failed = unix.E2BIG
		return
	}
	size := max(a.pointer(), pageLeft(a.more)/a.pointer()*a.pointer())
	b, e := readMemory(a.pid, a.more, size, -1)
	if e != 0 {
		a.failed = e
		return
	}
	a.pointers(b)
}

// text reads one word, or as much of it as a rule could name.
func (a *asker) text(at uintptr) string {
	var buf [firstPath]byte
	n := min(firstPath, pageLeft(at))
	l := unix.Iovec{Base: &buf[0]}
	l.SetLen(n)
	got, err := unix.ProcessVMReadv(a.pid, []unix.Iovec{l}, []unix.RemoteIovec{{Base: at, Len: n}}, 0)
	if err != nil || got < n {
		a.failed = unix.EFAULT
		return ""
	}
	if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
		return string(buf[:i])
	}
	b, e := readMemory(a.pid, at, mostWord, 0)
	if e == unix.ENAMETOOLONG {
		return strings.Repeat("?", mostWord) // nothing that a rule means
	}
	a.failed = e
	return string(b)
}

// look opens a path as the caller would and says what it is.
func (a *asker) look(at int, path string, g *guard.Guard) (f guard.File, err error) {
	fd, err := a.open(at, path)
	if err != nil {
		return f, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return f, err
	}
	id := guard.IDOf(&st)
	if f, ok := g.Installed(id); ok {
		return f, nil
	}
	own := "/proc/self/fd/" + strconv.Itoa(fd)
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(own, buf[:])
	if err != nil {
		return f, err
	}
	f.Path = string(buf[:n])
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return f, nil // the kernel executes files alone
	}
	open := func() (*os.File, error) { return os.Open(own) } // waits for a lease, fcntl(2), as execve would
	f.Facts = g.Facts(id, f.Path, int(st.Uid) == os.Getuid(), open)
	return f, nil
}

func (a *asker) close() {
	for _, fd := range []int{a.root, a.cwd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// proc is the path of something in the caller's folder of /proc.
func (a *asker) proc(name string) string { return "/proc/" + strconv.Itoa(a.pid) + "/" + name }
