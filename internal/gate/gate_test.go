package gate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listen is a listener on loopback, plain TCP: Go makes multipath ones.
func listen(t testing.TB, at string) *net.TCPListener {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func portOf(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

// serve gives each connection that comes to a server of its own to what.
func serve(t testing.TB, what func(c *net.TCPConn)) *net.TCPListener {
	l := listen(t, "127.0.0.1:0")
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go what(c)
		}
	}()
	return l
}

func echo(c *net.TCPConn) {
	io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // not by splice, whose pipes Go keeps
	c.Close()
}

// A testGate is a gate whose names lead to loopback, with a listener in place of
// the sandbox.
type testGate struct {
	*Gate
	t      testing.TB
	inside *net.TCPListener
	to     chan netip.AddrPort // where the next connection goes

	mu     sync.Mutex
	events []Event
}

func newTestGate(t testing.TB, rules ...string) *testGate {
	t.Helper()
	g := &testGate{t: t, to: make(chan netip.AddrPort, 1<<16)}
	before := census()
	g.Gate = New(mustRules(t, rules...), nil, func(e Event) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.events = append(g.events, e)
	})
	g.Dialer.addrs = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	g.Dialer.reach = func(netip.Addr) (reach, string) { return public, "" }
	g.inside = listen(t, "127.0.0.1:0")
	go func() {
		for {
			c, err := g.inside.AcceptTCP()
			if err != nil {
				return
			}
			go g.Handle(c, <-g.to)
		}
	}()
	t.Cleanup(func() {
		g.inside.Close()
		g.Close()
		before.compare(t)
	})
	return g
}

// connect goes where a program inside would: to a name, or to an address.
func (g *testGate) connect(host string, port uint16) *net.TCPConn {
	g.t.Helper()
	addr, err := netip.ParseAddr(host)
	if err != nil {
		var ok bool
		if addr, _, ok = g.Names.Addrs(host); !ok {
			g.t.Fatal("no address for " + host)
		}
	}
	c, err := net.Dial("tcp", g.inside.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.to <- netip.AddrPortFrom(addr, port)
	g.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

// event waits for the next one.
func (g *testGate) event() Event {
	g.t.Helper()
	for range 6000 {
		g.mu.Lock()
		if len(g.events) > 0 {
			e := g.events[0]
			g.events = g.events[1:]
			g.mu.Unlock()
			return e
		}
		g.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatal("no event")
	return Event{}
}

func expectReset(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %q, %v; want a reset", b, err)
	}
}

// census counts what could leak.
type counts struct{ goroutines, files int }

func census() counts {
	files, _ := os.ReadDir("/proc/self/fd")
	return counts{runtime.NumGoroutine(), len(files)}
}

func (before counts) compare(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return
	}
	var now counts
	for range 500 {
		if now = census(); now.goroutines <= before.goroutines && now.files <= before.files {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("left behind: before %+v, now %+v\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
}

func TestHandleEcho(t *testing.T) {
	server := serve(t, echo)
	server6 := listen(t, "[::1]:0")
	go func() {
		for c, err := server6.AcceptTCP(); err == nil; c, err = server6.AcceptTCP() {
			go echo(c)
		}
	}()
	port, port6 := portOf(server), portOf(server6)
	g := newTestGate(t, "api.example", fmt.Sprintf("localhost:%d", port), fmt.Sprintf("localhost:%d", port6), "192.0.2.0/24")
	data := make([]byte, 5<<20)
	rand.Read(data)
	data[0] = 0 // neither TLS nor HTTP
	for _, to := range []struct {
		host string
		port uint16
	}{{"api.example", port}, {"127.0.0.1", port}, {"::1", port}, {"::1", port6}, {"127.0.0.1", port6}} {
		c := g.connect(to.host, to.port)
		go func() {
			c.Write(data)
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%v: %d bytes of %d, %v", to, len(got), len(data), err)
		}
		c.Close()
	}
}

func TestHandleRefuses(t *testing.T) {
	server := serve(t, echo)
	g := newTestGate(t, "api.example:443", "localhost:1", "192.0.2.0/24:443")
	for _, c := range []struct {
		host string
		port uint16
		want Event
	}{
		{"203.0.113.1", 443, Event{Kind: "connect", Addr: netip.MustParseAddrPort("203.0.113.1:443"), Reason: "no rule names this address"}},
		{"192.0.2.1", 80, Event{Kind: "connect", Addr: netip.MustParseAddrPort("192.0.2.1:80"), Reason: "no rule names this address"}},
		{"2001:db8::1", 443, Event{Kind: "connect", Addr: netip.MustParseAddrPort("[2001:db8::1]:443"), Reason: "no rule names this address"}},
		{"127.0.0.1", portOf(server), Event{Kind: "connect", Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), portOf(server)), Reason: "no rule names this port of this machine"}},
		{"127.9.9.9", 2, Event{Kind: "connect", Addr: netip.MustParseAddrPort("127.9.9.9:2"), Reason: "no rule names this port of this machine"}},
		{"::ffff:127.0.0.1", 2, Event{Kind: "connect", Addr: netip.MustParseAddrPort("127.0.0.1:2"), Reason: "no rule names this port of this machine"}},
		{"198.19.0.77", 443, Event{Kind: "connect", Addr: netip.MustParseAddrPort("198.19.0.77:443"), Reason: "an address that stands for no name"}},
		{"api.example", 80, Event{Kind: "connect", Name: "api.example", Addr: netip.AddrPortFrom(netip.Addr{}, 80), Reason: "no rule names this port"}},
		{"127.0.0.1", 1, Event{Kind: "connect", Addr: netip.MustParseAddrPort("127.0.0.1:1"), Reason: "connection refused", Failed: true}},
	} {
		expectReset(t, g.connect(c.host, c.port))
		if e := g.event(); e != c.want {
			t.Errorf("%s port %d: event %+v, want %+v", c.host, c.port, e, c.want)
		}
	}
}

// What is refused in the first flight never reaches the server, however it is
// sent.
func TestHandleFlights(t *testing.T) {
	got := make(chan []byte, 1)
	server := serve(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		c.Close()
		got <- b
	})
	g := newTestGate(t, "api.example", "wrong.example:1")
	for _, c := range []struct {
		flight []byte
		event  string // "" if it passes
	}{
		{helloFor(t, "api.example"), ""},
		{helloFor(t, "evil.example"), "tls evil.example"},
		{helloFor(t, "wrong.example"), "tls wrong.example"},
		{helloFor(t, ""), "tls api.example"},
		{[]byte(okHead), ""},
		{[]byte(strings.ReplaceAll(okHead, "api", "evil")), "http evil.example"},
		{[]byte("SSH-2.0-test\r\n"), ""},
		{[]byte("ruok"), ""},
		{[]byte(preface), ""},
		{nil, ""},
	} {
		for _, n := range []int{1, 100, 1 << 20} {
			conn := g.connect("api.example", portOf(server))
			for _, piece := range cut(c.flight, n) {
				if _, err := conn.Write(piece); err != nil {
					break // refused before the last
				}
			}
			conn.CloseWrite()
			if c.event != "" {
				expectReset(t, conn)
				if e := g.event(); e.Kind+" "+e.Name != c.event || e.Failed {
					t.Errorf("%.20q: event %+v, want %s", c.flight, e, c.event)
				}
				if b := <-got; len(b) > 0 {
					t.Errorf("%.20q: the server got %q", c.flight, b)
				}
				continue
			}
			if b := <-got; !bytes.Equal(b, c.flight) {
				t.Errorf("%.20q: the server got %q", c.flight, b)
			}
			conn.Close()
		}
	}
}

// TestHeldInAll: what is held of all connections together has an end, and is given back.
func TestHeldInAll(t *testing.T) {
	server := serve(t, echo)
	g := newTestGate(t, "api.example")
	hello := helloFor(t, "api.example")
	begun := g.connect("api.example", portOf(server))
	begun.Write(hello[:50])
	for range 1000 {
		if heldInAll.Load() > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	heldInAll.Add(mostHeld)
	defer heldInAll.Add(-mostHeld)
	more := g.connect("api.example", portOf(server))
	more.Write(hello[:50])
	expectReset(t, more)
	if e := g.event(); !strings.Contains(e.Reason, "too many connections have begun") {
		t.Errorf("event %+v", e)
	}
	// Whoever says all at once needs nothing held, and what was begun may end.
	begun.Write(hello[50:])
	whole := g.connect("api.example", portOf(server))
	whole.Write(hello)
	for _, c := range []*net.TCPConn{begun, whole} {
		b := make([]byte, len(hello))
		if _, err := io.ReadFull(c, b); err != nil || !bytes.Equal(b, hello) {
			t.Errorf("an answer that differs, or none: %v", err)
		}
		c.Close()
	}
	for range 5000 {
		if heldInAll.Load() == mostHeld {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d bytes are still counted", heldInAll.Load()-mostHeld)
}

func TestServerSpeaksFirst(t *testing.T) {
	server := serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "220 ready\r\n")
		echo(c)
	})
	g := newTestGate(t, "mail.example")
	c := g.connect("mail.example", portOf(server))
	b := make([]byte, 11)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "220 ready\r\n" {
		t.Fatalf("%q, %v", b, err)
	}
	io.WriteString(c, "EHLO me\r\n")
	if _, err := io.ReadFull(c, b[:9]); err != nil || string(b[:9]) != "EHLO me\r\n" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestHalfClose(t *testing.T) {
	// The server says all it has to say, ends, and goes on listening.
	heard := make(chan string, 1)
	server := serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "bye")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		heard <- string(b)
		c.Close()
	})
	g := newTestGate(t, "a.example")
	c := g.connect("a.example", portOf(server))
	if b, err := io.ReadAll(c); err != nil || string(b) != "bye" {
		t.Fatalf("%q, %v", b, err)
	}
	io.WriteString(c, "\x00one")
	time.Sleep(10 * time.Millisecond)
	io.WriteString(c, "two")
	c.CloseWrite()
	if h := <-heard; h != "\x00onetwo" {
		t.Fatalf("the server heard %q", h)
	}
}

func TestResets(t *testing.T) {
	seen := make(chan error, 1)
	server := serve(t, func(c *net.TCPConn) {
		b := make([]byte, 1)
		io.ReadFull(c, b)
		if b[0] == 1 { // reset by the server
			io.WriteString(c, "last words")
			time.Sleep(50 * time.Millisecond) // until they have been read
			reset(c)
			return
		}
		_, err := io.Copy(io.Discard, c)
		seen <- err
		c.Close()
	})
	g := newTestGate(t, "a.example")
	c := g.connect("a.example", portOf(server))
	c.Write([]byte{1})
	if b, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || string(b) != "last words" {
		t.Errorf("after the server's reset: %q, %v", b, err)
	}
	c = g.connect("a.example", portOf(server))
	c.Write([]byte{2})
	reset(c)
	if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the client's reset: %v", err)
	}
}

// A sender is stopped when the receiver does not read, and the gate does not
// gather what is in between.
func TestBackPressure(t *testing.T) {
	release := make(chan bool)
	server := serve(t, func(c *net.TCPConn) {
		<-release
		io.Copy(io.Discard, c)
		c.Close()
	})
	g := newTestGate(t, "a.example")
	c := g.connect("a.example", portOf(server))
	c.SetDeadline(time.Time{})
	sent, total := make(chan int, 1<<16), 0
	go func() {
		block := make([]byte, 64<<10)
		for range 2000 {
			n, err := c.Write(block)
			if err != nil {
				break
			}
			sent <- n
		}
		close(sent)
	}()
	for quiet := false; !quiet; {
		select {
		case n := <-sent:
			total += n
		case <-time.After(500 * time.Millisecond):
			quiet = true
		}
	}
	if total >= 2000*64<<10 {
		t.Errorf("%d MiB were taken that nobody reads", total>>20)
	}
	close(release)
	for n := range sent {
		total += n
	}
	if total != 2000*64<<10 {
		t.Errorf("%d bytes sent", total)
	}
}

// What was being dialled when the run ended did not fail.
func TestCloseWhileDialling(t *testing.T) {
	g := newTestGate(t, "a.example")
	begun := make(chan bool)
	g.Dialer.addrs = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		begun <- true
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := g.connect("a.example", 1)
	<-begun
	g.Close()
	expectReset(t, c)
	if len(g.events) > 0 {
		t.Errorf("events %+v", g.events)
	}
}

func TestCloseEndsAll(t *testing.T) {
	server := serve(t, echo)
	g := newTestGate(t, "a.example")
	var conns []*net.TCPConn
	for i := range 50 {
		c := g.connect("a.example", portOf(server))
		if i%2 == 0 {
			io.WriteString(c, "\x00x")
			io.ReadFull(c, make([]byte, 2))
		}
		conns = append(conns, c)
	}
	for len(g.to) > 0 {
		time.Sleep(time.Millisecond)
	}
	g.Close()
	if n := len(g.open); n > 0 {
		t.Errorf("%d ends of connections are left after Close", n)
	}
	for _, c := range conns {
		expectReset(t, c)
	}
	expectReset(t, g.connect("a.example", portOf(server)))
}
