package doctor

import (
	"fmt"
	"syscall"
)

// Facts are what the machine says about itself, as text where the kernel has text; "" is "not there".
type Facts struct {
	Root             bool   // the caller is root
	Kernel           string // uname -r
	WSL              int    // 1 or 2 under Windows
	Container        Container
	Chroot           bool
	Seccomp          bool   // a seccomp filter is in force on us already
	InAigate         bool   // this is a sandbox of aigate's
	MaxUserNS        string // user.max_user_namespaces
	UsernsClone      string // kernel.unprivileged_userns_clone, Debian's patch
	AppArmorRestrict string // kernel.apparmor_restrict_unprivileged_userns, Ubuntu's
	AppArmorLabel    string // our own profile
	SELinux          bool   // enforcing
	Ptrace           string // kernel.yama.ptrace_scope
}

// Trial is what making a user namespace and working in it came to: an errno a step, 0 for success, in
// the order they are done. What stands behind the first failure was not tried.
type Trial struct {
	Clone  syscall.Errno // make the user namespace
	Map    syscall.Errno // map the caller's ids into it
	Others syscall.Errno // make mount, pid, ipc, uts, cgroup and network namespaces in it
	Mount  syscall.Errno // mount a file system in memory
	Proc   syscall.Errno // mount /proc of the new pid namespace
	Broken string        // the trial itself did not work: why
}

// Cause is a reason and what changes it.
type Cause struct {
	Why string
	Fix []string
}

// denied are the answers of a kernel that was told not to.
func denied(e syscall.Errno) bool { return e == syscall.EPERM || e == syscall.EACCES }

// String is what the kernel answered, "" when all of it works.
func (t Trial) String() string {
	step, e := t.failed()
	if step == "" {
		return ""
	}
	return fmt.Sprintf("cannot %s: %v", step, e)
}

// failed is the first step that did not work.
func (t Trial) failed() (step string, e syscall.Errno) {
	for _, s := range []struct {
		step string
		e    syscall.Errno
	}{
		{"make a user namespace", t.Clone}, {"map your ids into a user namespace", t.Map},
		{"make namespaces in a user namespace", t.Others}, {"mount in a user namespace", t.Mount},
		{"mount /proc in a user namespace", t.Proc},
	} {
		if s.e != 0 {
			return s.step, s.e
		}
	}
	return "", 0
}

// Blame names what keeps a plain user from a sandbox on a machine with these facts.
func Blame(t Trial, f Facts) (c Cause, found bool) {
	step, e := t.failed()
	if step == "" {
		return c, false
	}
	switch {
	case f.WSL == 1:
		c = Cause{"this is WSL 1, which is not a Linux kernel and has no namespaces", []string{
			"in PowerShell: wsl --set-version DISTRIBUTION 2"}}
	case e == syscall.ENOSPC:
		c = tooMany(f)
	case t.Clone != 0 && (e == syscall.EINVAL || e == syscall.ENOSYS && !f.Seccomp):
		c = Cause{"this kernel was built without user namespaces (CONFIG_USER_NS)", []string{"use a kernel that has them"}}
	case t.Clone != 0 && f.Chroot && e == syscall.EPERM:
		c = Cause{"this is a chroot, in which the kernel makes no user namespaces: user_namespaces(7)", []string{
			"enter the tree by pivot_root instead: systemd-nspawn, bwrap or a container, or run aigate outside of it"}}
	case t.Clone != 0 && !f.Root && f.UsernsClone == "0" && e == syscall.EPERM:
		c = Cause{"kernel.unprivileged_userns_clone is 0: only root may make user namespaces", setting("kernel.unprivileged_userns_clone", "1")}
	case f.restrictedByAppArmor() && denied(e) && t.Proc == 0:
		c = appArmor(f)
	case f.Container.Kind != "":
		c = f.Container.blame(t)
	case t.Proc != 0 && denied(e):
		c = Cause{"parts of /proc are covered by mounts here, and the kernel shows no more of it to a sandbox", []string{
			"run aigate where /proc is whole"}}
	case f.InAigate:
		c = Cause{"this is a sandbox of aigate's already", []string{"run the command as it is: it is in the sandbox"}}
	case f.Seccomp && (denied(e) || e == syscall.ENOSYS):
		c = Cause{"a seccomp filter refuses it, which the program that started this one (an IDE, another sandbox, a service manager) has put in place", []string{
			"start aigate from a plain terminal"}}
	case f.SELinux && denied(e):
		c = Cause{"SELinux is enforcing and may refuse it for your domain (`id -Z`)", []string{
			"sudo ausearch -m avc -ts recent   (shows what was refused, and for whom)"}}
	default:
		return c, false
	}
	return c, true
}

// restrictedByAppArmor says that programs without a profile get no rights in user namespaces. Those
// of a container have the container's profile, unless it was started without.
func (f Facts) restrictedByAppArmor() bool {
	return f.AppArmorRestrict == "1" && !f.Root && (f.Container.Kind == "" || f.AppArmorLabel == "unconfined")
}

func appArmor(f Facts) Cause {
	const name = "kernel.apparmor_restrict_unprivileged_userns"
	fix := setting(name, "0")
	if f.Container.Kind == "" {
		fix = append([]string{"sudo aigate setup   (gives aigate's own program a profile that allows them)"}, fix...)
	} else {
		for i := range fix {
			fix[i] = "on the host: " + fix[i]
		}
	}
	return Cause{"AppArmor restricts user namespaces of plain users (" + name + " is 1, as on Ubuntu since 23.10)", fix}
}

// tooMany is ENOSPC: a limit of this user namespace, or of one around it.
func tooMany(f Facts) Cause {
	if f.MaxUserNS == "0" {
		return Cause{"user.max_user_namespaces is 0: nobody may make user namespaces", setting("user.max_user_namespaces", "15000")}
	}
	return Cause{"the limit on namespaces is reached: one of user.max_*_namespaces, here or in a namespace around this one, or 32 of them in each other", []string{
		"sysctl user   (shows the limits; those of a container are its host's to raise)"}}
}

// setting gives the commands that change a sysctl, until the next start and for good.
func setting(name, value string) []string {
	return []string{
		"sudo sysctl -w " + name + "=" + value,
		"echo '" + name + " = " + value + "' | sudo tee /etc/sysctl.d/60-aigate.conf   (to keep it)",
	}
}
