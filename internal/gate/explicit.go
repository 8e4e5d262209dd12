package gate

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Explicit is the front end where connections cannot be caught on their way, as
// on macOS: a proxy on this machine's loopback, which the sandbox lets out to
// and to nothing else. Programs are told of it by variables; one that knows
// nothing of proxies has no network.
//
// One port speaks HTTP (CONNECT, and absolute-form requests) and SOCKS 5. A name
// comes to it unresolved, is held to the rules, and looked up outside, once
// they have said yes. What a program says after that is judged as behind the
// transparent front end.
//
// Loopback is everybody's on this machine, so each run has a credential of its
// own, without which the proxy says nothing but that it wants one.
type Explicit struct {
	listener *net.TCPListener
	user     string
	password string
	asking   chan struct{} // has room for mostAsking
}

const (
	// mostAsking is how many clients may be about to say what they want.
	mostAsking = 256
	// lastWords is how long a client that is refused may go on talking.
	lastWords = 2 * time.Second
)

// ListenExplicit listens on a port of 127.0.0.1 that is free.
func ListenExplicit() (*Explicit, error) {
	// Not by net.Listen: that makes a multipath socket on Linux, which cannot be spliced.
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("listen on loopback for the sandbox: %w", err)
	}
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		l.Close()
		return nil, fmt.Errorf("make a password for the proxy: %w", err)
	}
	return &Explicit{listener: l, user: "aigate", password: hex.EncodeToString(secret[:]), asking: make(chan struct{}, mostAsking)}, nil
}

// Port is where the proxy listens.
func (x *Explicit) Port() uint16 { return uint16(x.listener.Addr().(*net.TCPAddr).Port) }

// Env are the variables that lead programs to the proxy.
//
// ALL_PROXY is the HTTP proxy as well: Python's httpx, and with it the model
// vendors' libraries, do not start where a SOCKS proxy is named and the package
// for it is missing. Whoever wants SOCKS finds it in AIGATE_SOCKS.
func (x *Explicit) Env() []string {
	at := x.user + ":" + x.password + "@127.0.0.1:" + strconv.Itoa(int(x.Port()))
	var env []string
	for _, name := range [...]string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		env = append(env, name+"=http://"+at)
	}
	const own = "localhost,127.0.0.1,::1" // the sandbox's own servers, and what localhost rules name
	return append(env, "NO_PROXY="+own, "no_proxy="+own, "AIGATE_SOCKS=socks5h://"+at,
		"NODE_USE_ENV_PROXY=1", // node's own http and fetch, since 22.21 and 24.5
		"ELECTRON_GET_USE_PROXY=1", "GLOBAL_AGENT_HTTP_PROXY=http://"+at, "GLOBAL_AGENT_NO_PROXY="+own)
}

// Serve takes connections until Close.
func (x *Explicit) Serve(g *Gate) error {
	for {
		c, err := x.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // a client that has gone again, or no descriptor left
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case x.asking <- struct{}{}:
		default:
			reset(c)
			continue
		}
		go x.handle(g, c)
	}
}

// Close stops listening. What is open belongs to the gate, and ends with it.
func (x *Explicit) Close() { x.listener.Close() }

// handle takes one connection to its end.
func (x *Explicit) handle(g *Gate, c *net.TCPConn) {
	asked := sync.OnceFunc(func() { <-x.asking })
	defer asked()
	if !g.enter(c) {
		return
	}
	defer g.leave(c)
	defer c.Close()
	c.SetDeadline(time.Now().Add(flightPatience))
	var first [1]byte
	if _, err := c.Read(first[:]); err != nil {
		return
	}
	var want errand
	var err error
	if first[0] == socksVersion {
		want, err = x.socks(c)
	} else {
		want, err = x.http(c, first[0])
	}
	if err != nil {
		x.refuse(g, c, want, err)
		return
	}
	asked()
	x.serve(g, c, want)
}

// serve connects a client to what it wants.
func (x *Explicit) serve(g *Gate, c *net.TCPConn, want errand) {
	dest, refused := g.named(want.host, want.port)
	if refused != nil {
		g.Event(*refused)
		want.say.no(c, answer{notAllowedByRules, refused.Reason})
		return
	}
	server, err := g.Dialer.Dial(g.ctx, dest)
	if err != nil {
		if g.ctx.Err() == nil {
			e := dialEvent(dest, err)
			g.Event(*e)
			want.say.no(c, answer{kindOfFailure(err), e.Reason})
		}
		return
	}
	if !g.enter(server) {
		return
	}
	defer g.leave(server)
	r := &relay{client: c, server: server, early: want.early}
	if dest.Name != "" {
		r.inspect = newInspector(g.Rules, dest)
		r.inspect.once = want.once
	}
	if err := want.say.yes(c); err != nil {
		reset(server)
		return
	}
	c.SetDeadline(time.Time{})
	if e := flightEvent(dest, r.run()); e != nil {
		g.Event(*e)
	}
}

// named says where a client may go that asks for a host by name or address.
func (g *Gate) named(host string, port uint16) (Dest, *Event) {
	if a, err := netip.ParseAddr(host); err == nil {
		return g.dest(netip.AddrPortFrom(a, port))
	}
	name, ok := wireName(host)
	to := netip.AddrPortFrom(netip.Addr{}, port)
	switch {
	case !ok:
		return Dest{}, &Event{Kind: "connect", Reason: fmt.Sprintf("asked the proxy for %.80q, which is no host's name", host)}
	case name == "localhost":
		if !slices.Contains(g.localhost, port) {
			return Dest{}, &Event{Kind: "connect", Name: name, Addr: to, Reason: "no rule names this port of this machine"}
		}
		return Dest{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: port, Localhost: true}, nil
	case !g.Rules.Name(name):
		return Dest{}, &Event{Kind: "connect", Name: name, Addr: to, Reason: notAllowed}
	}
	if ok, _ := g.Rules.AllowsName(name, port); !ok {
		return Dest{}, &Event{Kind: "connect", Name: name, Addr: to, Reason: "no rule names this port"}
	}
	return Dest{Name: name, Port: port}, nil
}

// An errand is what a client asked the proxy for.
type errand struct {
	host  string
	port  uint16
	early []byte // for the server: a request's head, or what came behind the ask
	once  bool   // one HTTP request, and then the end
	say   speaker
}

// A speaker answers in the client's protocol.
type speaker interface {
	yes(c *net.TCPConn) error
	no(c *net.TCPConn, why answer)
}

// An answer is why not.
type answer struct {
	kind   answerKind
	reason string // for a user, in few words
}

type answerKind int

const (
	malformed answerKind = iota
	needsCredential
	wrongCredential
	unsupported
	notAllowedByRules
	unreachable
	refusedThere
	tooLate
)

// An askError is an ask that comes to nothing before anything was judged.
type askError struct{ answer }

func (e *askError) Error() string { return e.reason }

func badAsk(kind answerKind, reason string) error { return &askError{answer{kind, reason}} }

// refuse tells a client that its ask was none, and the log if somebody tried a
// credential: a first try without one is how many clients begin.
func (x *Explicit) refuse(g *Gate, c *net.TCPConn, want errand, err error) {
	var ask *askError
	if !errors.As(err, &ask) {
		return // gone, or silent
	}
	if ask.kind != needsCredential {
		g.Event(Event{Kind: "connect", Reason: "asked the proxy in a way that it refuses: " + ask.reason})
	}
	if want.say == nil {
		part(c) // it was answered, or is no client of ours
		return
	}
	want.say.no(c, ask.answer)
}

func kindOfFailure(err error) answerKind {
	var dial *DialError
	switch {
	case errors.As(err, &dial) && dial.Refused:
		return notAllowedByRules
	case timeout(err):
		return tooLate
	case dial != nil && dial.Reason == "connection refused":
		return refusedThere
	}
	return unreachable
}

// knows says whether a user and password are this run's.
func (x *Explicit) knows(user, password string) bool {
	return subtle.ConstantTimeCompare([]byte(user), []byte(x.user))&subtle.ConstantTimeCompare([]byte(password), []byte(x.password)) == 1
}

// knowsBasic is knows for the value of Proxy-Authorization (RFC 7617).
func (x *Explicit) knowsBasic(value string) bool {
	const scheme = "basic "
	if len(value) < len(scheme) || !isName([]byte(value[:len(scheme)]), scheme) {
		return false
	}
	want := base64.StdEncoding.EncodeToString([]byte(x.user + ":" + x.password))
	return subtle.ConstantTimeCompare([]byte(value[len(scheme):]), []byte(want)) == 1
}

// part says goodbye so that the last words arrive: closed with something unread,
// a connection is reset, and the answer lost with it.
func part(c *net.TCPConn) {
	c.CloseWrite()
	c.SetReadDeadline(time.Now().Add(lastWords))
	var b [4 << 10]byte
	for range 256 {
		if _, err := c.Read(b[:]); err != nil {
			return
		}
	}
}
