package main

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("setuid FOLDER", setuid)
	add("setuid-int80 FOLDER", setuidInt80)
	add("int80-getpid", func([]string) error {
		if pid := int80(20, 0, 0, 0); pid != os.Getpid() {
			return fmt.Errorf("got %d", pid)
		}
		return nil
	})
}

func wantSetuid(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_ISUID == 0 {
		return fmt.Errorf("%s: mode %o", path, st.Mode)
	}
	fmt.Printf("setuid: %s\n", path)
	return nil
}

// setuid tries every call that can give a file the set-user-id bit, and works when one of them does.
func setuid(args []string) error {
	const want = 0o4755
	ways := map[string]func(path string) error{
		"chmod": func(p string) error {
			ptr, _ := unix.BytePtrFromString(p)
			return call(unix.SYS_FCHMODAT, ^uintptr(99), uintptr(unsafe.Pointer(ptr)), want)
		},
		"fchmod": func(p string) error {
			fd, err := unix.Open(p, unix.O_WRONLY, 0)
			if err != nil {
				return err
			}
			return unix.Fchmod(fd, want)
		},
		"fchmodat2": func(p string) error {
			ptr, _ := unix.BytePtrFromString(p)
			return call(unix.SYS_FCHMODAT2, ^uintptr(99), uintptr(unsafe.Pointer(ptr)), want, 0)
		},
		"fchmodat2-empty": func(p string) error {
			fd, err := unix.Open(p, unix.O_PATH, 0)
			if err != nil {
				return err
			}
			ptr, _ := unix.BytePtrFromString("")
			return call(unix.SYS_FCHMODAT2, uintptr(fd), uintptr(unsafe.Pointer(ptr)), want, unix.AT_EMPTY_PATH)
		},
		"proc-fd": func(p string) error {
			fd, err := unix.Open(p, unix.O_PATH, 0)
			if err != nil {
				return err
			}
			return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), want)
		},
		"openat-mode": func(p string) error {
			unix.Unlink(p)
			_, err := unix.Open(p, unix.O_CREAT|unix.O_WRONLY, want)
			return err
		},
		"openat2-mode": func(p string) error {
			unix.Unlink(p)
			_, err := unix.Openat2(unix.AT_FDCWD, p, &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: want})
			return err
		},
		"mknod-mode": func(p string) error {
			unix.Unlink(p)
			return unix.Mknod(p, unix.S_IFREG|want, 0)
		},
		"tmpfile-link": func(p string) error {
			unix.Unlink(p)
			fd, err := unix.Open(filepath.Dir(p), unix.O_TMPFILE|unix.O_RDWR, want)
			if err != nil {
				return err
			}
			return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, p, unix.AT_SYMLINK_FOLLOW)
		},
	}
	for name, way := range oldCalls(want) {
		ways[name] = way
	}
	worked := false
	for name, way := range ways {
		p := filepath.Join(args[0], "suid-"+name)
		if err := os.WriteFile(p, nil, 0o755); err != nil {
			return err
		}
		if err := way(p); err != nil {
			fmt.Printf("%s: %v\n", name, err)
		}
		worked = wantSetuid(p) == nil || worked
	}
	if !worked {
		return fmt.Errorf("no way")
	}
	return nil
}

func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// setuidInt80 does it with a 32-bit system call, whose numbers a careless filter does not know.
func setuidInt80(args []string) error {
	p := filepath.Join(args[0], "suid-int80")
	if err := os.WriteFile(p, nil, 0o755); err != nil {
		return err
	}
	mem, err := low(p)
	if err != nil {
		return err
	}
	if r := int80(15, mem, 0o4755, 0); r < 0 {
		return unix.Errno(-r)
	}
	return wantSetuid(p)
}

// low copies text, zero-terminated, to where a 32-bit pointer reaches.
func low(text string) (uintptr, error) {
	const map32 = 0x40
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|map32)
	if err != nil {
		return 0, err
	}
	copy(mem, text+"\x00")
	return uintptr(unsafe.Pointer(&mem[0])), nil
}
