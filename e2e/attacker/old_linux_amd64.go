package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func int80raw(nr, a, b, c uintptr) uintptr

// int80 makes a 32-bit system call; its pointers have to be low ones.
func int80(nr, a, b, c uintptr) int { return int(int32(int80raw(nr, a, b, c))) }

// oldCalls are those that only the older architectures have, and those of the x32 numbering.
func oldCalls(mode uintptr) map[string]func(string) error {
	const x32 = 0x40000000
	one := func(nr uintptr) func(string) error {
		return func(p string) error {
			ptr, _ := unix.BytePtrFromString(p)
			return call(nr, uintptr(unsafe.Pointer(ptr)), mode)
		}
	}
	return map[string]func(string) error{
		"old-chmod": one(unix.SYS_CHMOD),
		"x32-chmod": one(unix.SYS_CHMOD | x32),
		"creat": func(p string) error {
			unix.Unlink(p)
			return one(unix.SYS_CREAT)(p)
		},
		"old-open": func(p string) error {
			unix.Unlink(p)
			ptr, _ := unix.BytePtrFromString(p)
			return call(unix.SYS_OPEN, uintptr(unsafe.Pointer(ptr)), unix.O_CREAT|unix.O_WRONLY, mode)
		},
		"old-mknod": func(p string) error {
			unix.Unlink(p)
			ptr, _ := unix.BytePtrFromString(p)
			return call(unix.SYS_MKNOD, uintptr(unsafe.Pointer(ptr)), unix.S_IFREG|mode, 0)
		},
	}
}

func init() { add("exec-32 FILE", exec32) }

// exec32 executes FILE by the number of another architecture.
func exec32(args []string) error {
	low, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT)
	if err != nil {
		return err
	}
	copy(low[64:], args[0]+"\x00")
	at := uint32(uintptr(unsafe.Pointer(&low[0])))
	*(*uint32)(unsafe.Pointer(&low[0])) = at + 64
	copy(low[2048:], "--version\x00")
	*(*uint32)(unsafe.Pointer(&low[4])) = at + 2048
	return unix.Errno(-int80(11, uintptr(at)+64, uintptr(at), uintptr(at)+16))
}
