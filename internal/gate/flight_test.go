package gate

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

func mustRules(t testing.TB, entries ...string) *Rules {
	t.Helper()
	r, err := NewRules(entries)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testInspector(t testing.TB) *inspector {
	return newInspector(mustRules(t, "api.example", "*.wild.example", "only.example:8443"), Dest{Name: "api.example", Port: 443})
}

// clientHelloOf is what crypto/tls says first.
func clientHelloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		tls.Client(a, config).Handshake()
		a.Close()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(b, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(b, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

func helloFor(t testing.TB, name string) []byte {
	return clientHelloOf(t, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""})
}

// A handshake message, from what it is made of.
type rawHello struct {
	version    uint16
	extensions [][]byte
	noExt      bool
	trailing   []byte
}

func (r rawHello) body() []byte {
	b := []byte{byte(r.version >> 8), byte(r.version)}
	b = append(b, make([]byte, 32)...)
	b = append(b, 0)                // session
	b = append(b, 0, 2, 0x13, 0x01) // ciphers
	b = append(b, 1, 0)             // compression
	if !r.noExt {
		all := bytes.Join(r.extensions, nil)
		b = append(append(b, byte(len(all)>>8), byte(len(all))), all...)
	}
	return append(b, r.trailing...)
}

func (r rawHello) bytes() []byte { return records(handshakeOf(r.body()), 1<<14) }

func handshakeOf(body []byte) []byte {
	return append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// records cuts a message into records of n bytes.
func records(message []byte, n int) []byte {
	var out []byte
	for len(message) > 0 {
		part := message[:min(n, len(message))]
		message = message[len(part):]
		out = append(append(out, 0x16, 3, 1, byte(len(part)>>8), byte(len(part))), part...)
	}
	return out
}

func ext(kind int, data ...byte) []byte {
	return append([]byte{byte(kind >> 8), byte(kind), byte(len(data) >> 8), byte(len(data))}, data...)
}

func sni(names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = append(append(list, 0, byte(len(n)>>8), byte(len(n))), n...)
	}
	return ext(0, append([]byte{byte(len(list) >> 8), byte(len(list))}, list...)...)
}

func withSNI(extensions ...[]byte) []byte {
	return rawHello{version: 0x303, extensions: extensions}.bytes()
}

// play feeds a stream in pieces and returns what passes, what is still held,
// and the refusal. A piece of 0 bytes stands for the end.
func play(in *inspector, pieces ...[]byte) (passed []byte, refused *refusal) {
	for _, p := range pieces {
		out, err := in.feed(p)
		if err != nil {
			return passed, err
		}
		passed = append(passed, out...)
		for in.stage == upgrading { // nobody upgrades here
			in.answered(false)
			if out, err = in.feed(nil); err != nil {
				return passed, err
			}
			passed = append(passed, out...)
		}
	}
	return passed, nil
}

func cut(b []byte, n int) (pieces [][]byte) {
	for len(b) > n {
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return append(pieces, b)
}

// A flight's answer does not depend on how it is cut.
func checkFlight(t *testing.T, flight []byte, want string, passAll bool) {
	t.Helper()
	var cuts [][][]byte
	for _, n := range []int{1, 2, 3, 5, 7, 100, len(flight) + 1} {
		cuts = append(cuts, cut(flight, n))
	}
	step := 1 + len(flight)/2000
	for at := 1; at < len(flight); at += step {
		cuts = append(cuts, [][]byte{flight[:at], flight[at:]})
	}
	for _, pieces := range cuts {
		in := testInspector(t)
		passed, refused := play(in, pieces...)
		switch {
		case refused != nil && want == "":
			t.Fatalf("cut into %d, first of %d: refused: %+v", len(pieces), len(pieces[0]), *refused)
		case refused == nil && want != "":
			t.Fatalf("cut into %d, first of %d: passed %q, want refusal %q", len(pieces), len(pieces[0]), passed, want)
		case refused != nil && !strings.Contains(refused.kind+": "+refused.name+" "+refused.reason, want):
			t.Fatalf("cut into %d, first of %d: refusal %+v, want %q", len(pieces), len(pieces[0]), *refused, want)
		case refused == nil && passAll && !bytes.Equal(passed, flight):
			t.Fatalf("cut into %d, first of %d: passed %d of %d bytes", len(pieces), len(pieces[0]), len(passed), len(flight))
		case !bytes.HasPrefix(flight, passed):
			t.Fatalf("cut into %d: passed what was not sent: %q", len(pieces), passed)
		}
	}
}

func TestFlightTLS(t *testing.T) {
	good := sni("api.example")
	var many [][]byte
	for i := range 3000 {
		many = append(many, ext(0x1000+i, 1, 2, 3))
	}
	for name, c := range map[string]struct {
		flight []byte
		want   string
	}{
		"an allowed name":             {helloFor(t, "api.example"), ""},
		"upper case":                  {withSNI(sni("API.Example")), ""},
		"below a wildcard":            {helloFor(t, "a.b.wild.example"), ""},
		"early data behind it":        {append(withSNI(good), "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x05hello"...), ""},
		"a big one":                   {withSNI(append(many, good)...), ""},
		"in records of one byte":      {records(handshakeOf(rawHello{version: 0x303, extensions: [][]byte{good}}.body()), 1), ""},
		"in records of five":          {records(helloFor(t, "api.example")[5:], 5), ""},
		"TLS 1.0":                     {rawHello{version: 0x301, extensions: [][]byte{good}}.bytes(), ""},
		"another name":                {helloFor(t, "evil.example"), "tls: evil.example TLS server name, on a connection to api.example"},
		"another name in small parts": {records(helloFor(t, "evil.example")[5:], 3), "tls: evil.example"},
		"the wildcard's own name":     {helloFor(t, "wild.example"), "tls: wild.example"},
		"a name of another port":      {helloFor(t, "only.example"), "tls: only.example"},
		"no name":                     {helloFor(t, ""), "without a server name"},
		"no extensions":               {rawHello{version: 0x301, noExt: true}.bytes(), "without a server name"},
		"an address":                  {withSNI(sni("192.0.2.1")), "no host name"},
		"a NUL in the name":           {withSNI(sni("api.example\x00.evil.example")), "no host name"},
		"a name beyond ASCII":         {withSNI(sni("\uff41pi.example")), "no host name"},
		"two server names":            {withSNI(sni("api.example", "evil.example")), "does not parse"},
		"the extension twice":         {withSNI(good, sni("evil.example")), "does not parse"},
		"twice, allowed last":         {withSNI(sni("evil.example"), good), "does not parse"},
		"an empty name":               {withSNI(sni("")), "does not parse"},
		"another type of name":        {withSNI(ext(0, 0, 4, 1, 0, 1, 'a')), "does not parse"},
		"ECH":                         {withSNI(good, ext(0xfe0d, 0, 1, 2)), "encrypted server name"},
		"ESNI":                        {withSNI(good, ext(0xffce, 0)), "encrypted server name"},
		"ECH in front":                {withSNI(ext(0xfe0d), good), "encrypted server name"},
		"bytes behind the extensions": {rawHello{version: 0x303, extensions: [][]byte{good}, trailing: []byte{0}}.bytes(), "does not parse"},
		"version 2":                   {rawHello{version: 0x203, extensions: [][]byte{good}}.bytes(), "does not parse"},
		"more in the last record":     {records(append(handshakeOf(rawHello{version: 0x303, extensions: [][]byte{good}}.body()), 1, 0, 0, 0), 1<<14), "more in its last record"},
		"an alert in between":         {[]byte("\x16\x03\x01\x00\x02\x01\x00\x15\x03\x01\x00\x02\x01\x00"), "a record in between"},
		"an empty record":             {[]byte("\x16\x03\x01\x00\x00"), "record of 0 bytes"},
		"an over-long record":         {[]byte("\x16\x03\x01\x40\x01"), "record of 16385 bytes"},
		"a length of 1 MiB":           {[]byte("\x16\x03\x01\x00\x04\x01\x10\x00\x00"), "more than 64 KiB"},
		"a record of another message": {[]byte("\x16\x03\x01\x00\x04\x02\x00\x00\x00"), "does not begin with a ClientHello"},
		"an alert first":              {append([]byte("\x15\x03\x01\x00\x02\x01\x00"), helloFor(t, "evil.example")...), "does not begin with a ClientHello"},
		"an alert of no version":      {append([]byte("\x15\x00\x00\x00\x02\x01\x00"), helloFor(t, "evil.example")...), "unknown version"},
		"a hello of no version":       {append([]byte("\x16\x00\x00"), helloFor(t, "evil.example")[3:]...), "unknown version"},
		"an alert of version 1":       {append([]byte("\x15\x01\x00\x00\x02\x01\x00"), helloFor(t, "evil.example")...), "unknown version"},
		"a hello of version 15":       {append([]byte("\x16\x0f\x00"), helloFor(t, "evil.example")[3:]...), "unknown version"},
		"change_cipher_spec first":    {append([]byte("\x14\x03\x03\x00\x01\x01"), helloFor(t, "evil.example")...), "does not begin with a ClientHello"},
		"SSL 2.0":                     {[]byte("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"), "SSL 2.0"},
		"TLS 1.0 in SSL 2.0's form":   {[]byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"), "SSL 2.0"},
	} {
		t.Run(name, func(t *testing.T) { checkFlight(t, c.flight, c.want, true) })
	}
}

func TestFlightOther(t *testing.T) {
	for name, c := range map[string]struct {
		flight string
		want   string
	}{
		"ssh":                      {"SSH-2.0-OpenSSH_9.6\r\n\x00\x00", ""},
		"ssh with a comment":       {"SSH-2.0-OpenSSH_9.6 Debian\r\n", ""},
		"smtp":                     {"EHLO me\r\nMAIL FROM:<a>\r\n", ""},
		"imap":                     {"a1 LOGIN x y\r\n", ""},
		"redis":                    {"*1\r\n$4\r\nPING\r\n", ""},
		"redis by hand":            {"GET key\r\n", ""},
		"memcached":                {"get key\r\n", ""},
		"nats":                     {"CONNECT {\"verbose\":false}\r\n", ""},
		"git":                      {"0032git-upload-pack /project.git\x00host=h\x00", ""},
		"git without a blank":      {"\x00\x00", ""},
		"postgres":                 {"\x00\x00\x00\x08\x04\xd2\x16\x2f", ""},
		"mysql":                    {"\x20\x00\x00\x01\x85\xae\xff\x00", ""},
		"mongodb":                  {"\x3a\x00\x00\x00\x01\x00\x00\x00", ""},
		"mongodb, 22 bytes of 256": {"\x16\x01\x00\x00\x01\x00\x00\x00\x00\x00", ""},
		"mongodb, 21 bytes of 256": {"\x15\x01\x00\x00\x01\x00\x00\x00\x00\x00", ""},
		"amqp":                     {"AMQP\x00\x00\x09\x01", ""},
		"vnc":                      {"RFB 003.008\n", ""},
		"rtsp":                     {"OPTIONS rtsp://a/ RTSP/1.0\r\n\r\n", "request line"},
		"rtsp with a host":         {"POST /x RTSP/1.0\r\nHost: evil.example\r\n\r\n", "request line"},
		"icecast":                  {"SOURCE /x ICE/1.0\r\nHost: evil.example\r\n\r\n", "request line"},
		"a service":                {"USE SERVICE/1\r\n", ""},
		"file separators":          {"GET\x1c/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "request line"},
		"next lines":               {"GET\x85/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "request line"},
		"hard blanks":              {"GET\xa0/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "request line"},
		"HTTP/0.9, hard blank":     {"GET\xa0/\r\n", "HTTP/0.9"},
		"a comma":                  {"GET, / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"brackets":                 {"(GET) / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"a NUL":                    {"\x00GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"a NUL behind":             {"GET\x00 / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"a NUL further behind":     {"FOO \x00 / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"bytes":                    {"\x16\x10\x00GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"high bytes, a request":    {"\xff\xfeGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "no request"},
		"HTTP/ in a later line":    {"{\nHTTP/1.1\n", ""},
		"high bytes":               {"\x80\x00", ""},
		"high bytes, more":         {"\xff\xfe\xfd\xfc", ""},
		"like SSL 2.0":             {"\x80\x2e\x01\x05\x01", ""},
		"HTTP/2":                   {preface + "\x00\x00\x00\x04", ""},
		"HTTP/2 and a request":     {"PRI * HTTP/2.0\r\nHost: evil.example\r\n\r\n", "begins like HTTP/2"},
		"PROXY":                    {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "PROXY protocol"},
		"PROXY, binary":            {"\r\n\r\n\x00\r\nQUIT\n", "empty line"},
		"empty lines":              {"\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "empty line"},
		"a blank":                  {" GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a tab":                    {"\t\t GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a blank and a line":       {" \r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a unit separator":         {"\x1fGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a next line":              {"\x85GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a hard blank":             {"\xa0GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a blank and a NUL":        {" GET /\x00 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "white space in front"},
		"a blank, HTTP/0.9":        {" GET /\r\n", "white space in front"},
		"a blank and a word":       {" hello\r\n", ""},
		"a blank and bytes":        {"\x20a\x00\x01", ""},
		"mysql, 133 bytes":         {"\x85\x00\x00\x01\x85\xa6\xff\x20", ""},
		"mysql, 160 bytes":         {"\xa0\x00\x00\x01\x85\xa6\xff\x20", ""},
		"HTTP/0.9":                 {"GET /\r\n", "HTTP/0.9"},
		"HTTP/0.9 of another":      {"GET http://evil.example/\r\n", "HTTP/0.9"},
		"tabs":                     {"GET\t/\tHTTP/1.1\r\nHost: evil.example\r\n\r\n", "request line"},
		"form feeds":               {"GET\f/\fHTTP/1.1\r\nHost: evil.example\r\n\r\n", "request line"},
		"carriage returns":         {"GET\r/\rHTTP/1.1\r\nHost: evil.example\r\n\r\n", "request line"},
		"a NUL in a request":       {"GET /\x00 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "http: "},
		"lower case":               {"get / http/1.1\r\nhost: evil.example\r\n\r\n", "request line"},
	} {
		t.Run(name, func(t *testing.T) { checkFlight(t, []byte(c.flight), c.want, true) })
	}
}

// A client that says little and then waits must not be kept waiting for more.
func TestFlightAtOnce(t *testing.T) {
	for _, flight := range []string{"\x00", "\x05\x01\x00", "\x20\x00", " \x01", "\x85\x00\x00", "{", "SSH-2.0-x\r\n", "PING\r\n", "0000 a\x00", "\x16\x10", "\x17\x01", "\x80\x01\x02"} {
		in := testInspector(t)
		passed, refused := play(in, []byte(flight))
		if refused != nil || string(passed) != flight || in.stage != opened && in.stage != inLine {
			t.Errorf("%q: passed %q, stage %d, %v", flight, passed, in.stage, refused)
		}
	}
}

func TestFlightEnd(t *testing.T) {
	for flight, want := range map[string]string{
		"ruok":                           "",
		"a b":                            "",
		"":                               "",
		"\x16":                           "",
		"\x16\x03\x01":                   "ClientHello without an end",
		"GET /":                          "request without an end",
		"FOO / HTTP/1.1":                 "request without an end",
		"GET / HTTP/1.1\r\nHost: e\r\n":  "request without an end",
		"GET / HTTP/1.0\r\nHost: api.ex": "request without an end",
	} {
		in := testInspector(t)
		passed, refused := play(in, []byte(flight))
		rest, atEnd := in.end()
		switch {
		case refused != nil || len(passed) != 0:
			t.Errorf("%q: passed %q %v before the end", flight, passed, refused)
		case want == "" && (atEnd != nil || string(rest) != flight):
			t.Errorf("%q: %q %v at the end", flight, rest, atEnd)
		case want != "" && (atEnd == nil || !strings.Contains(atEnd.reason, want)):
			t.Errorf("%q: %q %v at the end, want %q", flight, rest, atEnd, want)
		}
	}
}

func TestFlightTooLong(t *testing.T) {
	for name, flight := range map[string]string{
		"a ClientHello": "\x16\x03\x01\x00\x04\x01\x00\xff\xf0" + strings.Repeat("\x16\x03\x01\x00\x01x", 11000),
		"a word":        strings.Repeat("a", 70000),
		"a line":        "GET /" + strings.Repeat("a", 70000),
		"a head":        "GET / HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", 12000),
		"a whole head":  "GET / HTTP/1.1\r\nHost: api.example\r\n" + strings.Repeat("a: b\r\n", 12000) + "\r\n",
		"a trailer":     "POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a: b\r\n", 12000) + "\r\n",
	} {
		for _, n := range []int{1, 1000, 1 << 20} {
			_, refused := play(testInspector(t), cut([]byte(flight), n)...)
			if refused == nil || !strings.Contains(refused.reason, "more than 64 KiB") {
				t.Errorf("%s in pieces of %d: %v", name, n, refused)
			}
		}
	}
}

// FuzzClientHello compares with crypto/tls: what passes, its server reads as a
// ClientHello for an allowed name, if it reads it at all.
func FuzzClientHello(f *testing.F) {
	for _, name := range []string{"api.example", "evil.example", "x.wild.example", ""} {
		h := helloFor(f, name)
		f.Add(h)
		f.Add(records(h[5:], 7))
	}
	f.Add(withSNI(sni("api.example"), sni("evil.example")))
	f.Add([]byte("\x15\x03\x01\x00\x02\x01\x00\x16\x03\x01"))
	cert := []tls.Certificate{{Certificate: [][]byte{{0}}}}
	f.Fuzz(func(t *testing.T, flight []byte) {
		in := testInspector(t)
		passed, refused := play(in, cut(flight, 100)...)
		if whole, again := play(testInspector(t), flight); (again == nil) != (refused == nil) || !bytes.Equal(passed, whole) {
			t.Fatalf("in one piece %q %v, in many %q %v", whole, again, passed, refused)
		}
		if len(passed) == 0 {
			return
		}
		var seen *string
		server := tls.Server(&oneWay{r: bytes.NewReader(passed)}, &tls.Config{
			Certificates: cert,
			GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				seen = &h.ServerName
				return nil, fmt.Errorf("seen")
			},
		})
		server.Handshake()
		if seen == nil {
			return
		}
		name, ok := NormalName(*seen)
		if allowed, _ := in.rules.AllowsName(name, 443); !ok || !allowed {
			t.Fatalf("crypto/tls sees %q in %q", *seen, passed)
		}
	})
}

// oneWay is a connection whose other end said all it has to say.
type oneWay struct {
	net.Conn
	r io.Reader
}

func (o *oneWay) Read(b []byte) (int, error)  { return o.r.Read(b) }
func (o *oneWay) Write(b []byte) (int, error) { return len(b), nil }
func (o *oneWay) Close() error                { return nil }
