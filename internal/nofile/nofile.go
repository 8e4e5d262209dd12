// Package nofile remembers the limit on open files that aigate was started
// with, so that the payload gets that one.
//
// The os package raises the soft limit for the Go program's own use before main
// runs. This package imports nothing that depends on os and its path sorts
// before "os", so by the language's rule for the order of initialization ("the
// first package in the sorted list that has no uninitialized imports") it looks
// earlier. A test compares `ulimit -n` inside and outside.
package nofile

import "syscall"

// Original is RLIMIT_NOFILE as it was at exec; see getrlimit(2).
var Original = func() (r syscall.Rlimit) {
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		panic(err) // only a bad pointer or number can fail
	}
	return r
}()
