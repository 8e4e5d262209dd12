package sandbox

import "golang.org/x/sys/unix"

// tables: 32-bit ARM programs are not run in the sandbox.
var tables = []table{
	{unix.AUDIT_ARCH_AARCH64, numbers{
		never: []uint32{
			unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
			unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_OPEN_BY_HANDLE_AT,
			unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
			unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_SYSLOG, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
			unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE,
		},
		absent: []uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_OPENAT2, sysClone3},
		ioctl:  unix.SYS_IOCTL, socket: unix.SYS_SOCKET, socketpair: unix.SYS_SOCKETPAIR,
		openat: unix.SYS_OPENAT, mknodat: unix.SYS_MKNODAT,
		fchmod: unix.SYS_FCHMOD, fchmodat: unix.SYS_FCHMODAT, fchmodat2: unix.SYS_FCHMODAT2,
		bind: unix.SYS_BIND, execve: unix.SYS_EXECVE, execveat: unix.SYS_EXECVEAT, setAffinity: unix.SYS_SCHED_SETAFFINITY,
		unshare: unix.SYS_UNSHARE, clone: unix.SYS_CLONE,
	}},
}
