package gate

import (
	"net"
	"net/netip"
)

// Until they are there: whoever brings one of these takes it out here.

type Resolver struct {
	Rules *Rules
	IPv6  bool
	Event func(Event)
}

func (r *Resolver) ServePacket(c *net.UDPConn) error { return nil }
func (r *Resolver) ServeStream(c net.Conn)           { c.Close() }

type Gate struct {
	Rules    *Rules
	Resolver *Resolver
	Event    func(Event)
}

func New(rules *Rules, env []string, event func(Event)) *Gate {
	return &Gate{Rules: rules, Resolver: &Resolver{Rules: rules, Event: event}, Event: event}
}

func (g *Gate) Handle(client *net.TCPConn, to netip.AddrPort) { client.SetLinger(0); client.Close() }
func (g *Gate) Close()                                        {}
