package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// lastCap is more than any kernel has; dropping an unknown one is EINVAL.
const lastCap = 63

// dropRights appends the surrender of every capability, now and for all
// programs that are ever executed: capabilities(7), prctl(2). The bounding set
// goes too, so that uid 0 regains nothing by execve.
func (p *program) dropRights() {
	p.call("clear the ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	for c := 0; c <= lastCap; c++ {
		// EINVAL: no such capability. EPERM: bwrap has left us without the right to
		// ask, and without anything to drop.
		p.call("drop a capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0).unless(lastCap-c, unix.EINVAL, unix.EPERM)
	}
	p.call("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	h := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := &[2]unix.CapUserData{}
	p.call("give the capabilities up", unix.SYS_CAPSET, ptrArg(p, h), ptrArg(p, none))
}

// Landlock, landlock(7): only its scopes are used. A rule on files would forbid
// every later mount and so break the sandboxes that agents bring themselves.
const (
	landlockCreate        = 444 // the same number on every architecture
	landlockRestrict      = 446
	landlockVersion       = 1
	scopeAbstractSockets  = 1
	scopeSignals          = 2
	landlockABIWithScopes = 6 // Linux 6.12
)

// landlockRuleset is struct landlock_ruleset_attr: rights to files, to the
// network, and scopes.
type landlockRuleset [3]uint64

// landlockABI is the kernel's Landlock version, 0 without Landlock.
func landlockABI() int {
	r, _, e := unix.Syscall(landlockCreate, 0, 0, landlockVersion)
	if e != 0 {
		return 0
	}
	return int(r)
}

// scope appends the promise that no abstract socket and no process outside of
// the sandbox can be reached, whatever the namespaces share.
func (p *program) scope() {
	r := &landlockRuleset{2: scopeAbstractSockets | scopeSignals}
	fd := p.newReg()
	p.call("make a Landlock ruleset", landlockCreate, ptrArg(p, r), int(unsafe.Sizeof(*r)), 0).into(fd)
	p.call("enter the Landlock domain", landlockRestrict, fd, 0)
	p.close(fd)
}

// seccomp appends the installation of the filter; the register is the
// descriptor on which the supervisor gets what the filter leaves to it.
func (p *program) seccomp(with filtering) (listener []reg) {
	f := filter(with)
	code := p.bytes(unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), len(f)*int(unsafe.Sizeof(f[0]))))
	prog := &[2]uintptr{uintptr(len(f)), code} // struct sock_fprog
	flags := unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	if waitsKillable() {
		flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	if with.inner {
		flags = 0
	}
	s := p.call("install the seccomp filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, ptrArg(p, prog))
	if !with.inner {
		r := p.newReg()
		s.into(r)
		listener = []reg{r}
	}
	return listener
}

// waitsKillable says that the kernel (5.19 and newer) lets a call that the
// supervisor is at work on finish before a signal is handled. Without that the
// call is begun anew after each signal, and a bind that was done already fails.
// seccomp(2): with no filter a known flag gives EFAULT, an unknown one EINVAL.
func waitsKillable() bool {
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, 0)
	return e == unix.EFAULT
}
