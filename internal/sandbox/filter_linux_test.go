package sandbox

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// call is what the filter is shown of a system call.
type syscallData struct {
	arch, nr uint32
	args     [6]uint64
}

// judge runs a classic BPF program over the call, as the kernel would; it
// knows the instructions that the assembler makes, and no others.
func judge(t *testing.T, prog []unix.SockFilter, c syscallData) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data[offNr:], c.nr)
	binary.LittleEndian.PutUint32(data[offArch:], c.arch)
	for i, a := range c.args {
		binary.LittleEndian.PutUint64(data[offArgs+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		i := prog[pc]
		jump := func(cond bool) {
			if cond {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case ldAbs:
			acc = binary.LittleEndian.Uint32(data[i.K:])
		case andK:
			acc &= i.K
		case jeq:
			jump(acc == i.K)
		case jge:
			jump(acc >= i.K)
		case jset:
			jump(acc&i.K != 0)
		case ja:
			pc += int(i.K)
		case ret:
			return i.K
		default:
			t.Fatalf("instruction %d: code %#x", pc, i.Code)
		}
	}
	t.Fatal("the program ran past its end")
	return 0
}

func TestFilter(t *testing.T) {
	prog := filter(filtering{execs: true})
	if len(prog) > 4096 {
		t.Fatalf("%d instructions; the kernel takes 4096", len(prog))
	}
	arch := tables[0].arch
	const allow, perm, nosys = uint32(retAllow), retErrno | uint32(unix.EPERM), retErrno | uint32(unix.ENOSYS)
	inval := retErrno | uint32(unix.EINVAL)
	family := retErrno | uint32(unix.EAFNOSUPPORT)
	call := func(nr int, args ...uint64) syscallData {
		c := syscallData{arch: arch, nr: uint32(nr)}
		copy(c.args[:], args)
		return c
	}
	type check struct {
		name string
		call syscallData
		want uint32
	}
	checks := []check{
		{"read", call(unix.SYS_READ), allow},
		{"clone into a user namespace", call(unix.SYS_CLONE, unix.CLONE_NEWUSER), allow},
		{"mount", call(unix.SYS_MOUNT), allow},
		{"ptrace", call(unix.SYS_PTRACE), allow},
		{"keyctl", call(unix.SYS_KEYCTL), perm},
		{"bpf", call(unix.SYS_BPF), perm},
		{"io_uring", call(unix.SYS_IO_URING_SETUP), nosys},
		{"openat2", call(unix.SYS_OPENAT2), nosys},
		{"TCGETS", call(unix.SYS_IOCTL, 0, unix.TCGETS), allow},
		{"TIOCSTI", call(unix.SYS_IOCTL, 0, unix.TIOCSTI), perm},
		{"TIOCSTI with the high half set, which the kernel ignores", call(unix.SYS_IOCTL, 0, 1<<32|unix.TIOCSTI), perm},
		{"TIOCLINUX", call(unix.SYS_IOCTL, 0, unix.TIOCLINUX), perm},
		{"unix socket", call(unix.SYS_SOCKET, unix.AF_UNIX), allow},
		{"inet socket", call(unix.SYS_SOCKET, unix.AF_INET), allow},
		{"inet6 socket", call(unix.SYS_SOCKET, unix.AF_INET6), allow},
		{"netlink socket", call(unix.SYS_SOCKET, unix.AF_NETLINK), allow},
		{"vsock", call(unix.SYS_SOCKET, unix.AF_VSOCK), family},
		{"packet", call(unix.SYS_SOCKET, unix.AF_PACKET), family},
		{"alg", call(unix.SYS_SOCKET, unix.AF_ALG), family},
		{"vsock pair", call(unix.SYS_SOCKETPAIR, unix.AF_VSOCK), family},
		{"chmod 755", call(unix.SYS_FCHMODAT, 0, 0, 0o755), allow},
		{"sticky", call(unix.SYS_FCHMODAT, 0, 0, 0o1777), allow},
		{"setuid", call(unix.SYS_FCHMODAT, 0, 0, 0o4755), perm},
		{"setgid", call(unix.SYS_FCHMOD, 0, 0o2755), retNotify},
		{"setgid by a path", call(unix.SYS_FCHMODAT, 0, 0, 0o2755), retNotify},
		{"setgid by fchmodat2", call(unix.SYS_FCHMODAT2, 0, 0, 0o2755), retNotify},
		{"setuid and setgid", call(unix.SYS_FCHMOD, 0, 0o6755), perm},
		{"create setgid", call(unix.SYS_OPENAT, 0, 0, unix.O_CREAT, 0o2755), perm},
		{"setuid by fchmodat2", call(unix.SYS_FCHMODAT2, 0, 0, 0o4755), perm},
		{"open for reading, rubbish in the mode", call(unix.SYS_OPENAT, 0, 0, unix.O_RDONLY, 0xffff), allow},
		{"a folder opened, rubbish in the mode", call(unix.SYS_OPENAT, 0, 0, unix.O_DIRECTORY, 0xffff), allow},
		{"create 644", call(unix.SYS_OPENAT, 0, 0, unix.O_CREAT, 0o644), allow},
		{"create setuid", call(unix.SYS_OPENAT, 0, 0, unix.O_CREAT, 0o4755), perm},
		{"O_TMPFILE setuid", call(unix.SYS_OPENAT, 0, 0, unix.O_TMPFILE|unix.O_RDWR, 0o4755), perm},
		{"mknod setuid", call(unix.SYS_MKNODAT, 0, 0, unix.S_IFREG|0o4755), perm},
		{"umount", call(unix.SYS_UMOUNT2, 0, 0), allow},
		{"lazy umount", call(unix.SYS_UMOUNT2, 0, unix.MNT_DETACH), allow},
		{"unshare", call(unix.SYS_UNSHARE, unshareKnown), allow},
		{"unshare something new", call(unix.SYS_UNSHARE, unix.CLONE_NEWNS|unix.CLONE_PARENT_SETTID), inval},
		{"open_tree", call(unix.SYS_OPEN_TREE, 0, 0, openTreeKnown), allow},
		{"open_tree as a namespace", call(unix.SYS_OPEN_TREE, 0, 0, 2), inval},
		{"open_tree_attr as a namespace", call(sysOpenTreeAttr, 0, 0, 2), inval},
		{"fsmount", call(unix.SYS_FSMOUNT, 0, 1), allow},
		{"fsmount as a namespace", call(unix.SYS_FSMOUNT, 0, 3), inval},
		{"clone3", call(unix.SYS_CLONE3, 0), nosys},
		{"bind", call(unix.SYS_BIND, 3), retNotify},
		{"execve", call(unix.SYS_EXECVE), retNotify},
		{"execveat", call(unix.SYS_EXECVEAT), retNotify},
		{"connect", call(unix.SYS_CONNECT, 3), allow},
		{"another architecture", syscallData{arch: 0x1234}, nosys},
	}
	if runtime.GOARCH == "amd64" {
		i386 := func(nr uint32, args ...uint64) syscallData {
			c := syscallData{arch: unix.AUDIT_ARCH_I386, nr: nr}
			copy(c.args[:], args)
			return c
		}
		checks = append(checks, []check{
			{"x32", call(0x40000000 | unix.SYS_READ), nosys},
			{"i386 read", i386(3), allow},
			{"i386 socketcall", i386(102), nosys},
			{"i386 vsock", i386(359, unix.AF_VSOCK), family},
			{"i386 keyctl", i386(288), perm},
			{"i386 TIOCSTI", i386(54, 0, unix.TIOCSTI), perm},
			{"i386 chmod setuid", i386(15, 0, 0o4755), perm},
			{"i386 chmod setgid", i386(15, 0, 0o2755), retNotify},
			{"i386 execve", i386(11), retNotify},
			{"i386 execveat", i386(358), retNotify},
			{"i386 open setuid", i386(5, 0, unix.O_CREAT, 0o4755), perm},
		}...)
	}
	if got := judge(t, filter(filtering{inner: true, execs: true}), call(unix.SYS_BIND, 3)); got != allow {
		t.Errorf("bind in an inner sandbox: %#x", got)
	}
	if got := judge(t, filter(filtering{}), call(unix.SYS_EXECVE)); got != allow {
		t.Errorf("execve without rules: %#x", got)
	}
	if got := judge(t, filter(filtering{}), call(unix.SYS_SCHED_SETAFFINITY)); got != allow {
		t.Errorf("sched_setaffinity without a limit: %#x", got)
	}
	if got := judge(t, filter(filtering{pinned: true}), call(unix.SYS_SCHED_SETAFFINITY)); got != perm {
		t.Errorf("sched_setaffinity with one: %#x", got)
	}
	exposed := filter(filtering{exposed: true})
	for _, c := range []check{
		{"unshare a cgroup namespace", call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWCGROUP), perm},
		{"unshare another", call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNS), allow},
		{"clone into one", call(unix.SYS_CLONE, unix.CLONE_NEWCGROUP|uint64(unix.SIGCHLD)), perm},
	} {
		if got := judge(t, exposed, c.call); got != c.want {
			t.Errorf("exposed, %s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for _, c := range checks {
		if got := judge(t, prog, c.call); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}
