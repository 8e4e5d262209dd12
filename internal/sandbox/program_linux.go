package sandbox

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A program is a flat list of system calls with every argument prepared
// beforehand. It exists because a process forked from a Go program can run
// no Go code that allocates, grows a stack or takes a lock: the other threads
// are gone. Running a list needs none of that, saves the 2 ms that a second Go
// process would take to start, and can be read, printed and compared.
//
// Each call may take arguments from registers (results of earlier calls) and
// may keep its own result in one. A failing call ends the program; nothing is
// ignored unless the step says which errno it expects.
//
// The list, and everything its arguments point to, lies in memory that is
// shared with the forked process: so that process can be on its way, making
// namespaces, while the rest of the list is still being written.
type program struct {
	steps []step
	regs  *[maxRegs]uintptr // the inner side's, for all of its programs
	mem   *memory
	nregs int
	// stepwise: openat2(2) is not there.
	stepwise bool
	// gone counts the paths that were not there any more; optional is set while
	// paths are added that need not be there.
	gone     int
	optional bool
	// unreachable is an errno that says that a path needs no mount; see forCaller.
	unreachable syscall.Errno
}

const (
	maxRegs = 2000 // one for each writable folder, and room
	noReg   = reg(65535)
)

// reg names a register of a program.
type reg uint16

// step is one system call.
type step struct {
	nr   uintptr
	arg  [6]uintptr
	from [6]reg // register to take the argument from, or noReg
	to   reg    // register for the result, or noReg
	// okay are errnos that do not end the program: after one of them the next
	// skip steps are left out.
	okay [3]syscall.Errno
	skip int
	// counts says that ENOENT is to be counted, see program.gone.
	counts bool
	// least is the smallest result that is a success: a peer that is gone
	// answers a read with 0, no error.
	least uintptr
	// store, when set, is an address that receives the low 32 bits of
	// register from[0]; no system call is made.
	store uintptr
	// test, when set, is an address whose 64 bits must equal want, or else the
	// next skip steps are left out; no system call is made.
	test uintptr
	want uint64
	name string // what failed, as the user will read it
}

func (p *program) newReg() reg {
	if p.nregs == maxRegs {
		panic("sandbox: program is out of registers")
	}
	p.nregs++
	return reg(p.nregs - 1)
}

// call appends a system call. Arguments may be int, uintptr, reg, string
// (passed as a C string) or a pointer made by ptr.
func (p *program) call(name string, nr uintptr, args ...any) *step {
	s := step{nr: nr, to: noReg, name: name}
	for i := range s.from {
		s.from[i] = noReg
	}
	for i, a := range args {
		switch v := a.(type) {
		case int:
			s.arg[i] = uintptr(v)
		case uintptr:
			s.arg[i] = v
		case reg:
			s.from[i] = v
		case string:
			s.arg[i] = p.str(v)
		default:
			panic(fmt.Sprintf("sandbox: argument %d of %s is a %T", i, name, a))
		}
	}
	return p.add(s)
}

func (p *program) add(s step) *step {
	if len(p.steps) == cap(p.steps) {
		panic("sandbox: program is too long") // see maxSteps
	}
	s.name = p.text(s.name)
	p.steps = append(p.steps, s)
	return &p.steps[len(p.steps)-1]
}

// into keeps the result of the call in r.
func (s *step) into(r reg) *step { s.to = r; return s }

// unless names the errnos that are no failure, and how many of the following
// steps they make pointless.
func (s *step) unless(skip int, errnos ...syscall.Errno) *step {
	copy(s.okay[:], errnos)
	s.skip = skip
	return s
}

// str is the address of a C string.
func (p *program) str(s string) uintptr {
	b := p.mem.take(len(s) + 1)
	copy(b, s)
	return ptrOf(&b[0])
}

// text is the string in shared memory.
func (p *program) text(s string) string {
	if s == "" {
		return s
	}
	b := p.mem.take(len(s))
	copy(b, s)
	return unsafe.String(&b[0], len(b))
}

// bytes is the address of a copy of b.
func (p *program) bytes(b []byte) uintptr {
	c := p.mem.take(max(len(b), 1))
	copy(c, b)
	return ptrOf(&c[0])
}

// ptrArg is the address of a copy of v, which must not hold Go pointers.
func ptrArg[T any](p *program, v *T) uintptr {
	return p.bytes(unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)))
}

// argv is a NULL-terminated array of C strings, as execve(2) wants it.
func (p *program) argv(ss []string) uintptr {
	v := make([]uintptr, len(ss)+1)
	for i, s := range ss {
		v[i] = p.str(s)
	}
	return p.bytes(unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0]))))
}

// put stores register r as a 32-bit value at address a, for calls that take
// descriptors inside a structure.
func (p *program) put(r reg, a uintptr) {
	s := step{to: noReg, store: a, name: "store"}
	for i := range s.from {
		s.from[i] = noReg
	}
	s.from[0] = r
	p.add(s)
}

// skipUnless leaves the next steps out when the 64 bits at address a are not
// as wanted.
func (p *program) skipUnless(a uintptr, want uint64, steps int) {
	s := step{to: noReg, test: a, want: want, skip: steps, name: "compare"}
	for i := range s.from {
		s.from[i] = noReg
	}
	p.add(s)
}

func (p *program) open(path string, flags int) reg {
	r := p.newReg()
	p.call("open "+path, unix.SYS_OPENAT, unix.AT_FDCWD, path, flags|unix.O_CLOEXEC, 0).into(r)
	return r
}

func (p *program) close(r reg) { p.call("close", unix.SYS_CLOSE, r) }

// write opens path (which must exist), writes text and closes it.
func (p *program) write(path, text string) {
	r := p.open(path, unix.O_WRONLY)
	p.call("write "+path, unix.SYS_WRITE, r, text, len(text))
	p.close(r)
}

// failure is where a program ended and why.
type failure struct {
	step  int
	errno syscall.Errno
}

// run executes the program with raw system calls. It may be called in a
// forked child: no allocation, no stack growth, no locks.
//
//go:nosplit
//go:norace
//go:noinline
func (p *program) run(f *failure) bool {
	for i := 0; i < len(p.steps); i++ {
		s := &p.steps[i]
		var a [6]uintptr
		for j := 0; j < 6; j++ {
			if s.from[j] != noReg {
				a[j] = p.regs[s.from[j]]
			} else {
				a[j] = s.arg[j]
			}
		}
		if s.store != 0 {
			*(*uint32)(address(s.store)) = uint32(a[0])
			continue
		}
		if s.test != 0 {
			if *(*uint64)(address(s.test)) != s.want {
				i += s.skip
			}
			continue
		}
		r, e := rawSyscall(s.nr, &a)
		if e != 0 {
			if e != s.okay[0] && e != s.okay[1] && e != s.okay[2] {
				f.step, f.errno = i, e
				return false
			}
			if s.counts && (e == unix.ENOENT || e == unix.ENOTDIR) {
				p.gone++
			}
			i += s.skip
			continue
		}
		if r < s.least {
			f.step, f.errno = i, syscall.EPIPE
			return false
		}
		if s.to != noReg {
			p.regs[s.to] = r
		}
	}
	return true
}

//go:nosplit
//go:norace
func rawSyscall(nr uintptr, a *[6]uintptr) (uintptr, syscall.Errno) {
	for {
		r, _, e := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e != syscall.EINTR {
			return r, e
		}
	}
}

// address turns a number that came from a live Go object back into a pointer.
//
//go:nosplit
func address(u uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&u)) }

// ptrOf is the address of v, for a call that is made at once, or of something in
// shared memory.
func ptrOf[T any](v *T) uintptr { return uintptr(unsafe.Pointer(v)) }
