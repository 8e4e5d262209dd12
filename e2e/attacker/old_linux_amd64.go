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
