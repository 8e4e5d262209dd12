package gate

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A testProxy is a gate with the explicit front end. Names lead to loopback.
type testProxy struct {
	*testGate
	*Explicit
}

func newTestProxy(t testing.TB, rules ...string) *testProxy {
	t.Helper()
	p := &testProxy{testGate: newTestGate(t, rules...)}
	var err error
	if p.Explicit, err = ListenExplicit(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Explicit.Serve(p.Gate) }()
	t.Cleanup(func() {
		p.Gate.Close()
		p.Explicit.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

// url is the proxy's, as programs are told it.
func (p *testProxy) url(t testing.TB) *url.URL {
	t.Helper()
	for _, e := range p.Env() {
		if v, ok := strings.CutPrefix(e, "HTTP_PROXY="); ok {
			u, err := url.Parse(v)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
	}
	t.Fatal("no HTTP_PROXY")
	return nil
}

func (p *testProxy) open(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

// auth is the line with the credential.
func (p *testProxy) auth() string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password)) + "\r\n"
}

// say sends text, and reads all that comes back.
func (p *testProxy) say(t testing.TB, text string) string {
	t.Helper()
	c := p.open(t)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	b, _ := io.ReadAll(c) // a reset is an answer, too
	return string(b)
}

func (p *testProxy) noEvent(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		t.Errorf("event: %+v", e)
	}
}

// seen are the requests that reached a server outside, as they were sent.
func recorder(t testing.TB) (l *net.TCPListener, seen func() string) {
	got := make(chan string, 100)
	l = serve(t, func(c *net.TCPConn) {
		defer c.Close()
		var all bytes.Buffer
		r := bufio.NewReader(io.TeeReader(c, &all))
		req, err := http.ReadRequest(r)
		if err == nil {
			io.Copy(io.Discard, req.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
			c.CloseWrite()
			io.Copy(io.Discard, r)
		}
		got <- all.String()
	})
	return l, func() string {
		select {
		case s := <-got:
			return s
		case <-time.After(30 * time.Second):
			t.Error("no request came")
			return ""
		}
	}
}

func TestExplicitTunnel(t *testing.T) {
	server := serve(t, echo)
	p := newTestProxy(t, "api.example")
	for _, early := range []bool{false, true} {
		c := p.open(t)
		ask := fmt.Sprintf("CONNECT api.example:%d HTTP/1.1\r\nHost: api.example:%d\r\n%s\r\n", portOf(server), portOf(server), p.auth())
		words := "\x00binary, which is neither TLS nor HTTP"
		if early {
			ask += words
		}
		io.WriteString(c, ask)
		r := bufio.NewReader(c)
		answer, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		if !early {
			io.WriteString(c, words)
		}
		c.CloseWrite()
		if b, err := io.ReadAll(r); err != nil || string(b) != words {
			t.Errorf("early %v: %q, %v", early, b, err)
		}
	}
	p.noEvent(t)
}

// Every way to ask for what no rule allows ends in the same answer, and nothing
// reaches a server.
func TestExplicitRefuses(t *testing.T) {
	reached := make(chan string, 100)
	server := serve(t, func(c *net.TCPConn) {
		reached <- c.LocalAddr().String()
		c.Close()
	})
	p := newTestProxy(t, "api.example:80", "*.wild.example", "203.0.113.0/24:443", "localhost:9")
	port := portOf(server)
	for _, host := range []string{
		"evil.example:443", "127.0.0.1:%d", "[::1]:%d", "[::ffff:127.0.0.1]:%d", "0.0.0.0:%d", "127.1:%d", "2130706433:%d", "0x7f000001:%d", "017700000001:%d",
		"localhost:%d", "LOCALHOST.:%d", "a.localhost:%d", "[::1%%25lo]:%d", "169.254.169.254:80", "203.0.113.9:80", "[fe80::1%%lo]:%d", "198.18.0.1:443",
		"api.example:%d", "wild.example:443", "api.example.evil.example:80", "xn--.example:80", "api\u2024example:80", "api.example@evil.example:80", "",
		"api.example", "api.example:", "api.example:0", "api.example:80:80", "api.example:+80", "api.example:65616", "api.example:80/x", "[api.example]:80", "[]:80", "[::1:80",
	} {
		if strings.Contains(host, "%d") {
			host = fmt.Sprintf(host, port)
		}
		got := p.say(t, "CONNECT "+host+" HTTP/1.1\r\nHost: api.example:80\r\n"+p.auth()+"\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 403 ") && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("CONNECT %s: %q", host, got)
		}
		if got = p.say(t, "GET http://"+host+"/ HTTP/1.1\r\nHost: "+host+"\r\n"+p.auth()+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") && !strings.HasPrefix(got, "HTTP/1.1 400 ") &&
			!(strings.TrimSuffix(host, ":") == "api.example") {
			t.Errorf("GET http://%s/: %q", host, got)
		}
		name, _, _ := strings.Cut(host, ":")
		if got := p.socks(t, name, port); got == "\x00" {
			t.Errorf("SOCKS %s: went through", name)
		}
		p.event()
	}
	for _, a := range []string{"127.0.0.1", "::1", "0.0.0.0", "::", "203.0.113.9", "198.18.0.1", "::ffff:127.0.0.1"} {
		if got := p.socks(t, a, port); got != "\x02" {
			t.Errorf("SOCKS to %s: %q, not \"not allowed\"", a, got)
		}
	}
	select {
	case at := <-reached:
		t.Errorf("a server was reached on %s", at)
	default:
	}
}

// socks asks by SOCKS, by address where host is one, and gives the reply's code.
func (p *testProxy) socks(t testing.TB, host string, port uint16) string {
	t.Helper()
	to := append([]byte{3, byte(len(host))}, host...)
	if a, err := netip.ParseAddr(host); err == nil {
		to = append([]byte{1}, a.AsSlice()...)
		if a.Is6() {
			to[0] = 4
		}
	}
	return p.socksRaw(t, append(append([]byte{5, 1, 0}, to...), byte(port>>8), byte(port)))
}

// socksRaw signs in, and sends a request.
func (p *testProxy) socksRaw(t testing.TB, request []byte) string {
	t.Helper()
	sign := append([]byte{5, 1, 2, 1, byte(len(p.user))}, p.user...)
	sign = append(append(sign, byte(len(p.password))), p.password...)
	got := p.say(t, string(append(sign, request...)))
	if !strings.HasPrefix(got, "\x05\x02\x01\x00") {
		t.Fatalf("sign in: %q", got)
	}
	if got = got[4:]; len(got) < 10 || got[0] != 5 {
		return got
	}
	return got[1:2]
}

func TestExplicitSOCKS(t *testing.T) {
	server := serve(t, echo)
	p := newTestProxy(t, "api.example", fmt.Sprintf("localhost:%d", portOf(server)))
	port := portOf(server)
	for _, host := range []string{"api.example", "API.example.", "localhost", "127.0.0.1", "::1"} {
		if got := p.socks(t, host, port); got != "\x00" {
			t.Errorf("%s: %q", host, got)
		}
	}
	p.noEvent(t)
	for name, c := range map[string]struct {
		request []byte
		want    string
	}{
		"bind":          {[]byte{5, 2, 0, 1, 127, 0, 0, 1, 0, 80}, "\x07"},
		"udp":           {[]byte{5, 3, 0, 1, 127, 0, 0, 1, 0, 80}, "\x07"},
		"version":       {[]byte{4, 1, 0, 1, 127, 0, 0, 1, 0, 80}, "\x01"},
		"type":          {[]byte{5, 1, 0, 2, 127, 0, 0, 1, 0, 80}, "\x01"},
		"reserved":      {[]byte{5, 1, 1, 1, 127, 0, 0, 1, 0, 80}, "\x01"},
		"port 0":        {[]byte{5, 1, 0, 1, 127, 0, 0, 1, 0, 0}, "\x01"},
		"empty name":    {[]byte{5, 1, 0, 3, 0, 0, 80}, "\x02"},
		"name with NUL": {[]byte("\x05\x01\x00\x03\x0dapi.example\x00x\x00\x50"), "\x02"},
		"cut short":     {[]byte{5, 1, 0, 3, 200, 'a'}, ""},
	} {
		if got := p.socksRaw(t, c.request); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Nobody else on this machine may use a run's proxy.
func TestExplicitCredential(t *testing.T) {
	server := serve(t, echo)
	p := newTestProxy(t, "api.example")
	other := newTestProxy(t, "api.example")
	basic := func(s string) string {
		return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n"
	}
	for name, auth := range map[string]string{
		"none": "", "another run's": other.auth(), "no password": basic(p.user + ":"), "only a part": basic(p.user + ":" + p.password[:31]),
		"too much": basic(p.user + ":" + p.password + "0"), "another user": basic("root:" + p.password), "another scheme": strings.Replace(p.auth(), "Basic", "Bearer", 1),
		"for the server": strings.Replace(p.auth(), "Proxy-", "", 1), "no base64": "Proxy-Authorization: Basic " + p.user + ":" + p.password + "\r\n", "empty": "Proxy-Authorization:\r\n",
	} {
		for _, ask := range []string{fmt.Sprintf("CONNECT api.example:%d HTTP/1.1\r\n", portOf(server)), fmt.Sprintf("GET http://api.example:%d/ HTTP/1.1\r\n", portOf(server))} {
			if got := p.say(t, ask+auth+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 407 ") || !strings.Contains(got, "\r\nProxy-Authenticate: Basic ") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	if got := p.say(t, "CONNECT api.example:80 HTTP/1.1\r\n"+p.auth()+p.auth()+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("twice: %q", got)
	}
	for what, c := range map[string]struct{ send, want string }{
		"no method":      {"\x05\x00", "\x05\xff"},
		"none":           {"\x05\x01\x00\x05\x01\x00\x03\x0bapi.example\x00\x50", "\x05\xff"},
		"wrong password": {"\x05\x01\x02\x01\x06aigate\x03abc\x05\x01\x00\x03\x0bapi.example\x00\x50", "\x05\x02\x01\x01"},
		"SOCKS 4":        {"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", ""},
		"TLS":            {string(helloFor(t, "api.example")), ""},
	} {
		if got := p.say(t, c.send); got != c.want {
			t.Errorf("SOCKS, %s: %q, want %q", what, got, c.want)
		}
	}
	if strings.Contains(p.say(t, "GET http://api.example/ HTTP/1.1\r\n\r\n"), p.password) {
		t.Error("the answer holds the password")
	}
}

// What is said in a tunnel is judged as on every connection.
func TestExplicitTunnelIsJudged(t *testing.T) {
	server := serve(t, echo)
	p := newTestProxy(t, "api.example")
	for name, flight := range map[string]string{
		"another SNI":         string(helloFor(t, "evil.example")),
		"another Host":        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"smuggled":            "POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a proxy behind it":   "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"second request":      "GET / HTTP/1.1\r\nHost: api.example\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"absolute, elsewhere": "GET http://evil.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n",
	} {
		for _, early := range []bool{false, true} {
			ask := fmt.Sprintf("CONNECT api.example:%d HTTP/1.1\r\n%s\r\n", portOf(server), p.auth())
			c := p.open(t)
			if early {
				io.WriteString(c, ask+flight)
			} else {
				io.WriteString(c, ask)
				var b [39]byte
				io.ReadFull(c, b[:])
				io.WriteString(c, flight)
			}
			b, err := io.ReadAll(c)
			if err == nil || bytes.Contains(b, []byte("evil")) {
				t.Errorf("%s, early %v: %q, %v; want a reset", name, early, b, err)
			}
			if e := p.event(); e.Failed {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}

func TestExplicitRequest(t *testing.T) {
	server, seen := recorder(t)
	p := newTestProxy(t, "api.example")
	at := fmt.Sprintf("api.example:%d", portOf(server))
	for _, c := range []struct{ ask, want string }{
		{"GET http://AT/a?b=c HTTP/1.1\r\nHost: AT\r\nAUTH\r\n", "GET /a?b=c HTTP/1.1\r\nHost: AT\r\nConnection: close\r\n\r\n"},
		{"GET http://AT HTTP/1.1\r\nHost: AT\r\nAUTH\r\n", "GET / HTTP/1.1\r\nHost: AT\r\nConnection: close\r\n\r\n"},
		{"GET HTTP://AT?q HTTP/1.0\r\nAUTH\r\n", "GET /?q HTTP/1.0\r\nHost: AT\r\nConnection: close\r\n\r\n"},
		{"OPTIONS http://AT HTTP/1.1\r\nHost: AT\r\nAUTH\r\n", "OPTIONS * HTTP/1.1\r\nHost: AT\r\nConnection: close\r\n\r\n"},
		{"POST http://AT/ HTTP/1.1\r\nHost: AT\r\nContent-Length: 5\r\nAUTH\r\nhello", "POST / HTTP/1.1\r\nHost: AT\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"},
		{"POST http://AT/ HTTP/1.1\r\nHost: AT\r\nTransfer-Encoding: chunked\r\nAUTH\r\n5\r\nhello\r\n0\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: AT\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"GET http://AT/ HTTP/1.1\r\nHost: AT\r\nAUTHProxy-Connection: keep-alive\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nX-End: 2\r\nAuthorization: Basic abc\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: AT\r\nConnection: close\r\nX-End: 2\r\nAuthorization: Basic abc\r\n\r\n"},
	} {
		got := p.say(t, strings.NewReplacer("AT/", at+"/", "AT\r", at+"\r", "AT ", at+" ", "AT?", at+"?", "AUTH", p.auth()).Replace(c.ask))
		if !strings.HasSuffix(got, "\r\n\r\nok") {
			t.Errorf("%q: answer %q", c.ask, got)
		}
		if sent, want := seen(), strings.ReplaceAll(c.want, "AT", at); sent != want {
			t.Errorf("%q: the server got\n%q, want\n%q", c.ask, sent, want)
		}
	}
	p.noEvent(t)
}

// One request, and no second one that nobody judges: not behind it, not in it.
func TestExplicitSmuggling(t *testing.T) {
	var got bytes.Buffer
	arrived := make(chan string, 100)
	server := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		b, _ := io.ReadAll(c)
		arrived <- string(b)
	})
	p := newTestProxy(t, "api.example")
	at := fmt.Sprintf("api.example:%d", portOf(server))
	for name, ask := range map[string]string{
		"pipelined":           "GET http://AT/ HTTP/1.1\r\nHost: AT\r\nAUTH\r\nGET http://AT/evil HTTP/1.1\r\nHost: AT\r\nAUTH\r\n",
		"behind a body":       "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nContent-Length: 1\r\nAUTH\r\nxGET /evil HTTP/1.1\r\nHost: AT\r\n\r\n",
		"both lengths":        "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nAUTH\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
		"two lengths":         "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nContent-Length: 5\r\nContent-Length: 6\r\nAUTH\r\nevilevil",
		"odd length":          "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nContent-Length: +5\r\nAUTH\r\nevil!",
		"odd coding":          "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nTransfer-Encoding: xchunked\r\nAUTH\r\nevil",
		"coding in 1.0":       "POST http://AT/ HTTP/1.0\r\nHost: AT\r\nTransfer-Encoding: chunked\r\nAUTH\r\n0\r\n\r\nevil",
		"length taken out":    "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nConnection: content-length\r\nContent-Length: 4\r\nAUTH\r\nevil",
		"coding taken out":    "POST http://AT/ HTTP/1.1\r\nHost: AT\r\nProxy-Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nAUTH\r\n4\r\nevil\r\n0\r\n\r\n",
		"another Host":        "GET http://AT/evil HTTP/1.1\r\nHost: evil.example\r\nAUTH\r\n",
		"two Hosts":           "GET http://AT/evil HTTP/1.1\r\nHost: AT\r\nHost: AT\r\nAUTH\r\n",
		"line feeds":          "GET http://AT/evil HTTP/1.1\nHost: AT\nAUTH\n",
		"one line feed":       "GET http://AT/ HTTP/1.1\r\nX: y\nGET /evil: z\r\nHost: AT\r\nAUTH\r\n",
		"folded":              "GET http://AT/ HTTP/1.1\r\nHost: AT\r\nX: y\r\n evil\r\nAUTH\r\n",
		"blank before colon":  "POST http://AT/evil HTTP/1.1\r\nHost: AT\r\nContent-Length : 5\r\nAUTH\r\nevil!",
		"NUL":                 "GET http://AT/ HTTP/1.1\r\nHost: AT\r\nX: \x00evil\r\nAUTH\r\n",
		"user in the target":  "GET http://evil.example@AT/evil HTTP/1.1\r\nHost: AT\r\nAUTH\r\n",
		"fragment":            "GET http://AT/#@evil.example/ HTTP/1.1\r\nHost: AT\r\nAUTH\r\n",
		"backslash":           "GET http://evil.example\\@AT/evil HTTP/1.1\r\nHost: evil.example\\@AT\r\nAUTH\r\n",
		"https":               "GET https://AT/evil HTTP/1.1\r\nHost: AT\r\nAUTH\r\n",
		"no scheme":           "GET //AT/evil HTTP/1.1\r\nHost: AT\r\nAUTH\r\n",
		"origin form":         "GET /evil HTTP/1.1\r\nHost: AT\r\nAUTH\r\n",
		"CONNECT with a body": "CONNECT AT HTTP/1.1\r\nHost: AT\r\nContent-Length: 4\r\nAUTH\r\nevil",
		"lower case connect":  "connect AT HTTP/1.1\r\nHost: AT\r\nAUTH\r\nevil",
		"HTTP/2 preface":      "PRI * HTTP/2.0\r\nAUTH\r\nSM\r\n\r\nevil",
		"version":             "GET http://AT/evil HTTP/1.2\r\nHost: AT\r\nAUTH\r\n",
	} {
		p.say(t, strings.NewReplacer("AT/", at+"/", "AT\r", at+"\r", "AT\n", at+"\n", "AT ", at+" ", "AUTH\r\n", p.auth()+"\r\n", "AUTH\n", strings.ReplaceAll(p.auth(), "\r", "")+"\n").Replace(ask))
		got.Reset()
		for more := true; more; {
			select {
			case s := <-arrived:
				got.WriteString(s)
			case <-time.After(50 * time.Millisecond):
				more = false
			}
		}
		if strings.Contains(got.String(), "evil") {
			t.Errorf("%s: the server got %q", name, got.String())
		}
		if e := p.event(); e.Failed {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// A client that says little, slowly or without end has little of us.
func TestExplicitBounds(t *testing.T) {
	before := flightPatience
	flightPatience = 200 * time.Millisecond
	t.Cleanup(func() { flightPatience = before })
	p := newTestProxy(t, "api.example")
	for what, begin := range map[string]string{"nothing": "", "a word": "CONN", "a head without an end": "GET http://api.example/ HTTP/1.1\r\nX: ",
		"SOCKS": "\x05", "half a credential": "\x05\x01\x02\x01\x06aig"} {
		c := p.open(t)
		io.WriteString(c, begin)
		if b, _ := io.ReadAll(c); len(b) > 2 {
			t.Errorf("%s: %q", what, b)
		}
	}
	if got := p.say(t, "GET http://api.example/ HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 70)); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("a head of 70 KiB: %q", got)
	}
	p.event()
	// While as many as may be are about to ask, one more is sent away; when their time is over, the next is served.
	var all []net.Conn
	for range mostAsking + 20 {
		if c, err := net.Dial("tcp", p.listener.Addr().String()); err == nil { // or it was sent away already
			c.SetDeadline(time.Now().Add(time.Minute))
			all = append(all, c)
		}
	}
	for _, c := range all {
		io.ReadAll(c)
		c.Close()
	}
	if got := p.say(t, "GET http://evil.example/ HTTP/1.1\r\n"+p.auth()+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("after them: %q", got)
	}
}

// Go's own client goes by the variables that a run gets.
func TestExplicitGoClient(t *testing.T) {
	server, seen := recorder(t)
	p := newTestProxy(t, "api.example")
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(p.url(t)), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	r, err := client.Get(fmt.Sprintf("http://api.example:%d/x", portOf(server)))
	if err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	r.Body.Close()
	if sent := seen(); !strings.HasPrefix(sent, "GET /x HTTP/1.1\r\n") || strings.Contains(sent, "Proxy") {
		t.Errorf("%q", sent)
	}
	if r, err = client.Get("http://evil.example/"); err != nil || r.StatusCode != 403 {
		t.Fatal(r, err)
	}
	r.Body.Close()
	if _, err = client.Get("https://evil.example/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Error(err)
	}
	for range 2 {
		if e := p.event(); e.Name != "evil.example" || e.Reason != notAllowed {
			t.Errorf("%+v", e)
		}
	}
}

func FuzzProxyAsk(f *testing.F) {
	f.Add([]byte("GET http://api.example/x HTTP/1.1\r\nHost: api.example\r\n\r\n"))
	f.Add([]byte("CONNECT api.example:443 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n"))
	f.Add([]byte("POST http://[::1]:80?x HTTP/1.0\r\nConnection: a, b\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		end, problem := headEnd(b, 0)
		if end == 0 || problem != "" {
			return
		}
		for at := range end { // wherever the stream was cut
			if n, p := headEnd(b[:end], at); at < end-2 && n != end && p == "" && !bytes.Contains(b[:end], []byte("\r\n")) {
				t.Fatalf("from %d: %d, %q", at, n, p)
			}
		}
		ask, problem := parseAsk(b[:end-2])
		if problem != "" {
			return
		}
		if ask.host == "" || ask.port == 0 || strings.ContainsAny(ask.host, " \r\n/@") && ask.connect == false && strings.ContainsAny(ask.host, " \r\n/") {
			t.Fatalf("%q: host %q, port %d", b, ask.host, ask.port)
		}
		if ask.connect {
			return
		}
		// What goes on is one request, for that host, for a reader that is not ours.
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(ask.forward)))
		if err != nil {
			return // one that no server takes
		}
		if host := req.Host; !strings.Contains(host, ask.host) || req.Header.Get("Proxy-Authorization") != "" || req.URL.Host != "" && req.URL.Host != host {
			t.Fatalf("%q: goes on as\n%q, to %q", b, ask.forward, host)
		}
		if !req.Close {
			t.Fatalf("%q: goes on as\n%q, which does not end", b, ask.forward)
		}
	})
}

func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x01\x02\x01\x06aigate\x01x\x05\x01\x00\x03\x0bapi.example\x01\xbb"))
	f.Add([]byte("\x02\x00\x02\x01\x06aigate\x01x\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := &Explicit{user: "aigate", password: "x"}
		in := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(b), io.Discard}
		if err := x.socksSignIn(in); err != nil {
			return
		}
		if !bytes.Contains(b, []byte("\x06aigate\x01x")) {
			t.Fatalf("signed in by %q", b)
		}
		if host, port, err := socksAsk(in); err == nil && (port == 0 || len(host) > 255) {
			t.Fatalf("%q: %q, %d", b, host, port)
		}
	})
}
