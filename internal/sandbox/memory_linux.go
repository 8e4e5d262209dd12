package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is a stretch of pages that a forked process shares with us. It is
// reserved, not used: a page costs something when it is first written.
type memory struct {
	all  []byte
	used int
}

const (
	memorySize = 256 << 20
	maxSteps   = 600_000 // of setup: five for each of 100,000 masks, and room
	frameSteps = 20 * maxRegs
	fewSteps   = 2_000 // of the others
)

func newMemory() (*memory, error) {
	b, err := unix.Mmap(-1, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	// The collector does not look in there: nothing in it may point to what Go
	// allocates, and so it holds its own description, too.
	m := (*memory)(unsafe.Pointer(&b[0]))
	m.all, m.used = b, 64
	return m, nil
}

// take gives n bytes, zero and aligned for any type.
func (m *memory) take(n int) []byte {
	at := m.used
	m.used = (at + n + 15) &^ 15
	if m.used > len(m.all) {
		panic("sandbox: shared memory is used up")
	}
	return m.all[at : at+n : at+n]
}

// steps reserves room for a program.
func (m *memory) steps(n int) []step {
	b := m.take(n * int(unsafe.Sizeof(step{})))
	return unsafe.Slice((*step)(unsafe.Pointer(&b[0])), n)[:0]
}

// free gives the pages back; nothing in them may be used afterwards.
func (m *memory) free() {
	unix.Munmap(m.all)
}
