package sandbox

import "golang.org/x/sys/unix"

// tables: a 64-bit kernel also runs i386 programs, under other numbers.
// socketcall(2) hides its arguments in memory, so i386 programs have to use
// socket(2) itself, as every libc since 2015 does.
var tables = []table{
	{unix.AUDIT_ARCH_X86_64, numbers{
		never: []uint32{
			unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
			unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_OPEN_BY_HANDLE_AT,
			unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
			unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_SYSLOG, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
			unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE,
		},
		absent: []uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_OPENAT2, sysClone3},
		ioctl:  unix.SYS_IOCTL, socket: unix.SYS_SOCKET, socketpair: unix.SYS_SOCKETPAIR,
		open: unix.SYS_OPEN, creat: unix.SYS_CREAT, openat: unix.SYS_OPENAT, mknod: unix.SYS_MKNOD, mknodat: unix.SYS_MKNODAT,
		chmod: unix.SYS_CHMOD, fchmod: unix.SYS_FCHMOD, fchmodat: unix.SYS_FCHMODAT, fchmodat2: unix.SYS_FCHMODAT2,
		bind: unix.SYS_BIND, execve: unix.SYS_EXECVE, execveat: unix.SYS_EXECVEAT, setAffinity: unix.SYS_SCHED_SETAFFINITY,
		unshare: unix.SYS_UNSHARE, clone: unix.SYS_CLONE,
	}},
	{unix.AUDIT_ARCH_I386, numbers{
		never: []uint32{
			286, 287, 288, // add_key request_key keyctl
			357, 336, 374, 342, // bpf perf_event_open userfaultfd open_by_handle_at
			283, 128, 350, 129, // kexec_load init_module finit_module delete_module
			88, 87, 115, 51, 103, 131, 443, // reboot swapon swapoff acct syslog quotactl quotactl_fd
			110, 101, 111, 253, // iopl ioperm vhangup lookup_dcookie
		},
		absent: []uint32{425, 426, 427, 437, sysClone3, 102}, // io_uring_*, openat2, socketcall
		ioctl:  54, socket: 359, socketpair: 360,
		open: 5, creat: 8, openat: 295, mknod: 14, mknodat: 297,
		chmod: 15, fchmod: 94, fchmodat: 306, fchmodat2: 452,
		bind: 361, execve: 11, execveat: 358, setAffinity: 241,
		unshare: 310, clone: 120,
	}},
}
