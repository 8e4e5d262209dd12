package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Some system calls are left to the supervisor by the filter, because what is
// wrong with them is in memory, or elsewhere, where a filter cannot look:
// bind(2) (see bind), execve(2) (see execs) and chmod(2) of some modes (see chmod).
// seccomp_unotify(2) warns that a caller's other threads may change the
// arguments after they were judged. So no call that a promise rests on is judged
// and then continued: the supervisor copies the arguments and does itself what
// was asked for, with the caller's own rights and no more. An execve cannot be
// done for another process. It is judged and continued, and promised to no one.
//
// No caller waits for another's slow call. What forks a helper runs beside; what
// is judged at once, but for once takes long (a file system that does not
// answer), is left behind by the receiver, see relieve.
type calls struct {
	listener int
	mnt      int    // the sandbox's own mount namespace
	mntns    string // as readlink shows it
	plan     *Plan
	pid1     int // host pid of the sandbox's PID 1
	execs    *execs

	mu     sync.Mutex
	shared map[uint64]bool // see sharedDevices; nil until needed

	receiver
	stopped [2]int // a pipe that ends it
	started bool
}

// The kernel's structures, seccomp_unotify(2).
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// proceed is no errno: the kernel is to carry the call out itself.
const proceed = syscall.Errno(1 << 30)

const (
	notifyRecv    = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifySend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	notifyIDValid = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	notifySetFlag = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
	syncWakeUp    = 1          // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
)

// serveCalls prepares to answer what arrives on the listener.
func serveCalls(listener int, r *running) (*calls, error) {
	s := &calls{listener: listener, mnt: r.mntns, plan: r.plan, pid1: r.pid1, execs: newExecs(r)}
	s.slots = make(chan struct{}, mostAside)
	var err error
	if s.mntns, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(r.mntns)); err != nil {
		return nil, fmt.Errorf("name the sandbox's mounts: %w", err)
	}
	// Since Linux 6.6: who asks and who answers take turns on one CPU, which is
	// what they do. Older kernels wake the answerer wherever there is room.
	unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifySetFlag, syncWakeUp)
	return s, nil
}

// descriptor is readable when a process asks, -1 when nobody can.
func (s *calls) descriptor() int32 {
	if s == nil {
		return -1
	}
	return int32(s.listener)
}

// start begins to answer.
func (s *calls) start() error {
	if s == nil {
		return nil
	}
	if err := unix.Pipe2(s.stopped[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("serve the command's calls: %w", err)
	}
	s.started = true
	s.receive()
	return nil
}

// stop ends it. Nobody is left who could ask.
func (s *calls) stop() {
	if s == nil {
		return
	}
	if s.started {
		unix.Write(s.stopped[1], []byte{0}) // not Close: a forked helper may hold a copy
	}
	if !s.over() {
		return // the descriptors are still in use, and aigate ends in a moment
	}
	if s.started {
		unix.Close(s.stopped[0])
		unix.Close(s.stopped[1])
	}
	unix.Close(s.listener)
}

// asked waits for the next call. It is false when there will be none.
//
// For a moment it waits without the Go scheduler's knowledge, if that has another
// processor to go on with: calls come in swarms, and a goroutine that leaves the
// scheduler and comes back costs as much as judging does. A signal by which the
// scheduler asks for a pause ends ppoll(2), so nothing waits for us. (The
// runtime's own poller would wake another thread for every call.)
func (s *calls) asked() bool {
	fds := &[2]unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}, {Fd: int32(s.stopped[0]), Events: unix.POLLIN}}
	if runtime.GOMAXPROCS(0) > 1 {
		wait := unix.NsecToTimespec(int64(swarm))
		if n, _, e := syscall.RawSyscall6(unix.SYS_PPOLL, ptrOf(&fds[0]), uintptr(len(fds)), ptrOf(&wait), 0, 0, 0); e == 0 && n > 0 {
			return fds[1].Revents == 0 && fds[0].Revents&unix.POLLIN != 0
		}
	}
	for {
		_, err := unix.Poll(fds[:], -1)
		if err != unix.EINTR {
			return err == nil && fds[1].Revents == 0 && fds[0].Revents&unix.POLLIN != 0
		}
	}
}

// swarm is how long the next call is waited for that way: less than the 10 ms
// after which the scheduler asks for a pause.
const swarm = 8 * time.Millisecond

// next takes one call and answers it, or has it answered when that is slow.
func (s *calls) next() (slow bool) {
	var n notification
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), notifyRecv, uintptr(unsafe.Pointer(&n))); e != 0 {
		return false // the caller was killed meanwhile
	}
	do, slow := s.service(&n)
	if slow {
		s.aside(func() { s.answer(&n, do(&n)) })
	} else {
		s.answer(&n, do(&n))
	}
	return slow
}

// service says who does a call, and whether that takes longer than others can wait.
func (s *calls) service(n *notification) (do func(*notification) syscall.Errno, slow bool) {
	for i := range tables {
		t := &tables[i]
		if t.arch != n.arch {
			continue
		}
		switch uint32(n.nr) {
		case t.execve, t.execveat:
			return s.judge, false
		case t.bind:
			return s.bind, true
		case t.chmod, t.fchmod, t.fchmodat, t.fchmodat2:
			return func(n *notification) syscall.Errno { return s.chmod(n, t) }, true
		}
	}
	return func(*notification) syscall.Errno { return unix.ENOSYS }, false
}

// answer lets a caller go on. It fails when the caller is gone, which is no matter.
func (s *calls) answer(n *notification, e syscall.Errno) {
	a := answer{id: n.id, errno: -int32(e)}
	if e == proceed {
		a.errno, a.flags = 0, unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), notifySend, uintptr(unsafe.Pointer(&a)))
}

// stillAsking says that the process which asked is there and waits: what was
// opened by its pid until now was its own.
func (s *calls) stillAsking(n *notification) bool {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), notifyIDValid, uintptr(unsafe.Pointer(&n.id)))
	return e == 0
}

// caller is the process that asked, as far as it matters here.
type caller struct {
	ns, root, cwd int
}

// open gives the caller's mounts, root and folder.
func (n *notification) caller() (c caller, err error) {
	c = caller{-1, -1, -1}
	for _, f := range []struct {
		fd   *int
		name string
		flag int
	}{{&c.ns, "ns/mnt", unix.O_RDONLY}, {&c.root, "root", unix.O_PATH | unix.O_DIRECTORY}, {&c.cwd, "cwd", unix.O_PATH | unix.O_DIRECTORY}} {
		if *f.fd, err = unix.Open(n.proc(f.name), f.flag|unix.O_CLOEXEC, 0); err != nil {
			return c, err
		}
	}
	return c, nil
}

// proc is the path of something in the caller's folder of /proc.
func (n *notification) proc(name string) string {
	return "/proc/" + strconv.Itoa(int(n.pid)) + "/" + name
}

func (c caller) close() {
	for _, fd := range []int{c.ns, c.root, c.cwd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// enter appends the way into the caller's view of the file system.
func (c caller) enter(p *program) {
	p.call("enter the caller's root", unix.SYS_FCHDIR, c.root)
	p.call("enter the caller's root", unix.SYS_CHROOT, ".")
	p.call("enter the caller's folder", unix.SYS_FCHDIR, c.cwd)
}

// status gives a line of the caller's status, proc_pid_status(5).
func (n *notification) status(key string) string {
	text, err := os.ReadFile(n.proc("status"))
	if err != nil {
		return ""
	}
	_, line, _ := strings.Cut(string(text), "\n"+key+":")
	line, _, _ = strings.Cut(line, "\n")
	return strings.TrimSpace(line)
}

// readMemory copies an argument out of the caller's memory, once, up to and
// without the byte that ends it (-1: none does).
func readMemory(pid int, at uintptr, size int, end int) ([]byte, syscall.Errno) {
	buf := make([]byte, size)
	for got := 0; got < size; {
		// Not across a page that may not be there.
		want := min(size-got, 4096-int(at+uintptr(got))%4096)
		l := unix.Iovec{Base: &buf[got]}
		l.SetLen(want)
		n, err := unix.ProcessVMReadv(pid, []unix.Iovec{l}, []unix.RemoteIovec{{Base: at + uintptr(got), Len: want}}, 0)
		if err != nil || n <= 0 {
			return nil, unix.EFAULT
		}
		if end >= 0 {
			if i := bytes.IndexByte(buf[got:got+n], byte(end)); i >= 0 {
				return buf[:got+i], 0
			}
		}
		got += n
	}
	if end >= 0 {
		return nil, unix.ENAMETOOLONG
	}
	return buf, 0
}
