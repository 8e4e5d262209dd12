package gate

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Port is a server inside that programs of the caller's machine can reach, on
// 127.0.0.1 and ::1.
type Port struct {
	Outside uint16 `json:"outside"`
	Inside  uint16 `json:"inside"`
}

func (p Port) String() string {
	return fmt.Sprintf("localhost:%d leads to port %d inside", p.Outside, p.Inside)
}

// ParsePort reads what --publish takes: PORT, or OUTSIDE:INSIDE, perhaps with a
// loopback address before it.
func ParsePort(text string) (p Port, err error) {
	rest := text
	if host, after, found := cutHost(text); found {
		if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !a.IsLoopback()) {
			return p, fmt.Errorf("--publish %s: servers inside are published on 127.0.0.1 and ::1 alone, where only this machine reaches them; leave %q out", text, host)
		}
		rest = after
	}
	outside, inside, two := strings.Cut(rest, ":")
	if !two {
		inside = outside
	}
	if p.Outside, err = portNumber(outside); err == nil {
		p.Inside, err = portNumber(inside)
	}
	if err != nil {
		return p, fmt.Errorf("--publish %s: %w; write 3000, or 8080:3000 for port 3000 inside on port 8080 here", text, err)
	}
	return p, nil
}

// cutHost takes an address off HOST:OUTSIDE:INSIDE.
func cutHost(text string) (host, rest string, found bool) {
	if after, ok := strings.CutPrefix(text, "["); ok {
		host, rest, found = strings.Cut(after, "]:")
		return host, rest, found
	}
	if strings.Count(text, ":") > 1 || strings.Contains(text, ".") || strings.HasPrefix(text, "localhost:") {
		return strings.Cut(text, ":")
	}
	return "", text, false
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port", s)
	}
	return uint16(n), nil
}

// A Publisher listens outside for servers inside.
type Publisher struct {
	listeners []publishing
}

type publishing struct {
	*net.TCPListener
	inside uint16
}

// Publish begins to listen, before anything is started: a port that is taken is
// an error. What connects waits for Serve.
func Publish(ports []Port) (*Publisher, error) {
	p := &Publisher{}
	for _, port := range ports {
		for _, a := range []string{"127.0.0.1", "::1"} {
			l, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(int(port.Outside))))
			if err != nil && a == "::1" && !strings.Contains(err.Error(), "in use") {
				continue // a machine without IPv6
			}
			if err != nil {
				p.Close()
				return nil, fmt.Errorf("--publish %d: %w; choose another port of this machine with --publish PORT:%d", port.Outside, err, port.Inside)
			}
			p.listeners = append(p.listeners, publishing{l.(*net.TCPListener), port.Inside})
		}
	}
	return p, nil
}

// Close stops listening.
func (p *Publisher) Close() {
	if p == nil {
		return
	}
	for _, l := range p.listeners {
		l.Close()
	}
}
