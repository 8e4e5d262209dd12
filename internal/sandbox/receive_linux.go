package sandbox

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// receiver is who receives calls: one goroutine at a time, which judges what is
// quickly judged itself, for handing it on would cost more than the judging.
type receiver struct {
	now     atomic.Pointer[turn]
	pending sync.WaitGroup // receivers and what runs aside
	alarm   chan struct{}
	alert   atomic.Bool   // somebody watches the receiver
	stuck   atomic.Int32  // receivers that were relieved and are still at work
	slots   chan struct{} // what runs aside
}

// turn is one goroutine's time as the receiver. Its count goes up when it begins
// with a call and when it is done.
type turn struct{ count atomic.Uint64 }

const (
	// tooLong is how long a receiver may be at work on one call before another
	// one takes over. Judging takes some 20 µs. Looking more often is dear: Go's
	// own watch of its threads is at its busiest after each look.
	tooLong = 100 * time.Millisecond
	// calm is how many times nothing must have happened for the watch to end.
	calm = 10
	// mostStuck is how many receivers may be stuck at a time: each holds a thread.
	// Who makes so many calls hang has only himself to wait for.
	mostStuck = 64
	// mostAside is how many slow calls are done at a time.
	mostAside = 16
)

// receive begins to.
func (s *calls) receive() {
	s.alarm = make(chan struct{}, 1)
	s.take(new(turn))
	go s.relieve()
}

// take makes t the receiver.
func (s *calls) take(t *turn) {
	s.now.Store(t)
	s.pending.Add(1)
	go func() {
		defer s.pending.Done()
		yielded := time.Now()
		for s.now.Load() == t && s.asked() {
			// Before the scheduler sees to it, which makes its watch (sysmon) look
			// every 20 µs for a while.
			if now := time.Now(); now.Sub(yielded) > swarm/2 {
				runtime.Gosched()
				yielded = now
			}
			if !s.alert.Load() && s.alert.CompareAndSwap(false, true) {
				s.alarm <- struct{}{}
			}
			t.count.Add(1)
			s.next()
			t.count.Add(1)
		}
		if s.now.Load() == t {
			close(s.alarm)
		} else {
			s.stuck.Add(-1)
		}
	}()
}

// relieve watches the receiver while there are calls, and has another one take
// over when it hangs.
func (s *calls) relieve() {
	for range s.alarm {
		seen, quiet := uint64(0), 0
		for quiet < calm || !s.dismiss(seen) {
			time.Sleep(tooLong)
			count := s.now.Load().count.Load()
			switch {
			case count != seen:
				seen, quiet = count, 0
			case count%2 == 0:
				quiet++
			case s.stuck.Load() < mostStuck:
				s.stuck.Add(1)
				seen, quiet = 0, 0
				s.take(new(turn))
			}
		}
	}
}

// dismiss ends the watch, unless a call came in at the last moment.
func (s *calls) dismiss(seen uint64) bool {
	s.alert.Store(false)
	return s.now.Load().count.Load() == seen || !s.alert.CompareAndSwap(false, true)
}

// aside does something slow beside the rest, on a thread of its own, see
// withoutCapabilities.
func (s *calls) aside(do func()) {
	s.pending.Add(1)
	go func() {
		defer s.pending.Done()
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		do()
	}()
}

// over waits until nobody is at work any more, but not for long: a write may
// wait for a reader outside that takes its time.
func (s *calls) over() bool {
	done := make(chan struct{})
	go func() {
		s.pending.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(time.Second):
		return false
	}
}
