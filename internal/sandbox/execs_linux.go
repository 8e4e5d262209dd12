package sandbox

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/guard"
	"golang.org/x/sys/unix"
)

// execs are the execve and execveat calls of a sandbox. For each the supervisor
// reads path and words from the caller's memory, looks at the file the way the
// caller would find it (its root, its folder, its mounts), asks the guard, and
// lets the kernel go on, or has the call fail with EACCES and says so on the
// caller's standard error.
//
// Between judging and executing, another thread of the caller can change the
// path, and another process the file: seccomp_unotify(2). Nothing can be done
// about that from here, and docs/commands.md says so.
//
// What cannot be read:
//   - memory that is there for the caller alone (memfd_secret(2), or none at
//     all): the call fails with EFAULT, as it does in the kernel when there is none
//   - the memory of a process which runs a program that only root may read:
//     execve(2) keeps it from everybody, ptrace(2). Nobody inside can make such a
//     program. It is let through, or a compiler that is kept that way would not
//     find its parts
//   - anybody's memory, where kernel.yama.ptrace_scope is 3 or a security module
//     says so: then the stubs are all there is, and Blind says that
type execs struct {
	*Execs
	began   atomic.Bool // the payload itself was executed
	blind   sync.Once
	mu      sync.Mutex
	told    said // what was last said to whom
	anyRead atomic.Bool
}

// said keeps a search along PATH, which tries one place after the other, from
// being told, and noted, for each.
type said struct {
	pid  uint32
	what string
	when time.Time
}

func newExecs(r *running) *execs {
	if r.opt.Execs == nil {
		return nil
	}
	return &execs{Execs: r.opt.Execs}
}

// judge says whether a program may be executed.
func (s *calls) judge(n *notification) syscall.Errno {
	if s.execs == nil || s.execs.began.CompareAndSwap(false, true) {
		// The first is PID 1's child on its way to become the payload, which was
		// judged before the start. Its memory is a copy of the supervisor's, which
		// nobody may read, prctl(2).
		return proceed
	}
	a := asker{pid: int(n.pid), root: -1, cwd: -1, narrow: n.arch == unix.AUDIT_ARCH_I386}
	defer a.close()
	c, e := a.call(n, s.execs.Guard)
	if e == unix.EPERM {
		s.cannotRead(n)
		return proceed
	} else if e != 0 {
		return e
	}
	s.execs.anyRead.Store(true)
	d := s.execs.Guard.Judge(c)
	if a.failed != 0 {
		return a.failed
	}
	if d == nil || !s.stillAsking(n) {
		return proceed
	}
	s.refuse(n, d)
	return unix.EACCES
}

// cannotRead takes note of memory that is closed to us.
func (s *calls) cannotRead(n *notification) {
	if s.execs.anyRead.Load() || s.execs.Blind == nil || !s.stillAsking(n) {
		return
	}
	s.execs.blind.Do(func() {
		why := "the memory of its processes cannot be read"
		if ptraceScope() == 3 {
			why += " (kernel.yama.ptrace_scope is 3)"
		}
		s.execs.Blind(why)
	})
}

func ptraceScope() int {
	text, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil {
		return 0
	}
	scope, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return scope
}

// refuse tells the caller, and whoever keeps the log.
func (s *calls) refuse(n *notification, d *guard.Denial) {
	now := said{n.pid, d.What, time.Now()}
	s.execs.mu.Lock()
	last := s.execs.told
	s.execs.told = now
	s.execs.mu.Unlock()
	if last.pid == now.pid && last.what == now.what && now.when.Sub(last.when) < time.Second {
		return
	}
	if s.execs.Refused != nil {
		s.execs.Refused(*d)
	}
	fd, errno := s.descriptorOf(n, 2)
	if errno != 0 {
		return // it has no standard error
	}
	defer unix.Close(fd)
	tell(fd, "[aigate] blocked: '"+printable(d.What)+"' is denied by policy")
}

// printable takes out what a terminal would act on: a file's name may be anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text[:min(len(text), 200)])
}

// tell writes a line to a descriptor of a caller's, which may be anything that
// can be open. What reads or obeys what is written to it is left alone, and a
// reader who is slow is waited for only a moment.
func tell(fd int, line string) {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Fstat(fd, &st) != nil || unix.Fstatfs(fd, &fs) != nil {
		return
	}
	end := "\n"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
	case unix.S_IFSOCK:
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
			return
		}
		unix.SendmsgN(fd, []byte(line+end), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return
	case unix.S_IFREG:
		switch fs.Type {
		case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC:
			return // where a write is an order, and by whom it comes
		}
	case unix.S_IFCHR:
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return
		}
		if modes.Oflag&unix.OPOST == 0 {
			line, end = "\r"+line, "\r\n" // a program draws there
		}
	default:
		return
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(p, 500); err != nil || n != 1 || p[0].Revents&unix.POLLOUT == 0 {
		return
	}
	unix.Write(fd, []byte(line+end))
}

// ExecGuard says whether programs inside are judged on this machine, or stubs are
// all there is.
func ExecGuard() (active bool, why string) {
	action := uint32(retNotify)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, ptrOf(&action))
	runtime.KeepAlive(&action)
	switch {
	case inAigate():
		return false, "this is inside another aigate, which judges by its own rules"
	case e != 0:
		return false, "this kernel has no seccomp user notification"
	case ptraceScope() == 3:
		return false, "kernel.yama.ptrace_scope is 3: nobody can read what a program is called with"
	}
	return true, ""
}
