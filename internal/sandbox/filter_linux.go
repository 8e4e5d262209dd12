package sandbox

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// The seccomp filter takes away what no agent needs and every exploit likes.
// Everything else stays, so that sandboxes inside the sandbox (bwrap, Chromium,
// codex), debuggers and package managers work: seccomp(2).
//
//   - kernel keyrings, which namespaces do not cover
//   - bpf, perf_event_open, userfaultfd, io_uring: large attack surface; io_uring
//     also makes sockets that no filter on socket(2) sees
//   - ioctl TIOCSTI and TIOCLINUX: typing into a terminal
//   - sockets other than unix, inet, inet6 and netlink: vsock leads to the
//     hypervisor, packet and alg have a history
//   - setuid and setgid bits, by every call that can set them: such a file
//     would lend its owner's rights to others on the host. Folders may have the
//     setgid bit: chmod with it is left to the supervisor, see chmod
//   - mount namespaces that do not come of the sandbox's, but begin with a tree or
//     with nothing: newer kernels than this was written for make such, and what
//     is masked would be no mount point there, see bedrock. Flags that are not
//     known are refused as a kernel does that does not know them
//   - clone3, whose flags cannot be seen; programs know clone
//   - bind is left to the supervisor, see calls
//   - execve and execveat, where deny_exec has rules: the supervisor judges them
//   - calls of other architectures and of x32, but for i386's on amd64, which
//     gets the same rules
type rule struct {
	nr     uint32
	action uint32
	// conds must all hold for the call to fail; none: it always fails.
	conds []cond
}

// cond compares the low 32 bits of an argument.
type cond struct {
	arg  int
	mask uint32 // 0: compare the whole value
	op   condOp
	val  uint32
}

type condOp uint8

const (
	equal   condOp = iota // (arg & mask) == val
	anyBits               // arg & mask != 0
	noneOf                // arg is none of the socket families allowed
)

const (
	setIDs = 0o6000 // S_ISUID | S_ISGID

	retAllow  = unix.SECCOMP_RET_ALLOW
	retErrno  = unix.SECCOMP_RET_ERRNO
	retNotify = unix.SECCOMP_RET_USER_NOTIF
)

// allowedFamilies of socket(2) and socketpair(2).
var allowedFamilies = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// table is one architecture's part of the filter.
type table struct {
	arch uint32
	numbers
}

// assembler collects BPF instructions. Jumps are short: every rule is a block
// that falls through to the next.
type assembler struct{ code []unix.SockFilter }

func (a *assembler) add(code uint16, k uint32, jt, jf uint8) {
	a.code = append(a.code, unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf})
}

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

const (
	ldAbs  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jeq    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jge    = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	jset   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	ja     = unix.BPF_JMP | unix.BPF_JA
	ret    = unix.BPF_RET | unix.BPF_K
	andK   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	x32Bit = 0x40000000
)

// filtering is what the filter depends on.
type filtering struct {
	inner   bool // inside another aigate: there can be no second listener, and the outer one does the work
	execs   bool // programs are judged before they are executed
	pinned  bool // they stay on the processors that they were given
	exposed bool // cgroup namespaces would show the caller's group, see limit.Control
}

// filter assembles the program for this machine's architectures.
func filter(f filtering) []unix.SockFilter {
	var a assembler
	for _, t := range tables {
		var body assembler
		body.add(ldAbs, offNr, 0, 0)
		if t.arch == unix.AUDIT_ARCH_X86_64 {
			body.add(jge, x32Bit, 0, 1)
			body.add(ret, retErrno|uint32(unix.ENOSYS), 0, 0)
		}
		list := rules(t.numbers, f)
		if f.inner {
			list = slices.DeleteFunc(list, func(r rule) bool { return r.action == retNotify })
		}
		for len(list) > 0 {
			n := alike(list)
			body.rules(list[:n])
			list = list[n:]
		}
		body.add(ret, retAllow, 0, 0)
		a.add(ldAbs, offArch, 0, 0)
		a.add(jeq, t.arch, 1, 0)
		a.add(ja, uint32(len(body.code)), 0, 0)
		a.code = append(a.code, body.code...)
	}
	a.add(ret, retErrno|uint32(unix.ENOSYS), 0, 0) // no other architecture
	return a.code
}

// alike counts the rules at the start of a list that are one block: all that do
// the same with whole calls, or a single one.
func alike(list []rule) int {
	n := 1
	for n < len(list) && len(list[n-1].conds) == 0 && len(list[n].conds) == 0 && list[n].action == list[0].action {
		n++
	}
	return n
}

// rules finds the call's number loaded and leaves it so. The kernel takes every
// filter apart, translates it and tries it on each call there is, while a command
// waits for its start; then the command waits at each call that is judged by its
// arguments. So it is worth being short.
func (a *assembler) rules(block []rule) {
	last := len(block) - 1
	for i, r := range block[:last] {
		a.add(jeq, r.nr, uint8(last-i), 0)
	}
	r := block[last]
	var b assembler
	for _, c := range r.conds {
		b.cond(c)
	}
	b.add(ret, r.action, 0, 0)
	// Any condition that does not hold jumps behind the return.
	for i := range b.code {
		if b.code[i].Code == ja && b.code[i].K == toEnd {
			b.code[i].K = uint32(len(b.code) - i - 1)
		}
	}
	if len(r.conds) > 0 {
		b.add(ldAbs, offNr, 0, 0)
	}
	a.add(jeq, r.nr, 0, uint8(len(b.code)))
	a.code = append(a.code, b.code...)
}

// toEnd marks a jump whose length is not known yet.
const toEnd = ^uint32(0)

func (a *assembler) cond(c cond) {
	a.add(ldAbs, offArgs+8*uint32(c.arg), 0, 0) // little endian: the low half comes first
	switch c.op {
	case equal:
		if c.mask != 0 {
			a.add(andK, c.mask, 0, 0)
		}
		a.add(jeq, c.val, 1, 0)
		a.add(ja, toEnd, 0, 0)
	case anyBits:
		a.add(jset, c.mask, 1, 0)
		a.add(ja, toEnd, 0, 0)
	case noneOf:
		for _, f := range allowedFamilies {
			a.add(jeq, f, 0, 1)
			a.add(ja, toEnd, 0, 0)
		}
	}
}

// numbers are the call numbers of one architecture that the rules need; 0
// means that the architecture has no such call.
type numbers struct {
	never                               []uint32 // fail with EPERM
	absent                              []uint32 // fail with ENOSYS: programs know what to do instead
	ioctl, socket, socketpair           uint32
	open, creat, openat, mknod, mknodat uint32
	chmod, fchmod, fchmodat, fchmodat2  uint32
	bind                                uint32
	execve, execveat, setAffinity       uint32
	unshare, clone                      uint32
}

// What Linux 6.18 knows: unshare(2), open_tree(2).
const (
	unshareKnown = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM |
		unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
		unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME
	openTreeKnown = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_NO_AUTOMOUNT | unix.AT_RECURSIVE | unix.AT_SYMLINK_NOFOLLOW
)

// The same numbers on every architecture.
const (
	sysOpenTree     = 428
	sysFsmount      = 432
	sysClone3       = 435
	sysOpenTreeAttr = 467
)

func rules(n numbers, f filtering) []rule {
	var out []rule
	add := func(nr uint32, errno syscall.Errno, conds ...cond) {
		if nr != 0 {
			out = append(out, rule{nr, retErrno | uint32(errno), conds})
		}
	}
	for _, nr := range n.never {
		add(nr, unix.EPERM)
	}
	for _, nr := range n.absent {
		add(nr, unix.ENOSYS)
	}
	if f.pinned {
		add(n.setAffinity, unix.EPERM)
	}
	if f.exposed {
		of := cond{arg: 0, op: anyBits, mask: unix.CLONE_NEWCGROUP}
		add(n.unshare, unix.EPERM, of)
		add(n.clone, unix.EPERM, of)
	}
	add(n.unshare, unix.EINVAL, cond{arg: 0, op: anyBits, mask: ^uint32(unshareKnown)})
	add(sysOpenTree, unix.EINVAL, cond{arg: 2, op: anyBits, mask: ^uint32(openTreeKnown)})
	add(sysOpenTreeAttr, unix.EINVAL, cond{arg: 2, op: anyBits, mask: ^uint32(openTreeKnown)})
	add(sysFsmount, unix.EINVAL, cond{arg: 1, op: anyBits, mask: ^uint32(unix.FSMOUNT_CLOEXEC)})
	add(n.ioctl, unix.EPERM, cond{arg: 1, op: equal, val: unix.TIOCSTI})
	add(n.ioctl, unix.EPERM, cond{arg: 1, op: equal, val: unix.TIOCLINUX})
	add(n.socket, unix.EAFNOSUPPORT, cond{arg: 0, op: noneOf})
	add(n.socketpair, unix.EAFNOSUPPORT, cond{arg: 0, op: noneOf})
	mode := func(arg int) cond { return cond{arg: arg, op: anyBits, mask: setIDs} }
	for _, c := range []struct {
		nr  uint32
		arg int
	}{{n.chmod, 1}, {n.fchmod, 1}, {n.fchmodat, 2}, {n.fchmodat2, 2}} {
		add(c.nr, unix.EPERM, cond{arg: c.arg, op: anyBits, mask: unix.S_ISUID})
		if c.nr != 0 {
			out = append(out, rule{c.nr, retNotify, []cond{{arg: c.arg, op: anyBits, mask: unix.S_ISGID}}})
		}
	}
	add(n.creat, unix.EPERM, mode(1))
	add(n.mknod, unix.EPERM, mode(1))
	add(n.mknodat, unix.EPERM, mode(2))
	// Without O_CREAT or O_TMPFILE the mode is whatever the register held.
	const makes = unix.O_CREAT | (unix.O_TMPFILE &^ unix.O_DIRECTORY)
	add(n.open, unix.EPERM, cond{arg: 1, op: anyBits, mask: makes}, mode(2))
	add(n.openat, unix.EPERM, cond{arg: 2, op: anyBits, mask: makes}, mode(3))
	out = append(out, rule{n.bind, retNotify, nil})
	if f.execs {
		out = append(out, rule{n.execve, retNotify, nil}, rule{n.execveat, retNotify, nil})
	}
	return out
}
