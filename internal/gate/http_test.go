package gate

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const okHead = "GET / HTTP/1.1\r\nHost: api.example\r\n\r\n"

func TestFlightHTTP(t *testing.T) {
	evil := "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
	for name, c := range map[string]struct {
		flight string
		want   string
	}{
		"a request":                       {okHead, ""},
		"with a port":                     {"GET / HTTP/1.1\r\nHost: api.example:443\r\n\r\n", ""},
		"upper case, dot":                 {"GET / HTTP/1.1\r\nHOST:API.example. \r\n\r\n", ""},
		"below a wildcard":                {"GET / HTTP/1.1\r\nHost: x.y.wild.example\r\n\r\n", ""},
		"absolute":                        {"GET http://api.example/x HTTP/1.1\r\nHost: api.example\r\n\r\n", ""},
		"absolute with a query":           {"GET HTTPS://api.example?x HTTP/1.1\r\nHost: api.example\r\n\r\n", ""},
		"asterisk":                        {"OPTIONS * HTTP/1.1\r\nHost: api.example\r\n\r\n", ""},
		"a method of its own":             {"M-SEARCH / HTTP/1.1\r\nHost: api.example\r\n\r\n", ""},
		"UTF-8 in the path":               {"GET /\u00fc HTTP/1.1\r\nHost: api.example\r\n\r\n", ""},
		"1.0 without Host":                {"GET / HTTP/1.0\r\n\r\n", ""},
		"keep-alive":                      {okHead + okHead + okHead, ""},
		"HEAD, then another":              {"HEAD / HTTP/1.1\r\nHost: api.example\r\n\r\n" + okHead, ""},
		"length":                          {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n\r\nhello" + okHead, ""},
		"a body that looks like another":  {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 38\r\n\r\n" + evil + okHead, ""},
		"chunks":                          {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n" + okHead, ""},
		"chunks and a trailer":            {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nDigest: x\r\nB: y\r\n\r\n" + okHead, ""},
		"expect":                          {"POST / HTTP/1.1\r\nHost: api.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok" + okHead, ""},
		"an upgrade that is refused":      {"GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\n\r\n" + okHead, ""},
		"a later upgrade that is refused": {okHead + "GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\n\r\n" + okHead, ""},
		"a body and an upgrade":           {"POST / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello" + okHead, ""},

		"another name":                     {evil, "http: evil.example Host of a request, on a connection to api.example"},
		"another name, second":             {okHead + evil, "evil.example"},
		"another name after a body":        {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n\r\nhello" + evil, "evil.example"},
		"another name after chunks":        {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + evil, "evil.example"},
		"another name after HEAD":          {"HEAD / HTTP/1.1\r\nHost: api.example\r\n\r\n" + evil, "evil.example"},
		"another name after an upgrade":    {"GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\n\r\n" + evil, "evil.example"},
		"frames after a later upgrade":     {okHead + "GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: websocket\r\n\r\n\x81\x85\x00\x00\r\n\r\n", "only the first request"},
		"another name in the target":       {"GET http://evil.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "evil.example"},
		"another name in the field":        {"GET http://api.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "evil.example"},
		"1.0 with another name":            {"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n", "evil.example"},
		"1.0, another name in the target":  {"GET http://evil.example/ HTTP/1.0\r\n\r\n", "evil.example"},
		"the port of another rule missing": {"GET / HTTP/1.1\r\nHost: only.example\r\n\r\n", "only.example"},
		"a port that another rule names":   {"GET / HTTP/1.1\r\nHost: only.example:8443\r\n\r\n", "only.example"},
		"the same in the target":           {"GET http://only.example:8443/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "only.example"},
		"a port that no rule names":        {"GET / HTTP/1.1\r\nHost: only.example:80\r\n\r\n", "only.example"},
		"user in the target":               {"GET http://api.example@evil.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "no"},
		"backslash in the target":          {"GET http://evil.example\\@api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "no"},
		"an address":                       {"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "not a host name"},
		"an IPv6 address":                  {"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "not a host name"},
		"two names in one field":           {"GET / HTTP/1.1\r\nHost: api.example, evil.example\r\n\r\n", "not a host name"},
		"letters beyond ASCII":             {"GET / HTTP/1.1\r\nHost: \uff41pi.example\r\n\r\n", "not a host name"},
		"no port behind a colon":           {"GET / HTTP/1.1\r\nHost: api.example:\r\n\r\n", "not a host name"},
		"port 0":                           {"GET / HTTP/1.1\r\nHost: api.example:0\r\n\r\n", "not a host name"},
		"port 65979":                       {"GET / HTTP/1.1\r\nHost: api.example:65979\r\n\r\n", "not a host name"},
		"port +443":                        {"GET / HTTP/1.1\r\nHost: api.example:+443\r\n\r\n", "not a host name"},
		"no Host":                          {"GET / HTTP/1.1\r\nA: b\r\n\r\n", "no Host"},
		"empty Host":                       {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "empty Host"},
		"two Hosts":                        {"GET / HTTP/1.1\r\nHost: api.example\r\nhost: api.example\r\n\r\n", "more than one Host"},
		"CONNECT":                          {"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n", "CONNECT"},
		"connect":                          {"connect api.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n", "CONNECT"},
		"length and chunked":               {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"},
		"two lengths":                      {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "more than one Content-Length"},
		"a list of lengths":                {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5, 5\r\n\r\n", "not a number"},
		"length +5":                        {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: +5\r\n\r\n", "not a number"},
		"length 0x5":                       {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 0x5\r\n\r\n", "not a number"},
		"no length":                        {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: \r\n\r\n", "not a number"},
		"a length of 19 digits":            {"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 9999999999999999999\r\n\r\n", "not a number"},
		"gzip, chunked":                    {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "other than chunked"},
		"identity":                         {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: identity\r\n\r\n", "other than chunked"},
		"chunked twice":                    {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "other than chunked"},
		"chunked in 1.0":                   {"POST / HTTP/1.0\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n", "other than chunked"},
		"a folded line":                    {"GET / HTTP/1.1\r\nHost: api.example\r\n evil.example\r\n\r\n", "field that is not"},
		"a folded first line":              {"GET / HTTP/1.1\r\n Host: evil.example\r\nHost: api.example\r\n\r\n", "field that is not"},
		"a blank before the colon":         {"GET / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding : chunked\r\n\r\n", "field that is not"},
		"no colon":                         {"GET / HTTP/1.1\r\nHost: api.example\r\nx\r\n\r\n", "field that is not"},
		"a bare CR":                        {"GET / HTTP/1.1\r\nHost: api.example\r\nA: b\rHost: evil.example\r\n\r\n", "control character"},
		"a NUL":                            {"GET / HTTP/1.1\r\nHost: api.example\r\nA: b\x00\r\n\r\n", "control character"},
		"bare LFs":                         {"GET / HTTP/1.1\nHost: evil.example\n\n", "without a carriage return"},
		"one bare LF":                      {"GET / HTTP/1.1\r\nHost: api.example\nContent-Length: 4\r\n\r\n", "without a carriage return"},
		"an empty line between":            {okHead + "\r\n" + okHead, "empty line"},
		"HTTP/1.2":                         {"GET / HTTP/1.2\r\nHost: api.example\r\n\r\n", "does not end in"},
		"HTTP/1.1 and a blank":             {"GET / HTTP/1.1 \r\nHost: api.example\r\n\r\n", "does not end in"},
		"two blanks":                       {"GET  / HTTP/1.1\r\nHost: api.example\r\n\r\n", "not method, target and version"},
		"a blank in the target":            {"GET /a b HTTP/1.1\r\nHost: api.example\r\n\r\n", "does not end in"},
		"a target of ftp":                  {"GET ftp://api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "neither a path"},
		"a target without a slash":         {"GET evil.example HTTP/1.1\r\nHost: api.example\r\n\r\n", "neither a path"},
		"a target without a host":          {"GET http:///x HTTP/1.1\r\nHost: api.example\r\n\r\n", "without a host"},
		"GET *":                            {"GET * HTTP/1.1\r\nHost: api.example\r\n\r\n", "neither a path"},
		"an extension of a chunk":          {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n", "plain size"},
		"a chunk's size and LF":            {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n", "plain size"},
		"a chunk without a size":           {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "plain size"},
		"a chunk of 0x5":                   {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n", "plain size"},
		"a chunk of 16 digits":             {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "plain size"},
		"a chunk of 16 zeros":              {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000\r\n", "plain size"},
		"a longer chunk than said":         {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n", "chunk without an end"},
		"Host in the trailer":              {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: evil.example\r\n\r\n", "trailer Host"},
		"a length in the trailer":          {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ncontent-length: 3\r\n\r\n", "trailer content-length"},
		"a trailer with bare LF":           {"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n", "without a carriage return"},
	} {
		t.Run(name, func(t *testing.T) { checkFlight(t, []byte(c.flight), c.want, true) })
	}
}

// What is before a refused request in the stream has passed, the request itself
// has not, not a byte of it.
func TestFlightHoldsHeads(t *testing.T) {
	flight := okHead + "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
	for at := 1; at <= len(flight); at++ {
		passed, refused := play(testInspector(t), []byte(flight[:at]))
		switch {
		case refused != nil && at < len(flight):
			t.Fatalf("refused after %d bytes: %v", at, refused)
		case refused != nil:
		case at >= len(okHead) && string(passed) != okHead, at < len(okHead) && len(passed) > 0:
			t.Fatalf("after %d bytes %q has passed", at, passed)
		}
	}
}

func TestUpgrade(t *testing.T) {
	ask := "GET / HTTP/1.1\r\nHost: api.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
	in := testInspector(t)
	passed, refused := in.feed([]byte(ask + "\x81\x05hello"))
	if refused != nil || string(passed) != ask || in.stage != upgrading {
		t.Fatalf("passed %q, %v, stage %d", passed, refused, in.stage)
	}
	in.answered(true)
	if passed, refused = in.feed(nil); refused != nil || string(passed) != "\x81\x05hello" || in.stage != opened {
		t.Fatalf("after 101 passed %q, %v", passed, refused)
	}
}

// A later request's upgrade holds nothing: its answer could not be told from
// what a body says.
func TestLateUpgrade(t *testing.T) {
	flight := okHead + "GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: websocket\r\n\r\n" + okHead
	in := testInspector(t)
	if passed, refused := in.feed([]byte(flight)); refused != nil || string(passed) != flight || in.stage != inHead || in.asks {
		t.Fatalf("passed %q, %v, stage %d", passed, refused, in.stage)
	}
}

func TestStatusWatch(t *testing.T) {
	for name, c := range map[string]struct {
		said    string
		decided bool
		agreed  bool
	}{
		"101":                   {"HTTP/1.1 101 Switching Protocols\r\n", true, true},
		"101 without a reason":  {"HTTP/1.1 101\r\n", true, true},
		"100, then 101":         {"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 101 x\r\n", true, true},
		"103, then 200":         {"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n", true, false},
		"200":                   {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 x\r\n", true, false},
		"101 in a field of 103": {"HTTP/1.1 103 Hints\r\nHTTP/1.1 101 x\r\n\r\nHTTP/1.1 200 OK\r\n", true, false},
		"1010":                  {"HTTP/1.1 1010 x\r\n", true, false},
		"HTTP/1.0":              {"HTTP/1.0 101 x\r\n", true, false},
		"something else":        {"hello\n", true, false},
		"nothing yet":           {"HTTP/1.1 101", false, false},
		"no end":                {strings.Repeat("x", 20000), true, false},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			w, decided := newStatusWatch(), false
			for _, piece := range cut([]byte(c.said), n) {
				if decided = w.feed(piece); decided {
					break
				}
			}
			if decided != c.decided || w.agreed != c.agreed {
				t.Errorf("%s in pieces of %d: decided %v, agreed %v", name, n, decided, w.agreed)
			}
		}
	}
}

// FuzzHTTP compares with net/http's server: in what passes, it sees allowed
// hosts only.
func FuzzHTTP(f *testing.F) {
	f.Add([]byte(okHead + okHead))
	f.Add([]byte("POST /x HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n" + okHead))
	f.Add([]byte("POST http://api.example/ HTTP/1.0\r\nContent-Length: 3\r\nHost: api.example:443\r\n\r\nabcGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\nTransfer-Encoding : chunked\r\n folded\r\n\r\n"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte("\r\nGET\t/ HTTP/1.1\nHost:evil.example\n\n"))
	f.Add([]byte(" 0\x000000HTTP/0"))
	f.Fuzz(func(t *testing.T, flight []byte) {
		in := testInspector(t)
		passed, refused := play(in, cut(flight, 11)...)
		if whole, again := play(testInspector(t), flight); (again == nil) != (refused == nil) || refused == nil && !bytes.Equal(passed, whole) {
			t.Fatalf("in one piece %q %v, in many %q %v", whole, again, passed, refused)
		}
		if !bytes.HasPrefix(flight, passed) {
			t.Fatalf("%q passed, of %q", passed, flight)
		}
		if refused == nil {
			rest, _ := in.end()
			passed = append(passed, rest...)
		}
		r := bufio.NewReader(bytes.NewReader(passed))
		for {
			req, err := http.ReadRequest(r)
			if err != nil || req.ProtoMajor != 1 {
				return
			}
			// What a server decides by is the target's host, or the field's; HTTP/1.0 may have neither.
			if host := req.Host; host != "" || req.ProtoMinor > 0 {
				if refused := in.judgeHost(host); refused != nil {
					t.Fatalf("net/http sees host %q in %q (%s)", host, passed, refused.reason)
				}
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
	})
}
