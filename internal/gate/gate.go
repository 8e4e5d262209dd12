package gate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// A Gate lets connections out of a sandbox: those that the rules allow, to
// where they say.
type Gate struct {
	Rules    *Rules
	Names    *Names
	Resolver *Resolver
	Dialer   *Dialer
	Event    func(Event) // not nil
	Slirp    string      // the program, where the front wants it

	localhost []uint16
	lookup    *Lookup
	ctx       context.Context // until Close
	cancel    context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   map[Conn]struct{} // both ends of connections
	over   sync.WaitGroup
}

// New makes a gate for rules. env is the caller's environment, for its proxy
// settings; event, if there is one, is told of what was refused or failed, by
// many goroutines at a time.
func New(rules *Rules, env []string, event func(Event)) *Gate {
	if event == nil {
		event = func(Event) {}
	}
	names := NewNames()
	lookup := NewLookup(rules, names)
	g := &Gate{
		Rules: rules, Names: names, Event: event, Dialer: NewDialer(rules, lookup, env),
		localhost: rules.Localhost(),
		lookup:    lookup,
		open:      map[Conn]struct{}{},
	}
	g.Resolver = &Resolver{Rules: rules, Names: names, Lookup: lookup, Event: event, Proxied: g.Dialer.Proxied}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Handle takes one connection from inside: judges where it goes, dials, looks
// at what the program says, and carries bytes until it is over. It closes the
// connection.
func (g *Gate) Handle(client Conn, to netip.AddrPort) {
	if !g.enter(client) {
		return
	}
	defer g.leave(client)
	if to.Port() == 53 {
		g.Resolver.ServeStream(client)
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

// carry carries bytes between two connections, which nobody judges, and closes both.
func carry(a, b Conn) { (&relay{client: a, server: b}).run() }

// dest finds out what the address means that a program connected to.
func (g *Gate) dest(to netip.AddrPort) (Dest, *Event) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	addr, port := to.Addr(), to.Port()
	dest := Dest{Addr: addr, Port: port}
	refuse := func(name, reason string) (Dest, *Event) {
		return Dest{}, &Event{Kind: "connect", Name: name, Addr: to, Reason: reason}
	}
	switch {
	case addr.IsLoopback():
		if !slices.Contains(g.localhost, port) {
			return refuse("", "no rule names this port of this machine")
		}
		dest.Localhost = true
	case Synthetic4.Contains(addr) || Synthetic6.Contains(addr):
		name, ok := g.Names.Name(addr)
		if !ok {
			return refuse("", "an address that stands for no name")
		}
		dest.Name = name
		to = netip.AddrPortFrom(netip.Addr{}, port)
		if ok, _ := g.Rules.AllowsName(name, port); !ok {
			return refuse(name, "no rule names this port")
		}
	case !g.Rules.AllowsAddr(addr, port):
		return refuse("", "no rule names this address")
	}
	return dest, nil
}

func (g *Gate) connect(client Conn, dest Dest) *Event {
	server, err := g.Dialer.Dial(g.ctx, dest)
	if err != nil && g.ctx.Err() != nil {
		return nil // the run is over: not the destination's fault
	}
	if err != nil {
		return dialEvent(dest, err)
	}
	if !g.enter(server) {
		return nil
	}
	defer g.leave(server)
	r := &relay{client: client, server: server}
	if dest.Name != "" {
		r.inspect = newInspector(g.Rules, dest)
	}
	return flightEvent(dest, r.run())
}

func dialEvent(dest Dest, err error) *Event {
	e := &Event{Kind: "connect", Name: dest.Name, Addr: netip.AddrPortFrom(dest.Addr, dest.Port), Reason: err.Error(), Failed: true}
	if dest.Name != "" {
		e.Addr = netip.AddrPortFrom(netip.Addr{}, dest.Port)
	}
	var dial *DialError
	if errors.As(err, &dial) {
		e.Kind, e.Failed = dial.Kind, !dial.Refused
		if dest.Name != "" && dial.Addr.IsValid() {
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

// enter notes an end of a connection for Close; after that, it resets it and
// says false.
func (g *Gate) enter(c Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		reset(c)
		return false
	}
	g.open[c] = struct{}{}
	g.over.Add(1)
	return true
}

func (g *Gate) leave(c Conn) {
	g.mu.Lock()
	delete(g.open, c)
	g.mu.Unlock()
	g.over.Done()
}

// Close resets all connections, and returns when nothing is left of them. What
// comes later is reset at once.
func (g *Gate) Close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.open {
		reset(c)
	}
	g.mu.Unlock()
	g.cancel()
	g.lookup.Close()
	g.Resolver.Close()
	g.over.Wait()
	pipes.empty()
}
