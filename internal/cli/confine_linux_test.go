package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// confine starts a program under what keeps sandboxes from being made elsewhere: the part of a
// container's seccomp filter that refuses namespaces, a sysctl, a covered /proc, a chroot. So doctor
// and run meet the real refusals of a real kernel.
//
//	confine WAY command [arguments]
func confine() {
	runtime.LockOSThread()
	way, ok := confinements[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "confine: no way", os.Args[1])
		os.Exit(2)
	}
	path, err := exec.LookPath(os.Args[2])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		err = way(path, os.Args[2:])
	}
	if err == nil {
		err = syscall.Exec(path, os.Args[2:], os.Environ())
	}
	var status *exec.ExitError
	if errors.As(err, &status) {
		os.Exit(status.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "confine:", err)
	os.Exit(3)
}

func init() {
	programs["confine"], programs["confine-inside"] = confine, confine
}

// A confinement is put on before the program is executed, or executes it itself.
var confinements = map[string]func(path string, args []string) error{
	"namespaces": func(string, []string) error { // as Docker's filter does
		const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
		return refuse(call{unix.SYS_UNSHARE, 0, 0, unix.EPERM}, call{unix.SYS_CLONE3, 0, 0, unix.ENOSYS}, call{unix.SYS_CLONE, 0, namespaces, unix.EPERM})
	},
	"mount": func(string, []string) error { // as its AppArmor profile does
		return refuse(call{unix.SYS_MOUNT, 0, 0, unix.EACCES})
	},
	"old-kernel": func(string, []string) error { return refuse(call{unix.SYS_MOUNT_SETATTR, 0, 0, unix.ENOSYS}) },
	"no-seccomp": func(string, []string) error { return refuse(call{unix.SYS_SECCOMP, 0, 0, unix.EINVAL}) },
	"no-landlock": func(string, []string) error {
		return refuse(call{unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.EOPNOTSUPP})
	},
	"no-ptrace": func(string, []string) error { return refuse(call{unix.SYS_PIDFD_GETFD, 0, 0, unix.EPERM}) },
	"listener": func(string, []string) error {
		return load([]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}}, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	},
	"unconfined": func(string, []string) error { return nil },
	"max_user_namespaces": inside(func(string, []string) error {
		return os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	}),
	"covered-proc": inside(func(path string, args []string) error {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return err
		}
		if err := unix.Mount("cover", "/proc/fs", "tmpfs", unix.MS_RDONLY, ""); err != nil {
			return err
		}
		// The mounts of another namespace are locked together in one's own: so a plain user's in it.
		return execute(path, args, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: one(1000, 0), GidMappings: one(1000, 0)})
	}),
	"chroot": inside(changeRoot),
}

// call is one that fails; with bits, only when its argument has one of them.
type call struct {
	nr    uint32
	arg   uint32
	bits  uint32
	errno syscall.Errno
}

func refuse(calls ...call) error {
	const load32, jump, jumpSet, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	var code []unix.SockFilter
	for _, c := range calls {
		denial := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(c.errno)}
		code = append(code, unix.SockFilter{Code: load32, K: 0})
		if c.bits == 0 {
			code = append(code, unix.SockFilter{Code: jump, K: c.nr, Jf: 1}, denial)
			continue
		}
		code = append(code, unix.SockFilter{Code: jump, K: c.nr, Jf: 3}, unix.SockFilter{Code: load32, K: 16 + 8*c.arg},
			unix.SockFilter{Code: jumpSet, K: c.bits, Jf: 1}, denial)
	}
	return load(append(code, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}), 0)
}

func load(code []unix.SockFilter, flags uintptr) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return e
	}
	if flags != 0 { // it is close-on-exec, and the program is to have it
		_, err := unix.FcntlInt(fd, unix.F_SETFD, 0)
		return err
	}
	return nil
}

// inside goes on as root of new user, mount and pid namespaces.
func inside(do func(path string, args []string) error) func(string, []string) error {
	return func(path string, args []string) error {
		if os.Args[0] != "confine-inside" {
			return execute("/proc/self/exe", append([]string{"confine-inside"}, os.Args[1:]...), &syscall.SysProcAttr{
				Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
				UidMappings: one(0, os.Getuid()), GidMappings: one(0, os.Getgid())})
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		return do(path, args)
	}
}

func one(inside, outside int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: inside, HostID: outside, Size: 1}}
}

// execute runs a program and ends as it does.
func execute(path string, args []string, attr *syscall.SysProcAttr) error {
	attr.Pdeathsig = syscall.SIGKILL
	c := &exec.Cmd{Path: path, Args: args, SysProcAttr: attr, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if err := c.Run(); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// changeRoot makes a folder that looks like / and goes there by chroot(2).
func changeRoot(string, []string) error {
	dir, err := os.MkdirTemp("", "root")
	if err != nil {
		return err
	}
	here, err := unix.Getwd()
	if err != nil {
		return err
	}
	// In memory, so that nothing stays.
	if err := unix.Mount("root", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join("/", e.Name()), filepath.Join(root, e.Name())
		if link, err := os.Readlink(from); err == nil {
			if err := os.Symlink(link, to); err != nil {
				return err
			}
		}
		if !e.IsDir() {
			continue
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	if err := unix.Chroot(root); err != nil {
		return err
	}
	return unix.Chdir(here)
}
