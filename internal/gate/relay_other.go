//go:build !linux

package gate

import "syscall"

type pipe struct{}

// pipes are for splice(2), which only Linux has.
var pipes pipePool

type pipePool struct{}

func (p *pipePool) empty() {}

func (w *way) splice(int) (int, error) { return 0, errNoPipe }

func readNow(fd uintptr, b []byte) (int, error)  { return syscall.Read(int(fd), b) }
func writeNow(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }
