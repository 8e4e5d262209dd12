package gate

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// fileTTL is for names that no answer of a name server told the time of: the
// host has them in a file.
const fileTTL = time.Minute

// AddrsTTL is Addrs, and for how long the answer holds, which Go's resolver
// keeps to itself: it is read from the packets that pass. Not with what is held
// for Addrs: the time would be wrong.
func (l *Lookup) AddrsTTL(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	seen := &shortestTTL{}
	host := &net.Resolver{PreferGo: true, Dial: seen.dial}
	addrs, err := l.lookup(ctx, host, name)
	return addrs, seen.ttl(), err
}

// shortestTTL is the shortest time that an address record of the answers has.
type shortestTTL struct {
	mu    sync.Mutex
	found bool
	least uint32
}

func (s *shortestTTL) ttl() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.found {
		return fileTTL
	}
	return time.Duration(s.least) * time.Second
}

// dial is the resolver's. Answers too long for a datagram are not looked at.
func (s *shortestTTL) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if udp, ok := c.(*net.UDPConn); ok {
		return listener{udp, s}, nil
	}
	return c, err
}

// listener is a connection to a name server that listens in.
type listener struct {
	*net.UDPConn
	to *shortestTTL
}

func (c listener) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.to.read(b[:max(n, 0)])
	return n, err
}

func (s *shortestTTL) read(packet []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(packet); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		h, err := p.AnswerHeader()
		if err != nil || p.SkipAnswer() != nil {
			return
		}
		if h.Type != dnsmessage.TypeA && h.Type != dnsmessage.TypeAAAA && h.Type != dnsmessage.TypeCNAME {
			continue
		}
		if !s.found || h.TTL < s.least {
			s.found, s.least = true, h.TTL
		}
	}
}
