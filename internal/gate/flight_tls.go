package gate

import "fmt"

const (
	clientHello = 1       // the type of the handshake message
	maxRecord   = 1 << 14 // RFC 8446, 5.1

	extServerName = 0
	extVersions   = 43     // supported_versions
	extECH        = 0xfe0d // RFC 9849
	extESNI       = 0xffce // its first drafts
)

// readHello puts the ClientHello together from its records. A client may cut it
// into as many as it likes (RFC 8446, 5.1), but nothing may come in between, and
// its last record ends where it ends.
func (in *inspector) readHello(b []byte) (pass int, err *refusal) {
	bad := func(reason string) (int, *refusal) { return 0, badTLS(reason) }
	for {
		record := b[in.off:]
		if len(record) > 0 && record[0] != 0x16 || len(record) > 1 && record[1] != 3 {
			return bad("not a ClientHello: a record in between")
		}
		if len(record) < 5 {
			return 0, nil
		}
		length := int(record[3])<<8 | int(record[4])
		if length == 0 || length > maxRecord {
			return bad("not a ClientHello: a record of " + fmt.Sprint(length) + " bytes")
		}
		if len(record) < 5+length {
			return 0, nil
		}
		in.hello = append(in.hello, record[5:5+length]...)
		in.off += 5 + length
		if in.hello[0] != clientHello {
			return bad("does not begin with a ClientHello")
		}
		if len(in.hello) < 4 {
			continue
		}
		switch body := 4 + (int(in.hello[1])<<16 | int(in.hello[2])<<8 | int(in.hello[3])); {
		case body > maxFlight:
			return bad("ClientHello of more than 64 KiB")
		case len(in.hello) > body:
			return bad("not a ClientHello: more in its last record")
		case len(in.hello) == body:
			return in.off, in.judgeHello(in.hello[4:])
		}
	}
}

func (in *inspector) judgeHello(body []byte) *refusal {
	hello, ok := parseHello(body)
	bad := func(name, reason string) *refusal { return &refusal{kind: "tls", name: name, reason: reason} }
	switch {
	case !ok:
		return bad("", "ClientHello that does not parse")
	case hello.encrypted:
		return bad("", "encrypted server name (ECH, or what looks like it); turn it off in the program: Chrome by "+
			"--disable-features=EncryptedClientHello, Firefox by network.dns.echconfig.enabled and security.tls.ech.grease_probability")
	case hello.name == "":
		return bad("", "TLS without a server name")
	}
	name, ok := wireName(hello.name)
	if !ok {
		return bad("", fmt.Sprintf("TLS server name %.80q is no host name", hello.name))
	}
	if ok, _ := in.rules.AllowsName(name, in.dest.Port); !ok {
		return bad(name, "TLS server name, on a connection to "+in.dest.Name)
	}
	in.hello = nil
	if in.stage = opened; hello.retries && !in.retried {
		in.stage, in.asks = behindHello, true
	}
	return nil
}

func badTLS(reason string) *refusal { return &refusal{kind: "tls", reason: reason} }

// wireName is NormalName for a name in TLS or HTTP, where it has to be ASCII:
// a server does not map what the sender did not.
func wireName(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return "", false
		}
	}
	return NormalName(s)
}

// A hello is what is asked of a ClientHello.
type hello struct {
	name      string // host_name of the extension server_name, "" without
	encrypted bool   // there is another one, or something that looks like it (GREASE)
	retries   bool   // it may be answered by a HelloRetryRequest, which came with TLS 1.3
}

// parseHello takes a ClientHello (RFC 8446, 4.1.2) and nothing else: every
// length has to be that of what is there.
func parseHello(body []byte) (hello, bool) {
	var h hello
	r := wire(body)
	version, ok := r.take(2)
	ok = ok && version[0] == 3
	_, random := r.take(32)
	session, s := r.vector(1)
	ciphers, c := r.vector(2)
	methods, m := r.vector(1)
	if !ok || !random || !s || !c || !m || len(session) > 32 || len(ciphers) < 2 || len(ciphers)%2 != 0 || len(methods) < 1 {
		return h, false
	}
	if len(r) == 0 { // before TLS 1.2 there may be none
		return h, true
	}
	extensions, ok := r.vector(2)
	if !ok || len(r) != 0 {
		return h, false
	}
	for named := false; len(extensions) > 0; {
		kind, k := extensions.number()
		data, d := extensions.vector(2)
		if !k || !d {
			return h, false
		}
		switch kind {
		case extECH, extESNI:
			h.encrypted = true
		case extVersions:
			h.retries = true
		case extServerName:
			if named { // which of two a server takes is its own affair
				return h, false
			}
			named = true
			if h.name, ok = parseServerName(data); !ok {
				return h, false
			}
		}
	}
	return h, true
}

// parseServerName takes a list of exactly one host_name (RFC 6066, 3; no other
// type was ever defined).
func parseServerName(data wire) (string, bool) {
	list, l := data.vector(2)
	kind, k := list.take(1)
	name, n := list.vector(2)
	if !l || !k || !n || len(data) != 0 || len(list) != 0 || kind[0] != 0 || len(name) == 0 {
		return "", false
	}
	return string(name), true
}

// wire is what is left of a message in TLS's notation.
type wire []byte

func (w *wire) take(n int) (wire, bool) {
	if len(*w) < n {
		return nil, false
	}
	taken := (*w)[:n]
	*w = (*w)[n:]
	return taken, true
}

func (w *wire) number() (int, bool) {
	b, ok := w.take(2)
	if !ok {
		return 0, false
	}
	return int(b[0])<<8 | int(b[1]), true
}

// vector takes a length of so many bytes and what it is the length of.
func (w *wire) vector(lengthBytes int) (wire, bool) {
	b, ok := w.take(lengthBytes)
	if !ok {
		return nil, false
	}
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return w.take(n)
}
