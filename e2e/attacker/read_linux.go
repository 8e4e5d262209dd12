package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("read-mmap FILE", readMmap)
	add("read-sendfile FILE", readSendfile)
	add("read-copyrange FILE OUT", readCopyRange)
	add("read-splice FILE", readSplice)
	add("read-uring FILE", readUring)
	add("uring-setuid FILE", uringSetuid)
	add("handle-of FILE", handleOf)
	add("handle-open MOUNTED HANDLE", handleOpen)
	add("handle-inode MOUNTED INODE", handleInode)
	add("fds", listFDs)
	add("fds-at", fdsAt)
	add("openat2-symlinks FILE", openat2)
	add("exchange A B", exchange)
	add("race-open FILE OTHER", raceOpen)
}

func readMmap(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return fmt.Errorf("empty file %v", err)
	}
	fmt.Println(strings.TrimRight(string(mem), "\x00"))
	return nil
}

func readSendfile(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	n, err := unix.Sendfile(1, fd, nil, 4096)
	if n <= 0 {
		return fmt.Errorf("%d bytes, %v", n, err)
	}
	return nil
}

func readCopyRange(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	out, err := unix.Open(args[1], unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := unix.CopyFileRange(fd, nil, out, nil, 4096, 0)
	if n <= 0 {
		return fmt.Errorf("%d bytes, %v", n, err)
	}
	return nil
}

func readSplice(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	n, err := unix.Splice(fd, nil, p[1], nil, 4096, 0)
	if n <= 0 {
		return fmt.Errorf("%d bytes, %v", n, err)
	}
	buf := make([]byte, n)
	_, _ = unix.Read(p[0], buf)
	fmt.Print(string(buf))
	return nil
}

// A ring is an io_uring just big enough for one request at a time.
type ring struct {
	fd               int
	sq, cq           []byte
	sqes             []byte
	sqTail, sqArray  *uint32
	sqMask           uint32
	cqHead, cqTailAt *uint32
	cqes             []byte
	cqMask           uint32
}

type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wqFD uint32
	resv                                                   [3]uint32
	sqOff, cqOff                                           [10]uint32
}

func newRing() (*ring, error) {
	var p ringParams
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &ring{fd: int(fd)}
	var err error
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.sq, err = unix.Mmap(r.fd, 0, int(p.sqOff[6]+p.sqEntries*4), prot, flags); err != nil {
		return nil, err
	}
	if r.cq, err = unix.Mmap(r.fd, 0x8000000, int(p.cqOff[5]+p.cqEntries*16), prot, flags); err != nil {
		return nil, err
	}
	if r.sqes, err = unix.Mmap(r.fd, 0x10000000, int(p.sqEntries*64), prot, flags); err != nil {
		return nil, err
	}
	at := func(b []byte, off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[off])) }
	r.sqTail, r.sqMask, r.sqArray = at(r.sq, p.sqOff[1]), *at(r.sq, p.sqOff[2]), at(r.sq, p.sqOff[6])
	r.cqHead, r.cqTailAt, r.cqMask = at(r.cq, p.cqOff[0]), at(r.cq, p.cqOff[1]), *at(r.cq, p.cqOff[2])
	r.cqes = r.cq[p.cqOff[5]:]
	return r, nil
}

// do runs one request and returns its result.
func (r *ring) do(op uint8, fd int, addr unsafe.Pointer, length uint32, off uint64, flags uint32) (int, error) {
	tail := atomic.LoadUint32(r.sqTail)
	i := tail & r.sqMask
	sqe := r.sqes[i*64 : i*64+64]
	clear(sqe)
	sqe[0] = op
	le := binary.LittleEndian
	le.PutUint32(sqe[4:], uint32(int32(fd)))
	le.PutUint64(sqe[8:], off)
	le.PutUint64(sqe[16:], uint64(uintptr(addr)))
	le.PutUint32(sqe[24:], length)
	le.PutUint32(sqe[28:], flags)
	*(*uint32)(unsafe.Add(unsafe.Pointer(r.sqArray), i*4)) = i
	atomic.StoreUint32(r.sqTail, tail+1)
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, 1, 0, 0); errno != 0 {
		return 0, fmt.Errorf("io_uring_enter: %w", errno)
	}
	head := atomic.LoadUint32(r.cqHead)
	res := int32(le.Uint32(r.cqes[(head&r.cqMask)*16+8:]))
	atomic.StoreUint32(r.cqHead, head+1)
	if res < 0 {
		return 0, unix.Errno(-res)
	}
	return int(res), nil
}

const (
	opOpenat = 18
	opRead   = 22
)

func (r *ring) open(path string, flags, mode uint32) (int, error) {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return 0, err
	}
	return r.do(opOpenat, unix.AT_FDCWD, unsafe.Pointer(p), mode, 0, flags)
}

func readUring(args []string) error {
	r, err := newRing()
	if err != nil {
		return err
	}
	fd, err := r.open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	buf := make([]byte, 4096)
	n, err := r.do(opRead, fd, unsafe.Pointer(&buf[0]), uint32(len(buf)), 0, 0)
	if err != nil || n == 0 {
		return fmt.Errorf("read: %d bytes, %v", n, err)
	}
	fmt.Print(string(buf[:n]))
	return nil
}

func uringSetuid(args []string) error {
	r, err := newRing()
	if err != nil {
		return err
	}
	if _, err := r.open(args[0], unix.O_CREAT|unix.O_WRONLY, 0o4755); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return wantSetuid(args[0])
}

func handleOf(args []string) error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, args[0], 0)
	if err != nil {
		return err
	}
	fmt.Printf("%d:%s\n", h.Type(), hex.EncodeToString(h.Bytes()))
	return nil
}

func handleOpen(args []string) error {
	kind, text, _ := strings.Cut(args[1], ":")
	t, _ := strconv.Atoi(kind)
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return err
	}
	return readHandle(args[0], unix.NewFileHandle(int32(t), raw))
}

// handleInode guesses the handle: on ext4 it is the inode number and a generation, and type 1 with
// generation 0 is taken for "any".
func handleInode(args []string) error {
	ino, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return err
	}
	raw := make([]byte, 8)
	binary.LittleEndian.PutUint32(raw, uint32(ino))
	return readHandle(args[0], unix.NewFileHandle(1, raw))
}

func readHandle(mounted string, h unix.FileHandle) error {
	dir, err := unix.Open(mounted, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	fd, err := unix.OpenByHandleAt(dir, h, unix.O_RDONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if n <= 0 {
		return fmt.Errorf("read: %d bytes, %v", n, err)
	}
	fmt.Print(string(buf[:n]))
	return nil
}

// listFDs shows every inherited descriptor from 3 on and what can be read through it.
func listFDs([]string) error {
	found := false
	for fd := 3; fd < 1024; fd++ {
		to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue // the Go runtime's own
		}
		found = true
		buf := make([]byte, 4096)
		n, _ := unix.Pread(fd, buf, 0)
		fmt.Printf("%d %s %q\n", fd, to, buf[:max(n, 0)])
	}
	if !found {
		return fmt.Errorf("none")
	}
	return nil
}

// fdsAt reads .env through any descriptor from 0 on that is a folder, the standard ones included.
func fdsAt([]string) error {
	for fd := range 1024 {
		for _, name := range []string{".env", "../.env", "app/.env"} {
			f, err := unix.Openat(fd, name, unix.O_RDONLY, 0)
			if err != nil {
				continue
			}
			buf := make([]byte, 4096)
			if n, _ := unix.Read(f, buf); n > 0 {
				fmt.Printf("%d %s: %s", fd, name, buf[:n])
				return nil
			}
		}
	}
	return fmt.Errorf("nothing")
}

func openat2(args []string) error {
	dir, err := unix.Open(filepath.Dir(args[0]), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	for _, resolve := range []uint64{0, unix.RESOLVE_BENEATH, unix.RESOLVE_IN_ROOT} {
		fd, err := unix.Openat2(dir, filepath.Base(args[0]), &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: resolve})
		if err != nil {
			return err
		}
		buf := make([]byte, 4096)
		if n, _ := unix.Read(fd, buf); n > 0 {
			fmt.Print(string(buf[:n]))
			return nil
		}
	}
	return fmt.Errorf("empty")
}

func exchange(args []string) error {
	return unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE)
}

// raceOpen opens a name over and over while another thread exchanges it with a second one, in the hope that
// a mask is missing for a moment.
func raceOpen(args []string) error {
	go func() {
		for {
			_ = exchange(args)
		}
	}()
	buf := make([]byte, 4096)
	for range 20000 {
		for _, f := range args {
			fd, err := unix.Open(f, unix.O_RDONLY, 0)
			if err != nil {
				continue
			}
			if n, _ := unix.Read(fd, buf); n > 0 && strings.Contains(string(buf[:n]), "hunter2-") {
				fmt.Print(string(buf[:n]))
				return nil
			}
			unix.Close(fd)
		}
	}
	return fmt.Errorf("never")
}
