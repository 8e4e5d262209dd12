package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

const (
	dialPatience  = 30 * time.Second // for all of it: lookup, addresses, proxy
	attemptDelay  = 250 * time.Millisecond
	maxAttempts   = 16 // addresses of one name that are tried
	quietBefore   = time.Minute
	quietInterval = 15 * time.Second
	quietProbes   = 8
)

// A Dest is where a program inside wants to go: to a name, to an address that
// a rule names, or to a port of this machine.
type Dest struct {
	Name      string     // in NormalName's form; "" for the others
	Addr      netip.Addr // as the program connected to it
	Port      uint16
	Localhost bool
}

// host is what the destination is called in messages and to a proxy.
func (d Dest) host() string {
	switch {
	case d.Name != "":
		return d.Name
	case d.Localhost:
		return "localhost"
	}
	return d.Addr.String()
}

// A DialError says why a destination could not be reached, in the words of an
// Event.
type DialError struct {
	Kind    string         // as in Event
	Addr    netip.AddrPort // the address it was about, the zero AddrPort if no single one
	Reason  string
	Refused bool // by the gate itself, for where it would have led
	Err     error
}

func (e *DialError) Error() string { return e.Reason }
func (e *DialError) Unwrap() error { return e.Err }

// A Dialer connects outside, to what the rules have already allowed. A name is
// looked up anew on the host, and which of its addresses are good enough for
// it is decided here; through a proxy, the proxy decides.
type Dialer struct {
	rules   *Rules
	proxies proxies
	own     ownAddrs

	addrs  func(ctx context.Context, name string) ([]netip.Addr, error)
	forget func(name string)
	reach  func(netip.Addr) (reach, string)
}

// NewDialer takes the caller's environment for its proxy settings.
func NewDialer(rules *Rules, lookup *Lookup, env []string) *Dialer {
	return &Dialer{rules: rules, proxies: proxySettings(env), addrs: lookup.Addrs, forget: lookup.Forget, reach: reachOf}
}

// Dial returns a connection to dest. Its errors are *DialError.
func (d *Dialer) Dial(ctx context.Context, dest Dest) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if dest.Localhost {
		return race(ctx, localAddrs(dest))
	}
	proxy, err := d.proxies.forDest(dest)
	if err != nil {
		return nil, &DialError{Kind: "connect", Reason: err.Error()}
	}
	if proxy != nil {
		c, err := d.dialProxy(ctx, proxy, dest)
		if !errors.Is(err, errProxyRefused) || dest.Port == 80 || dest.Port == 443 {
			return c, err
		}
		// Proxies for the web refuse other ports, and ssh and its like never asked them: outside, they go directly.
	}
	if dest.Name == "" {
		return race(ctx, []netip.AddrPort{netip.AddrPortFrom(dest.Addr, dest.Port)})
	}
	return d.dialName(ctx, dest)
}

// localAddrs are both loopback addresses, the one that the program chose
// first: services listen on one of them or on both.
func localAddrs(dest Dest) []netip.AddrPort {
	v4 := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dest.Port)
	v6 := netip.AddrPortFrom(netip.IPv6Loopback(), dest.Port)
	if dest.Addr.Is6() && !dest.Addr.Is4In6() {
		return []netip.AddrPort{v6, v4}
	}
	return []netip.AddrPort{v4, v6}
}

func (d *Dialer) dialName(ctx context.Context, dest Dest) (Conn, error) {
	found, err := d.addrs(ctx, dest.Name)
	if err != nil {
		return nil, lookupError(err)
	}
	addrs, err := d.fit(dest, found)
	if err != nil {
		return nil, err
	}
	c, err := race(ctx, interleave(addrs))
	if err != nil {
		d.forget(dest.Name) // the next attempt asks anew
	}
	return c, err
}

// fit leaves the addresses that dest's name may lead to. The error, if none is
// left, is about the first.
func (d *Dialer) fit(dest Dest, found []netip.Addr) ([]netip.AddrPort, error) {
	_, exact := d.rules.AllowsName(dest.Name, dest.Port)
	var fit []netip.AddrPort
	var first error
	for _, a := range found {
		to := netip.AddrPortFrom(a.Unmap(), dest.Port)
		why, err := d.unfit(to, exact)
		if err != nil {
			return nil, &DialError{Kind: "connect", Addr: to, Reason: "cannot read this machine's addresses: " + err.Error(), Err: err}
		}
		switch {
		case why == "":
			fit = append(fit, to)
		case first == nil:
			first = &DialError{Kind: "connect", Addr: to, Refused: true,
				Reason: fmt.Sprintf("refused address %s for name %s: %s", to.Addr(), dest.Name, why)}
		}
	}
	if len(fit) > 0 {
		return fit, nil
	}
	if first == nil {
		first = &DialError{Kind: "dns", Reason: "no such host"}
	}
	return nil, first
}

// unfit says why a name may not lead to an address, "" if it may.
func (d *Dialer) unfit(to netip.AddrPort, exact bool) (string, error) {
	if d.rules.AllowsAddr(to.Addr(), to.Port()) {
		return "", nil
	}
	switch r, what := d.reach(to.Addr()); {
	case r == never:
		return what, nil
	case exact:
		return "", nil
	case r == private:
		return what + ", which a rule with a wildcard does not lead to", nil
	}
	own, err := d.own.has(to.Addr())
	if own {
		return "an address of this machine, which a rule with a wildcard does not lead to", nil
	}
	return "", err
}

// interleave orders addresses as RFC 8305, section 4: the families take turns,
// beginning with the one that the resolver put first.
func interleave(in []netip.AddrPort) []netip.AddrPort {
	var same, other []netip.AddrPort
	for _, a := range in {
		if a.Addr().Is4() == in[0].Addr().Is4() {
			same = append(same, a)
		} else {
			other = append(other, a)
		}
	}
	out := in[:0:0]
	for len(out) < maxAttempts && len(same)+len(other) > 0 {
		if len(same) > 0 {
			out, same = append(out, same[0]), same[1:]
		}
		if len(other) > 0 {
			out, other = append(out, other[0]), other[1:]
		}
	}
	return out
}

// race connects to the first address that answers. The next one is tried after
// a quarter of a second, or as soon as one has failed (RFC 8305, section 5).
func race(ctx context.Context, addrs []netip.AddrPort) (Conn, error) {
	if len(addrs) == 1 {
		return connect(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		c   Conn
		err error
	}
	results := make(chan result, len(addrs)) // so that losers never wait
	next := time.NewTimer(0)
	defer next.Stop()
	var first error
	for begun, over := 0, 0; over < len(addrs); {
		var start <-chan time.Time
		if begun < len(addrs) {
			start = next.C
		}
		select {
		case <-start:
			to := addrs[begun]
			begun++
			next.Reset(attemptDelay)
			go func() {
				c, err := connect(ctx, to)
				results <- result{c, err}
			}()
		case r := <-results:
			if r.err == nil {
				go func(left int) { // one more may have come through
					for range left {
						if r := <-results; r.c != nil {
							r.c.Close()
						}
					}
				}(begun - over - 1)
				return r.c, nil
			}
			over++
			if first == nil {
				first = r.err
			}
			next.Reset(0)
		}
	}
	return nil, first
}

func connect(ctx context.Context, to netip.AddrPort) (Conn, error) {
	c, err := dialTCP(ctx, to)
	if err != nil {
		return nil, &DialError{Kind: "connect", Addr: to, Reason: connectReason(err), Err: err}
	}
	return c, nil
}

// dialNet is dialTCP by package net.
func dialNet(ctx context.Context, to netip.AddrPort) (Conn, error) {
	// Somebody inside may keep a silent connection for hours; the other end of it may be long gone.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: quietBefore, Interval: quietInterval, Count: quietProbes}}
	c, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func connectReason(err error) string {
	for _, e := range [...]struct {
		errno  error
		reason string
	}{
		{syscall.ECONNREFUSED, "connection refused"},
		{syscall.ECONNRESET, "connection reset"},
		{syscall.ENETUNREACH, "network unreachable"},
		{syscall.EHOSTUNREACH, "host unreachable"},
		{syscall.EADDRNOTAVAIL, "no address of its family on this machine, or no port left"},
		{syscall.EMFILE, "aigate has too many files open"},
		{syscall.ENFILE, "the machine has too many files open"},
		{context.Canceled, "the run is over"},
	} {
		if errors.Is(err, e.errno) {
			return e.reason
		}
	}
	if timeout(err) {
		return "connection timed out"
	}
	return err.Error()
}

func timeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func lookupError(err error) error {
	var dns *net.DNSError
	reason := "cannot be looked up: " + err.Error()
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		reason = "no such host"
	case errors.Is(err, context.Canceled):
		reason = "the run is over"
	case timeout(err):
		reason = "the host's resolver did not answer in time"
	case dns != nil:
		reason = "the host's resolver failed: " + dns.Err
	}
	return &DialError{Kind: "dns", Reason: reason, Err: err}
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
