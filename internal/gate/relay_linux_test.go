package gate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// All that is carried comes out as it went in, copied or spliced, also when
// there are no pipes to be had.
func TestCarry(t *testing.T) {
	data := make([]byte, 9<<20)
	rand.Read(data)
	data[0] = 0
	for name, pipesFree := range map[string]int{"spliced": maxPipes, "one pipe": 1, "no pipes": 0} {
		t.Run(name, func(t *testing.T) {
			defer holdPipes(t, maxPipes-pipesFree)()
			done := make(chan bool)
			server := serve(t, func(c *net.TCPConn) {
				defer func() { done <- true }()
				said := make(chan bool)
				go func() {
					c.Write(data)
					c.CloseWrite()
					close(said)
				}()
				got, err := io.ReadAll(struct{ io.Reader }{c})
				<-said
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("the server got %d bytes of %d, %v", len(got), len(data), err)
				}
				c.Close()
			})
			g := newTestGate(t, "a.example")
			for range 4 {
				c := g.connect("a.example", portOf(server))
				go func() {
					defer func() { done <- true }()
					said := make(chan bool)
					go func() {
						c.Write(data)
						c.CloseWrite()
						close(said)
					}()
					got, err := io.ReadAll(struct{ io.Reader }{c})
					<-said
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("the client got %d bytes of %d, %v", len(got), len(data), err)
					}
				}()
			}
			for range 2 * 4 {
				<-done
			}
		})
	}
}

// holdPipes keeps n pipes from everybody else.
func holdPipes(t *testing.T, n int) (release func()) {
	var held []*pipe
	for range n {
		p := pipes.get()
		if p == nil {
			t.Fatal("no pipe")
		}
		held = append(held, p)
	}
	if n == maxPipes && pipes.get() != nil {
		t.Errorf("more than %d pipes", n)
	}
	return func() {
		for _, p := range held {
			pipes.put(p)
		}
		pipes.empty()
	}
}

// Connections that hold their pipes full do not stop others.
func TestStalledDownloads(t *testing.T) {
	server := serve(t, func(c *net.TCPConn) {
		b := make([]byte, 1<<20)
		for {
			if _, err := c.Write(b); err != nil {
				c.Close()
				return
			}
		}
	})
	g := newTestGate(t, "a.example")
	for range maxPipes + 4 {
		c := g.connect("a.example", portOf(server))
		if _, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, 3*spliceAfter); err != nil {
			t.Fatal(err)
		}
	}
	c := g.connect("a.example", portOf(server))
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, 30<<20); err != nil {
		t.Fatal(err)
	}
}

// What is left in a pipe when its connection breaks never reaches another one.
func TestPipeLeftovers(t *testing.T) {
	defer holdPipes(t, maxPipes-1)()
	server := serve(t, func(c *net.TCPConn) {
		mark := make([]byte, 1)
		io.ReadFull(c, mark)
		for block := bytes.Repeat(mark, 64<<10); ; {
			if _, err := c.Write(block); err != nil {
				c.Close()
				return
			}
		}
	})
	g := newTestGate(t, "a.example")
	for mark := byte(1); mark < 9; mark++ {
		c := g.connect("a.example", portOf(server))
		c.Write([]byte{mark})
		got := make([]byte, 8<<20)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexFunc(got, func(r rune) bool { return r != rune(mark) }); i >= 0 {
			t.Fatalf("connection %d got a byte of connection %d", mark, got[i])
		}
		for free := 1; free > 0; { // until the pipe is full and waits
			time.Sleep(10 * time.Millisecond)
			pipes.mu.Lock()
			free = len(pipes.free)
			pipes.mu.Unlock()
		}
		reset(c)
		for held := true; held; {
			time.Sleep(10 * time.Millisecond)
			pipes.mu.Lock()
			held = pipes.made == maxPipes && len(pipes.free) == 0
			pipes.mu.Unlock()
		}
	}
}

// An HTTP server behind the gate, and clients as they are.
func TestHTTPThroughGate(t *testing.T) {
	hosts := make(chan string, 1<<16)
	l := listen(t, "127.0.0.1:0")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		n, _ := io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/switch":
			c, rw, _ := w.(http.Hijacker).Hijack()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
			io.Copy(struct{ io.Writer }{c}, rw)
			c.Close()
		case "/big":
			io.CopyN(w, zeros{}, 20<<20)
		default:
			fmt.Fprintf(w, "%d bytes", n)
		}
	})}
	go server.Serve(l)
	g := newTestGate(t, "a.example", "b.example")
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return g.connect("a.example", portOf(l)), nil
	}}
	client := &http.Client{Transport: transport}
	for i := range 10 {
		for _, body := range []io.Reader{nil, strings.NewReader("hello"), io.LimitReader(zeros{}, 100000), bytes.NewReader(make([]byte, 5<<20))} {
			method := http.MethodPost
			if body == nil {
				method = http.MethodGet
			}
			req, _ := http.NewRequest(method, fmt.Sprintf("http://%s.example:%d/", string("ab"[i%2]), portOf(l)), body)
			req.Header.Set("Expect", "100-continue")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	res, err := client.Get("http://a.example/big")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); n != 20<<20 || err != nil {
		t.Error(n, err)
	}
	res.Body.Close()
	transport.CloseIdleConnections()
	for len(hosts) > 0 {
		if h := <-hosts; !strings.HasPrefix(h, "a.example") && !strings.HasPrefix(h, "b.example") {
			t.Errorf("the server saw %q", h)
		}
	}

	// An upgrade with what is to follow it sent at once; and one that is not agreed to.
	ask := "GET %s HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n"
	c := g.connect("a.example", portOf(l))
	fmt.Fprintf(c, ask+"raw bytes\r\n\r\n", "/switch")
	c.CloseWrite()
	if b, _ := io.ReadAll(c); !strings.HasSuffix(string(b), "\r\n\r\nraw bytes\r\n\r\n") {
		t.Errorf("after an upgrade: %q", b)
	}
	c = g.connect("a.example", portOf(l))
	fmt.Fprintf(c, ask+"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "/stay")
	io.ReadAll(c)
	if e := g.event(); e.Name != "evil.example" || e.Kind != "http" {
		t.Errorf("event %+v", e)
	}
	for len(hosts) > 0 {
		if h := <-hosts; h != "a.example" {
			t.Errorf("the server saw %q", h)
		}
	}
	server.Close()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// A server that speaks before it is asked has not agreed to an upgrade.
func TestUpgradeEarlyAnswer(t *testing.T) {
	got := make(chan []byte, 1)
	server := serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		b, _ := io.ReadAll(c)
		got <- b
		c.Close()
	})
	g := newTestGate(t, "a.example")
	c := g.connect("a.example", portOf(server))
	io.ReadFull(c, make([]byte, 20))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	io.ReadAll(c)
	if e := g.event(); e.Name != "evil.example" {
		t.Errorf("event %+v", e)
	}
	if b := <-got; bytes.Contains(b, []byte("evil")) {
		t.Errorf("the server got %q", b)
	}
}

// A client that begins and does not go on is given up.
func TestSlowFlight(t *testing.T) {
	before := flightPatience
	flightPatience = 100 * time.Millisecond
	t.Cleanup(func() { flightPatience = before }) // when the gate is closed
	server := serve(t, echo)
	g := newTestGate(t, "a.example")
	for _, c := range []struct{ said, kind string }{
		{"\x16\x03\x01\x02\x00", "tls"}, {"\x16", "tls"}, {"GET / HTTP/1.1\r\n", "http"}, {"GET", "http"},
		{"GET / HTTP/1.1\r\nHost: a.example\r\n\r\nGET", "http"},
	} {
		conn := g.connect("a.example", portOf(server))
		io.WriteString(conn, c.said)
		b, err := io.ReadAll(conn)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %q, %v", c.said, b, err)
		}
		if e := g.event(); e.Kind != c.kind || !strings.Contains(e.Reason, "did not go on") {
			t.Errorf("%q: event %+v", c.said, e)
		}
	}
	// One that has not begun, or has been judged, has all the time it wants.
	quiet := g.connect("a.example", portOf(server))
	judged := g.connect("a.example", portOf(server))
	io.WriteString(judged, "SSH-2")
	time.Sleep(50 * time.Millisecond)
	io.WriteString(judged, ".0-x\r\n")
	time.Sleep(300 * time.Millisecond)
	for _, c := range []*net.TCPConn{quiet, judged} {
		io.WriteString(c, "\x00more")
		c.CloseWrite()
		if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "\x00more") {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// Many idle connections, half of them with a flight that was begun, leave room
// for others, and leave nothing behind.
func TestManyConnections(t *testing.T) {
	const many = 1000
	server := serve(t, echo)
	g := newTestGate(t, "a.example")
	var idle []*net.TCPConn
	for i := range many {
		c := g.connect("a.example", portOf(server))
		if i%2 == 0 {
			io.WriteString(c, "\x16\x03\x01\x02")
		}
		idle = append(idle, c)
	}
	c := g.connect("a.example", portOf(server))
	io.WriteString(c, "\x00hello")
	if b := make([]byte, 6); true {
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "\x00hello" {
			t.Errorf("%q, %v", b, err)
		}
	}
	for _, c := range idle {
		c.Close()
	}
}

// The relay of two connections, as --publish uses it.
func TestPublishedRelay(t *testing.T) {
	server := serve(t, echo)
	l := serve(t, func(a *net.TCPConn) {
		b, err := net.DialTCP("tcp", nil, server.Addr().(*net.TCPAddr))
		if err != nil {
			t.Error(err)
			return
		}
		carry(a, b)
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: anything\r\n\r\n")
	c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), "anything") {
		t.Errorf("%q, %v", b, err)
	}
	c.Close()
}

// The user's limit on pipes used up, or too many files open: bytes are copied.
func TestNoPipeToBeHad(t *testing.T) {
	pipes.empty()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	p := pipes.get()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if p != nil || pipes.made != 0 {
		t.Error("a pipe beyond the limit")
	}
}
