package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Gate lets connections out of a sandbox: those that the rules allow, to
// where they say.
type Gate struct {
	Rules    *Rules
	Names    *Names
	Resolver *Resolver
	Dialer   *Dialer
	Event    func(Event)

	localhost []uint16
	places    chan struct{} // as many as there may be connections
	pipes     *pipePool
	ctx       context.Context // until Close
	cancel    context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   map[*net.TCPConn]struct{} // both ends of connections
	over   sync.WaitGroup
}

// New makes a gate for rules. env is the caller's environment, for its proxy
// settings; event is told of what was refused, by many goroutines at a time.
func New(rules *Rules, env []string, event func(Event)) *Gate {
	names := NewNames()
	g := &Gate{
		Rules: rules, Names: names, Dialer: NewDialer(rules, env), Event: event,
		Resolver:  &Resolver{Rules: rules, Names: names, Event: event},
		localhost: rules.Localhost(),
		places:    make(chan struct{}, maxConnections()),
		pipes:     newPipePool(),
		open:      map[*net.TCPConn]struct{}{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// maxConnections leaves descriptors for the rest of aigate: a connection has
// two, and for a moment some more while it is dialled. The upper bound is on
// memory, about 10 KiB each.
func maxConnections() int {
	const reserve, most = 128, 32 << 10
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(max(int64(min(limit.Cur, 1<<20))-reserve, 40)*2/5, most))
}

// Accept handles what comes to l until l is closed. A connection's own address
// is where the program inside wanted to go. When there are as many connections
// as there may be, the next ones wait in the kernel.
func (g *Gate) Accept(l *net.TCPListener) error {
	for {
		c, err := l.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS),
			errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPERM):
			// Of passing kinds (accept(2)); the connection stays in the queue.
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-g.ctx.Done():
				return nil
			}
		case err != nil:
			return err
		}
		select {
		case g.places <- struct{}{}:
		case <-g.ctx.Done():
			reset(c)
			return nil
		}
		go func() {
			defer func() { <-g.places }()
			g.Handle(c, c.LocalAddr().(*net.TCPAddr).AddrPort())
		}()
	}
}

// Handle takes one connection from inside: judges where it goes, dials, looks
// at what the program says first, and carries bytes until it is over.
func (g *Gate) Handle(client *net.TCPConn, to netip.AddrPort) {
	if !g.enter(client) {
		reset(client)
		return
	}
	defer g.leave(client)
	if to.Port() == 53 {
		g.Resolver.ServeStream(client)
		client.Close()
		return
	}
	dest, refused := g.dest(to)
	if refused == nil {
		refused = g.connect(client, dest)
	}
	if refused != nil {
		reset(client)
		g.Event(*refused)
	}
}

// dest finds out what the address means that a program connected to.
func (g *Gate) dest(to netip.AddrPort) (Dest, *Event) {
	addr, port := to.Addr().Unmap(), to.Port()
	to = netip.AddrPortFrom(addr, port)
	dest := Dest{Addr: addr, Port: port}
	switch {
	case addr.IsLoopback():
		dest.Localhost = true
		if !slices.Contains(g.localhost, port) {
			return dest, &Event{Kind: "connect", Addr: to, Reason: "no rule names this port of this machine"}
		}
	case Synthetic4.Contains(addr) || Synthetic6.Contains(addr):
		name, ok := g.Names.Name(addr)
		if !ok {
			return dest, &Event{Kind: "connect", Addr: to, Reason: "stands for no name"}
		}
		dest.Name = name
		if ok, _ := g.Rules.AllowsName(name, port); !ok {
			return dest, &Event{Kind: "connect", Name: name, Addr: netip.AddrPortFrom(netip.Addr{}, port), Reason: "no rule names this port"}
		}
	case !g.Rules.AllowsAddr(addr, port):
		return dest, &Event{Kind: "connect", Addr: to, Reason: "no rule names this address"}
	}
	return dest, nil
}

func (g *Gate) connect(client *net.TCPConn, dest Dest) *Event {
	server, err := g.Dialer.Dial(g.ctx, dest)
	if err != nil {
		return dialEvent(dest, err)
	}
	if !g.enter(server) {
		reset(server)
		return nil
	}
	defer g.leave(server)
	r := &relay{client: client, server: server}
	if dest.Name != "" {
		r.inspect = newInspector(g.Rules, dest)
	}
	return flightEvent(dest, r.run(g.pipes))
}

func dialEvent(dest Dest, err error) *Event {
	e := &Event{Kind: "connect", Name: dest.Name, Addr: netip.AddrPortFrom(dest.Addr, dest.Port), Reason: err.Error()}
	var dial *DialError
	if errors.As(err, &dial) {
		e.Kind = dial.Kind
	}
	if dest.Name != "" {
		e.Addr = netip.AddrPortFrom(netip.Addr{}, dest.Port)
		if dial != nil && dial.Addr.IsValid() {
			e.Addr = dial.Addr
		}
	}
	return e
}

func flightEvent(dest Dest, r *refusal) *Event {
	if r == nil {
		return nil
	}
	name := r.name
	if name == "" {
		name = dest.Name
	}
	return &Event{Kind: r.kind, Name: name, Addr: netip.AddrPortFrom(netip.Addr{}, dest.Port), Reason: r.reason}
}

// enter notes an end of a connection for Close; it says false after it.
func (g *Gate) enter(c *net.TCPConn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.open[c] = struct{}{}
	g.over.Add(1)
	return true
}

func (g *Gate) leave(c *net.TCPConn) {
	g.mu.Lock()
	delete(g.open, c)
	g.mu.Unlock()
	g.over.Done()
}

// Close resets all connections and returns when nothing is left of them. What
// comes later is refused.
func (g *Gate) Close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.open {
		reset(c)
	}
	g.mu.Unlock()
	g.cancel()
	g.over.Wait()
	g.pipes.close()
	g.Dialer.lookup.Close()
}
