package doctor

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Look gathers the facts of this machine.
func Look() Facts {
	var u unix.Utsname
	f := Facts{Root: os.Geteuid() == 0}
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	f.WSL = wsl(f.Kernel)
	f.Container = container(readLine, present, os.Getenv)
	f.MaxUserNS = readLine("/proc/sys/user/max_user_namespaces")
	f.UsernsClone = readLine("/proc/sys/kernel/unprivileged_userns_clone")
	f.AppArmorRestrict = readLine("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	f.Ptrace = readLine("/proc/sys/kernel/yama/ptrace_scope")
	f.AppArmorLabel = apparmorLabel()
	f.SELinux = readLine("/sys/fs/selinux/enforce") == "1"
	f.Chroot = chrooted()
	f.InAigate = os.Getenv("AIGATE") == "1" && present("/run/aigate")
	status, err := os.ReadFile("/proc/self/status")
	f.Seccomp = err == nil && bytes.Contains(status, []byte("\nSeccomp:\t2"))
	return f
}

// wsl tells Windows' two kinds of Linux from each other: the first is called …-Microsoft, the second
// …-microsoft-standard-WSL2 where it was not built by oneself.
func wsl(release string) int {
	switch low := strings.ToLower(release); {
	case !strings.Contains(low, "microsoft"):
		return 0
	case strings.HasSuffix(release, "-Microsoft"):
		return 1
	}
	return 2
}

// container asks for what the engines leave in their containers. Nothing rests on it but words.
func container(line func(string) string, present func(string) bool, env func(string) string) Container {
	says := env("container") // systemd's interface: podman, lxc, systemd-nspawn, oci
	if says == "" {
		says = line("/run/systemd/container")
	}
	switch {
	case env("KUBERNETES_SERVICE_HOST") != "" || present("/var/run/secrets/kubernetes.io"):
		return Container{"kubernetes"}
	case says == "podman" || present("/run/.containerenv"):
		return Container{"podman"}
	case says == "docker" || present("/.dockerenv"):
		return Container{"docker"}
	case says != "" && says != "wsl": // what WSL 2 says of itself
		return Container{says}
	}
	return Container{}
}

// apparmorLabel is the profile in force on us, "" without AppArmor. /proc/self/attr/current is
// shared with SELinux and Smack; the file of AppArmor's own is there since Linux 5.1.
func apparmorLabel() string {
	return strings.TrimRight(readLine("/proc/self/attr/apparmor/current"), "\x00")
}

// chrooted says that / is not the root of a mount: after chroot(2) to a plain folder it is none, and the
// table of mounts has no line for it. A chroot to a mount point looks like the real thing.
func chrooted() bool {
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, 0, &x); err != nil || x.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false
	}
	return x.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0
}

// readLine is the first line of a file, "" when there is none to read.
func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

func present(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
