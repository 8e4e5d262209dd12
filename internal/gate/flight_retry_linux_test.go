package gate

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A ClientHello of TLS 1.3, and what a server may answer.
func hello13(name string, extensions ...[]byte) []byte {
	return withSNI(append(extensions, sni(name), ext(extVersions, 2, 3, 4))...)
}

func helloFrom(random []byte) []byte {
	body := append([]byte{3, 3}, random...)
	body = append(body, 0, 0x13, 1, 0, 0, 0)
	message := append([]byte{2, 0, 0, byte(len(body))}, body...)
	return records(message, 1<<14)
}

var (
	retryAnswer = helloFrom(retryRequest)
	plainAnswer = helloFrom(bytes.Repeat([]byte{0xcf}, 32))
	nextCipher  = []byte("\x14\x03\x03\x00\x01\x01")
	earlyData   = append([]byte("\x17\x03\x03\x40\x00"), make([]byte, 1<<14)...)
	warning     = []byte("\x15\x03\x03\x00\x02\x01\x70")
)

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestRetry has a client say its first hello, a server answer, and the client go on. Of a server that has been asked, what
// it answers is known before the client can go on, so nothing here waits but for the bytes.
func TestRetry(t *testing.T) {
	ok, evil := hello13("api.example"), hello13("evil.example")
	for name, c := range map[string]struct {
		first, answer, second []byte
		event                 string // what is refused, "" if all passes
	}{
		"the same name":               {ok, retryAnswer, ok, ""},
		"past a change_cipher_spec":   {ok, joined(retryAnswer, nextCipher), joined(nextCipher, ok), ""},
		"past early data":             {joined(ok, nextCipher, earlyData), retryAnswer, joined(earlyData, ok), ""},
		"what follows is opaque":      {ok, retryAnswer, joined(ok, nextCipher, []byte("x")), ""},
		"another name":                {ok, retryAnswer, evil, "evil.example TLS server name"},
		"another, past all":           {joined(ok, nextCipher, earlyData), joined(retryAnswer, nextCipher), joined(nextCipher, earlyData, evil), "evil.example TLS server name"},
		"another, in small records":   {ok, records(retryAnswer[5:], 3), records(evil[5:], 5), "evil.example TLS server name"},
		"another, past a warning":     {ok, joined(warning, retryAnswer), joined(warning, evil), "evil.example TLS server name"},
		"another, to a draft's":       {ok, records([]byte{6, 0, 0, 2, 3, 4}, 100), evil, "evil.example TLS server name"},
		"another, to no TLS":          {ok, []byte("HTTP/1.1 400 Bad Request\r\n"), evil, "evil.example TLS server name"},
		"no name":                     {ok, retryAnswer, withSNI(ext(extVersions, 2, 3, 4)), "without a server name"},
		"encrypted":                   {ok, retryAnswer, hello13("api.example", ext(extECH, 0, 1)), "encrypted server name"},
		"a record in between":         {ok, retryAnswer, joined(ok[:0], records(evil[5:], 9)[:14], nextCipher), "a record in between"},
		"no record":                   {ok, retryAnswer, []byte("GET / HTTP/1.1\r\n"), "not a record of TLS"},
		"another message":             {ok, retryAnswer, records([]byte{11, 0, 0, 0}, 100), "does not begin with a ClientHello"},
		"no retry":                    {ok, plainAnswer, joined(nextCipher, evil, []byte("anything")), ""},
		"no retry, in small records":  {ok, records(plainAnswer[5:], 1), []byte("anything"), ""},
		"no retry, behind a warning":  {ok, joined(warning, plainAnswer), []byte("anything"), ""},
		"an alert only":               {ok, warning, warning, ""},
		"TLS 1.2 cannot be asked":     {withSNI(sni("api.example")), retryAnswer, []byte("anything"), ""},
		"before the answer":           {joined(ok, evil), nil, nil, "before the server has answered"},
		"before, the same":            {joined(ok, ok), nil, nil, "before the server has answered"},
		"before, behind early data":   {joined(ok, nextCipher, earlyData, evil), nil, nil, "before the server has answered"},
		"before, the answer in parts": {ok, retryAnswer[:20], evil, "before the server has answered"},
		"before, over-long":           {joined(ok, []byte("\x17\x03\x03\xff\xff")), nil, nil, "over-long"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 7, 1 << 20} {
				tryRetry(t, n, c.first, c.answer, c.second, c.event)
			}
		})
	}
}

// tryRetry plays one of these over real sockets, everything in pieces of n bytes.
func tryRetry(t *testing.T, n int, first, answer, second []byte, event string) {
	if n == 1 {
		n = max(1, (len(first)+len(second))/400) // early data makes it long
	}
	send := func(c net.Conn, b []byte) {
		for _, piece := range cut(b, n) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
	got := make(chan []byte, 1)
	server := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, len(first))
		k, err := io.ReadFull(c, b)
		if b = b[:k]; err == nil {
			send(c, answer)
			rest, _ := io.ReadAll(c)
			b = append(b, rest...)
		}
		got <- b
	})
	g := newTestGate(t, "api.example")
	conn := g.connect("api.example", portOf(server))
	send(conn, first)
	if len(answer) > 0 {
		if _, err := io.ReadFull(conn, make([]byte, len(answer))); err != nil {
			t.Fatal(err)
		}
	}
	send(conn, second)
	conn.CloseWrite()
	all := <-got
	switch {
	case event == "":
		if !bytes.Equal(all, joined(first, second)) {
			t.Fatalf("in pieces of %d the server got %d bytes of %d", n, len(all), len(first)+len(second))
		}
	default:
		if e := g.event(); e.Kind != "tls" || !strings.Contains(e.Name+" "+e.Reason, event) {
			t.Fatalf("in pieces of %d: %+v, want %q", n, e, event)
		}
		if bytes.Contains(all, []byte("evil")) {
			t.Fatalf("in pieces of %d the server got %q", n, all)
		}
	}
}

// TestRetryServerFirst: words of a server from before the hello are no answer to it, and leave the second one to be judged.
func TestRetryServerFirst(t *testing.T) {
	server := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		c.Write(plainAnswer)
		io.Copy(io.Discard, c)
	})
	g := newTestGate(t, "api.example")
	conn := g.connect("api.example", portOf(server))
	io.ReadFull(conn, make([]byte, len(plainAnswer)))
	conn.Write(hello13("api.example"))
	conn.Write(hello13("evil.example"))
	expectReset(t, conn)
	if e := g.event(); e.Kind != "tls" {
		t.Errorf("%+v", e)
	}
}

// TestRetrySilentServer: nobody waits for a server that never answers; its client's end reaches it.
func TestRetrySilentServer(t *testing.T) {
	ended := make(chan error, 1)
	server := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	g := newTestGate(t, "api.example")
	conn := g.connect("api.example", portOf(server))
	conn.Write(joined(hello13("api.example"), earlyData))
	conn.CloseWrite()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server does not see the end")
	}
}

// TestRetryOfRealServer: crypto/tls asks its own client for another hello, and both are content.
func TestRetryOfRealServer(t *testing.T) {
	cert, _ := certificate(t, "api.example")
	for _, c := range []struct {
		version uint16
		curve   tls.CurveID
	}{{tls.VersionTLS13, tls.CurveP384}, {tls.VersionTLS13, tls.X25519}, {tls.VersionTLS12, tls.CurveP256}} {
		server := serve(t, func(c2 *net.TCPConn) {
			defer c2.Close()
			s := tls.Server(c2, &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{c.curve}, MaxVersion: c.version})
			io.Copy(s, io.LimitReader(s, 2<<20))
			s.Close()
		})
		g := newTestGate(t, "api.example")
		conn := tls.Client(g.connect("api.example", portOf(server)), &tls.Config{ServerName: "api.example", InsecureSkipVerify: true,
			CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP384, tls.CurveP256}})
		want := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16)
		go conn.Write(want)
		if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v: %d bytes, %v", c, len(got), err)
		}
	}
}
