package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("key-add NAME VALUE", keyAdd)
	add("key-read NAME", keyRead)
	add("key-drop NAME", keyDrop)
	add("key-int80", keyInt80)
	add("shm-put KEY FILE", shmPut)
	add("shm-get KEY", shmGet)
	add("shm-drop KEY", shmDrop)
	add("mq-put NAME FILE", mqPut)
	add("mq-get NAME", mqGet)
	add("mq-drop NAME", mqDrop)
	add("syscalls NAME...", syscalls)
}

func findKey(name string) (int, error) {
	return unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", name, 0)
}

func keyAdd(args []string) error {
	id, err := unix.AddKey("user", args[0], []byte(args[1]), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		return err
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, 120, 0, 0) // should the script fail before it is dropped
	return err
}

func keyRead(args []string) error {
	id, err := findKey(args[0])
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0)
	if err != nil {
		return err
	}
	fmt.Println(string(buf[:n]))
	return nil
}

func keyDrop(args []string) error {
	id, err := findKey(args[0])
	if err != nil {
		return err
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	return err
}

// keyInt80 asks for the user's keyring by the 32-bit number of keyctl.
func keyInt80([]string) error {
	r := int80(288, 0, ^uintptr(3), 1) // KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, create
	if r < 0 {
		return unix.Errno(-r)
	}
	fmt.Println("keyring", r)
	return nil
}

func shmKey(s string) int {
	n := 0
	for _, c := range s {
		n = n*31 + int(c)
	}
	return n&0x7ffffff | 1
}

func shmPut(args []string) error {
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	id, err := unix.SysvShmGet(shmKey(args[0]), 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o666)
	if err != nil {
		return err
	}
	mem, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return err
	}
	copy(mem, text)
	return unix.SysvShmDetach(mem)
}

func shmGet(args []string) error {
	id, err := unix.SysvShmGet(shmKey(args[0]), 4096, 0)
	if err != nil {
		return err
	}
	mem, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return err
	}
	fmt.Println(string(mem[:64]))
	return nil
}

func shmDrop(args []string) error {
	id, err := unix.SysvShmGet(shmKey(args[0]), 4096, 0)
	if err != nil {
		return err
	}
	_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return err
}

func mqOpen(name string, flags int) (uintptr, error) {
	p, err := unix.BytePtrFromString(strings.TrimPrefix(name, "/")) // the C library strips it, too
	if err != nil {
		return 0, err
	}
	attr := [8]int64{0, 4, 256}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)), uintptr(flags), 0o666, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return fd, nil
}

func mqPut(args []string) error {
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	fd, err := mqOpen(args[0], unix.O_CREAT|unix.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	return call(unix.SYS_MQ_TIMEDSEND, fd, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), 0, 0)
}

func mqGet(args []string) error {
	fd, err := mqOpen(args[0], unix.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	buf := make([]byte, 256)
	n, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	fmt.Println(string(buf[:n]))
	return nil
}

func mqDrop(args []string) error {
	p, _ := unix.BytePtrFromString(strings.TrimPrefix(args[0], "/"))
	return call(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)))
}

// syscalls makes calls that no agent needs, with arguments that do no harm, and prints those the kernel is
// willing to look at. Anything but EPERM, EACCES and ENOSYS counts as willing.
func syscalls(args []string) error {
	bad := ^uintptr(0)
	known := map[string][]uintptr{
		"add_key": {unix.SYS_ADD_KEY, 1, 1, 1, 0}, "request_key": {unix.SYS_REQUEST_KEY, 1, 1, 1, 0},
		"keyctl": {unix.SYS_KEYCTL, 0, ^uintptr(3), 0}, "bpf": {unix.SYS_BPF, 0, 1, 8},
		"perf_event_open": {unix.SYS_PERF_EVENT_OPEN, 1, 0, bad, bad, 0}, "userfaultfd": {unix.SYS_USERFAULTFD, 1 << 30},
		"kexec_load": {unix.SYS_KEXEC_LOAD, 0, 0, 0, 1 << 20}, "init_module": {unix.SYS_INIT_MODULE, 1, 1, 1},
		"open_by_handle_at": {unix.SYS_OPEN_BY_HANDLE_AT, bad, 1, 0}, "swapon": {unix.SYS_SWAPON, 1, 0},
		"acct": {unix.SYS_ACCT, 1}, "quotactl": {unix.SYS_QUOTACTL, 1, 1, 1, 1},
		"syslog": {unix.SYS_SYSLOG, 3, 1, 1},
	}
	willing := false
	for _, name := range args {
		c := known[name]
		if c == nil {
			return fmt.Errorf("unknown call %s", strconv.Quote(name))
		}
		switch err := call(c[0], c[1:]...); err {
		case unix.EPERM, unix.EACCES, unix.ENOSYS:
			fmt.Printf("refused: %s: %v\n", name, err)
		default:
			fmt.Printf("willing: %s: %v\n", name, err)
			willing = true
		}
	}
	if !willing {
		return fmt.Errorf("all refused")
	}
	return nil
}
