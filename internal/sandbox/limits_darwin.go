package sandbox

import (
	"sync"
	"time"

	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/nofile"
	"github.com/AxeForging/aigate/internal/seatbelt"
	"golang.org/x/sys/unix"
)

// clock ends a command whose time is up. Memory, processors and processes are
// not limited here: macOS counts them for no group of processes that a plain
// user can make.
type clock struct {
	mu    sync.Mutex
	timer *time.Timer
	up    bool
	over  bool // the command has ended
}

// set begins to count for the command that pid is.
func (c *clock) set(t time.Duration, pid int) {
	if t == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(t, func() { c.ring(pid) })
}

func (c *clock) ring(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
	case c.up:
		unix.Kill(pid, unix.SIGKILL)
	default:
		c.up = true
		unix.Kill(pid, unix.SIGTERM)
		unix.Kill(pid, unix.SIGCONT)
		c.timer = time.AfterFunc(termGrace, func() { c.ring(pid) })
	}
}

// stop says whether the time was up.
func (c *clock) stop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
	return c.up
}

// limited puts into an order what a process can be limited to.
func limited(o seatbelt.Order, l limit.Limits) seatbelt.Order {
	o.OpenFiles = nofile.Original
	if most := uint64(l.MaxOpenFiles); most != 0 {
		o.OpenFiles.Cur, o.OpenFiles.Max = min(o.OpenFiles.Cur, most), min(o.OpenFiles.Max, most)
	}
	o.FileSize = uint64(l.MaxFileSize)
	return o
}
