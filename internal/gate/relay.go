package gate

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// flightPatience is for the rest of what a client has begun to say and that is
// held. Before its first byte a client has all the time it wants.
var flightPatience = 30 * time.Second // shorter in tests

// heldInAll is how many bytes are held for judgement, of all connections. Beyond
// mostHeld none can hold more: what runs inside has no claim to our memory.
var heldInAll atomic.Int64

const mostHeld = 16 << 20

// A relay is the two ends of a connection and what goes between them.
//
// An end of stream is passed on as one, in each direction by itself. A reset,
// or whatever else breaks one end, resets the other.
type relay struct {
	client, server Conn
	up, down       way
	early          []byte // of the client's, which came before the relay

	inspect *inspector   // nil where nothing is judged
	watch   *statusWatch // of an upgrade, or of a second ClientHello
	spoke   atomic.Bool  // the server has said something, or will say no more
	status  atomic.Pointer[statusWatch]
	half    atomic.Bool // one direction has come to its end
	broken  atomic.Bool // the ends are to be reset
}

// run carries bytes until both directions have ended, and closes both ends.
func (r *relay) run() *refusal {
	if err := errors.Join(r.up.init(r.client, r.server), r.down.init(r.server, r.client)); err != nil {
		r.reset()
		return nil
	}
	done := make(chan struct{})
	go func() {
		r.over(&r.down, r.carryDown())
		close(done)
	}()
	refused, err := r.carryUp()
	if refused != nil {
		r.reset()
	} else {
		r.over(&r.up, err)
	}
	<-done
	if r.broken.Load() {
		r.reset()
	}
	r.client.Close()
	r.server.Close()
	return refused
}

// over ends one direction.
func (r *relay) over(w *way, err error) {
	switch {
	case err == io.EOF:
		if r.half.Swap(true) {
			return // run closes now, which says it as well
		}
		w.dst.CloseWrite()
	case w.deaf:
		// What the receiver said before it went may still be on its way: the other direction goes on to its end.
		r.broken.Store(true)
	default:
		r.reset()
	}
}

func (r *relay) reset() {
	reset(r.client)
	reset(r.server)
}

func (r *relay) carryDown() error {
	defer r.settle(nil)
	for r.down.moved < spliceAfter {
		b, err := r.down.read(chunkSize)
		if err != nil {
			return err
		}
		r.settle(b)
		if err := r.down.write(b); err != nil {
			return err
		}
	}
	_, err := r.down.carry(-1)
	return err
}

func (r *relay) carryUp() (*refusal, error) {
	if r.inspect != nil {
		if refused, err := r.carryJudged(); refused != nil || err != nil {
			return refused, err
		}
		r.inspect = nil
	} else if len(r.early) > 0 {
		if err := r.up.send(r.early); err != nil {
			return nil, err
		}
	}
	_, err := r.up.carry(-1)
	return nil, err
}

// carryJudged carries what is judged, until nothing is any more.
func (r *relay) carryJudged() (*refusal, error) {
	in, hurry := r.inspect, false
	held := 0
	defer func() { heldInAll.Add(int64(-held)) }()
	if len(r.early) > 0 {
		if refused, err := r.pass(r.early); refused != nil || err != nil {
			return refused, err
		}
		held = cap(in.held)
		heldInAll.Add(int64(held))
		if hurry = len(in.held) > 0 && in.stage != opened; hurry {
			r.hurry(true)
		}
	}
	for in.stage != opened {
		if in.stage == inBody && in.left > spliceAfter && len(in.held) == 0 {
			n, err := r.up.carry(in.left)
			if in.skipped(n); err != nil {
				return nil, err
			}
			continue
		}
		b, err := r.up.read(chunkSize)
		switch {
		case err == io.EOF:
			b, refused := in.end()
			if refused == nil && len(b) > 0 {
				if failed := r.up.send(b); failed != nil {
					return nil, failed
				}
			}
			return refused, err
		case errors.Is(err, os.ErrDeadlineExceeded):
			return in.stalled(), nil
		case err != nil:
			return nil, err
		}
		if refused, err := r.pass(b); refused != nil || err != nil {
			return refused, err
		}
		now := cap(in.held)
		if all := heldInAll.Add(int64(now - held)); all > mostHeld && now > held && in.stage != opened {
			held = now
			return &refusal{kind: "connect", reason: "too many connections have begun to say something and not gone on"}, nil
		}
		held = now
		if begun := len(in.held) > 0 && in.stage != opened; begun != hurry {
			hurry = begun
			r.hurry(begun)
		}
	}
	return nil, nil
}

func (r *relay) hurry(on bool) {
	var until time.Time
	if on {
		until = time.Now().Add(flightPatience)
	}
	r.client.SetReadDeadline(until)
}

// pass passes on what may be of b, which was read.
func (r *relay) pass(b []byte) (*refusal, error) {
	in := r.inspect
	defer r.up.release()
	for {
		in.heard(r.watch, r.spoke.Load())
		judged, refused := in.feed(b)
		if refused != nil {
			return refused, nil
		}
		r.expectStatus()
		if len(judged) > 0 {
			if err := r.up.send(judged); err != nil {
				return nil, err
			}
		}
		if in.stage != upgrading {
			return nil, nil
		}
		<-r.watch.decided
		in.answered(r.watch.agreed)
		b = nil // and on with what is held
	}
}

// expectStatus prepares for the server's answer to an upgrade or a ClientHello.
// It is called before the last of the request is sent. A server that has spoken before it was
// asked has not answered.
func (r *relay) expectStatus() {
	if r.watch != nil || !r.inspect.asks {
		return
	}
	r.watch = r.inspect.newWatch()
	r.status.Store(r.watch)
	if r.spoke.Load() {
		r.watch.unheard()
	}
}

// settle shows what the server said, nil when it will say no more, to whoever
// waits for its answer. Of it and expectStatus, each first sets a mark of its
// own and then looks at the other's; so one of them sees the other.
func (r *relay) settle(said []byte) {
	if !r.spoke.Load() {
		r.spoke.Store(true)
	}
	w := r.status.Load()
	switch {
	case w == nil:
	case said == nil:
		w.unheard()
	case w.feed(said):
		r.status.Store(nil)
	}
}
