package gate

import (
	"context"
	"sync"
	"time"
)

// pace lets a burst through, and then so many in a second.
type pace struct {
	mu   sync.Mutex
	free time.Time // when the next one would be due, had there been no burst
}

const (
	paceBurst = 500
	paceEach  = time.Second / 20
)

// wait waits for its turn, and says false when that comes too late.
func (p *pace) wait(ctx context.Context) bool {
	now := time.Now()
	p.mu.Lock()
	if earliest := now.Add(-paceBurst * paceEach); p.free.Before(earliest) {
		p.free = earliest
	}
	turn := p.free
	if deadline, ok := ctx.Deadline(); ok && turn.After(deadline) {
		p.mu.Unlock()
		return false
	}
	p.free = p.free.Add(paceEach)
	p.mu.Unlock()
	if !turn.After(now) {
		return true
	}
	select {
	case <-time.After(turn.Sub(now)):
		return true
	case <-ctx.Done():
		return false
	}
}
