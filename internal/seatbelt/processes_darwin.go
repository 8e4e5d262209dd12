package seatbelt

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// processes are the user's.
func processes() (pids []int) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.uid", unix.Getuid())
	if err != nil {
		return nil
	}
	for i := range all {
		pids = append(pids, int(all[i].Proc.P_pid))
	}
	return pids
}

// zombie: SZOMB of <sys/proc.h>.
func zombie(pid int) bool {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	return err != nil || info.Proc.P_stat == 5
}

// marked looks at arguments and environment as they were at exec, one behind the
// other with a NUL after each (KERN_PROCARGS2 in sysctl(3)).
func marked(pid int, mark string) bool {
	b, err := unix.SysctlRaw("kern.procargs2", pid)
	return err == nil && bytes.Contains(b, []byte("\x00"+mark+"\x00"))
}
