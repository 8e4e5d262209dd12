package gate

import (
	"bytes"
)

// maxFlight is how much of what a client sends is held while it is judged: a
// ClientHello, or the head of an HTTP request.
const maxFlight = 64 << 10

// An inspector judges what a program inside sends to a name that the rules
// allow. Such a name often stands for machines that serve thousands of others
// as well, and which one is meant is said in the stream: so a name said there
// has to be an allowed one too.
//
// What it tells apart by the first bytes:
//
//   - TLS: the ClientHello has to parse, with a server name that is allowed and
//     no encrypted one. After it the stream is opaque, and passes.
//   - HTTP/1: every request is judged (http.go).
//   - HTTP/2 in clear, by its preface, and anything else (ssh, databases):
//     passes. The destination is the name.
//
// Servers are lenient in what they take for TLS or HTTP, each in its own way.
// So what one of them could take for either, but is not as the standard wants
// it, is refused.
//
// An inspector does no I/O, so that tests can cut streams wherever they like.
type inspector struct {
	rules *Rules
	dest  Dest

	stage stage
	held  []byte // came, and may not pass yet
	off   int    // how much of held this stage has seen
	token int    // the length of the first word, 0 if not known
	hello []byte // the ClientHello without its record headers
	left  int64  // of a body or chunk
	next  stage  // behind a body
	first bool   // the request is the connection's first
	asks  bool   // and it asks for an upgrade
	late  bool   // the last one asked for an upgrade, and was not the first
}

type stage int

const (
	sniffing  stage = iota
	inHello         // TLS
	inPreface       // HTTP/2
	inHead          // HTTP/1, and so are the rest:
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	upgrading // the server is to say whether the stream goes on as something else
	opened    // nothing is judged any more
)

// A refusal ends a connection, and becomes an Event.
type refusal struct {
	kind   string // as in Event
	name   string // what was asked for, "" for the destination's name
	reason string
}

func newInspector(rules *Rules, dest Dest) *inspector {
	return &inspector{rules: rules, dest: dest, first: true}
}

// feed takes what the client sent and returns what may be passed on, which is
// valid until the next call.
func (in *inspector) feed(b []byte) ([]byte, *refusal) {
	if len(in.held) > 0 {
		in.held = append(in.held, b...)
		b = in.held
	}
	n, err := in.advance(b)
	if err != nil {
		return nil, err
	}
	rest := b[n:]
	switch {
	case len(rest) > maxFlight && in.stage != upgrading:
		return nil, in.tooLong()
	case len(rest) == 0:
		in.held = nil
	case len(in.held) > 0:
		in.held = rest
	default:
		in.held = append([]byte(nil), rest...)
	}
	return b[:n], nil
}

// advance says how many bytes of b may pass.
func (in *inspector) advance(b []byte) (pass int, err *refusal) {
	for pass < len(b) {
		before := in.stage
		n, err := in.step(b[pass:])
		if err != nil {
			return 0, err
		}
		if n == 0 && in.stage == before {
			break
		}
		pass += n
		in.off = 0
	}
	return pass, nil
}

// step takes b, which is not empty, one stage further. When it neither passes
// anything nor changes the stage, more is needed.
func (in *inspector) step(b []byte) (pass int, err *refusal) {
	switch in.stage {
	case sniffing:
		return 0, in.sniff(b)
	case inHello:
		return 0, in.readHello(b)
	case inPreface:
		return 0, in.readPreface(b)
	case upgrading:
		return 0, nil
	case opened:
		return len(b), nil
	}
	return in.readHTTP(b)
}

func (in *inspector) tooLong() *refusal {
	if in.stage == inHello {
		return &refusal{kind: "tls", reason: "ClientHello of more than 64 KiB"}
	}
	return &refusal{kind: "http", reason: "head of a request of more than 64 KiB"}
}

// end returns what may still pass when the client sends no more. What was not
// told apart passes, unless it could be a request to a server that forgives a
// missing end.
func (in *inspector) end() ([]byte, *refusal) {
	switch {
	case len(in.held) == 0:
		return nil, nil
	case in.stage == inHello:
		return nil, &refusal{kind: "tls", reason: "ClientHello without an end"}
	case in.stage != sniffing || in.token > 0 && knownMethod(in.held[:in.token]) || namesHTTP(in.held):
		return nil, &refusal{kind: "http", reason: "request without an end"}
	}
	return in.held, nil
}

// stalled is for a client that began and did not go on.
func (in *inspector) stalled() *refusal {
	kind := "http"
	if in.stage == inHello || in.stage == sniffing && !tokenChar(in.held[0]) {
		kind = "tls"
	}
	return &refusal{kind: kind, reason: "the client did not go on with what it began to say"}
}

// sniff finds out what is spoken. It does not wait for more than it needs: some
// clients say a few bytes, and then wait themselves.
func (in *inspector) sniff(b []byte) *refusal {
	switch c := b[0]; {
	case c >= 0x14 && c <= 0x18:
		return in.sniffRecord(b)
	case c >= 0x80:
		if err := in.sniffSSL2(b); err != nil || in.stage != opened || !white(c) {
			return err
		}
		in.stage = sniffing
		return in.sniffIndented(b)
	case c == '\r' || c == '\n':
		// Servers skip empty lines in front of a request (RFC 9112, 2.2). The signature of the PROXY protocol's second version begins so, too.
		return &refusal{kind: "http", reason: "begins with an empty line"}
	}
	if white(b[0]) {
		return in.sniffIndented(b)
	}
	return in.sniffText(b)
}

// sniffIndented is for white space at the beginning, which some servers pass
// over in front of a request. Lengths of binary messages look like it as well
// (MySQL's request for TLS begins with 32).
func (in *inspector) sniffIndented(b []byte) *refusal {
	i := 0
	for i < len(b) && white(b[i]) {
		i++
	}
	switch {
	case i == len(b):
		return nil
	case !tokenChar(b[i]):
		in.stage = opened
		return nil
	}
	line := b[i:]
	end := bytes.IndexAny(line, "\n\x00")
	if end < 0 {
		return nil
	}
	line = line[:end]
	word := line
	for n, c := range line {
		if !tokenChar(c) {
			word = line[:n]
			break
		}
	}
	if namesHTTP(line) || knownMethod(word) {
		return &refusal{kind: "http", reason: "white space in front of a request"}
	}
	in.stage = opened
	return nil
}

// white is what one server or another takes for white space, in whatever
// encoding it reads a request.
func white(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r' || c >= 0x1c && c <= 0x1f || c == 0x85 || c == 0xa0
}

// sniffRecord is for what begins like a record of TLS. Some servers look at the
// version only after the first record, and some drop a warning or the like that
// comes before a ClientHello.
func (in *inspector) sniffRecord(b []byte) *refusal {
	const alert, handshake = 0x15, 0x16
	switch {
	case len(b) < 2:
		return nil
	case b[1] == 3 && b[0] == handshake:
		in.stage = inHello
		return nil
	case b[1] == 3:
		return &refusal{kind: "tls", reason: "does not begin with a ClientHello"}
	case b[1] >= 0x10 || b[0] != alert && b[0] != handshake:
		in.stage = opened
		return nil
	case len(b) < 6:
		return nil
	}
	length := int(b[3])<<8 | int(b[4])
	if b[0] == alert && length == 2 || b[0] == handshake && length > 0 && length <= maxRecord && b[5] == clientHello {
		return &refusal{kind: "tls", reason: "record of an unknown version"}
	}
	in.stage = opened // a length in little-endian order, as databases send it
	return nil
}

// sniffSSL2 is for the ClientHello of SSL 2.0 (RFC 5246, E.2), in which some
// servers still take later versions. It has no room for a server name.
func (in *inspector) sniffSSL2(b []byte) *refusal {
	const least = 9 + 3 + 16 // fields, one cipher, a challenge
	switch {
	case len(b) < 2:
		return nil
	case int(b[0]&0x7f)<<8|int(b[1]) < least:
		in.stage = opened
		return nil
	case len(b) < 3:
		return nil
	case b[2] != clientHello:
		in.stage = opened
		return nil
	case len(b) < 5:
		return nil
	case b[3] == 0 && b[4] == 2 || b[3] == 3 && b[4] <= 4:
		return &refusal{kind: "tls", reason: "ClientHello of SSL 2.0, which has no server name"}
	}
	in.stage = opened
	return nil
}

// sniffText is for what may be a request's first line. What servers take for
// white space in it is more than the standard's blank (RFC 9112, 3).
func (in *inspector) sniffText(b []byte) *refusal {
	if in.token == 0 {
		i := in.off
		for i < len(b) && tokenChar(b[i]) {
			i++
		}
		in.off = i
		switch {
		case i == len(b):
			return nil
		case i == 0, !bytes.ContainsRune([]byte(" \t\v\f\r"), rune(b[i])):
			in.stage = opened
			return nil
		case b[i] == '\r' && i+1 == len(b):
			return nil
		case b[i] == '\r' && b[i+1] == '\n': // "SSH-2.0-OpenSSH_9.6"
			in.stage = opened
			return nil
		}
		in.token = i
	}
	i := bytes.IndexAny(b[in.off:], "\n\x00")
	end := in.off + i
	switch {
	case i < 0:
		in.off = len(b)
	case b[end] == '\n':
		return in.firstLine(b[:end+1])
	case knownMethod(b[:in.token]) || namesHTTP(b[:end]):
		return &refusal{kind: "http", reason: "request with a NUL"}
	default:
		in.stage = opened // "0032git-upload-pack /project\0host=…"
	}
	return nil
}

func (in *inspector) firstLine(line []byte) *refusal {
	method, target := line[:in.token], bytes.TrimSpace(line[in.token:])
	switch {
	case string(line) == preface[:preLine]:
		in.stage = inPreface
	case namesHTTP(line):
		in.stage = inHead
	case string(method) == "PROXY":
		return &refusal{kind: "http", reason: "header of the PROXY protocol"}
	case string(method) == "GET" && (bytes.HasPrefix(target, []byte("/")) || bytes.Contains(target, []byte("://"))):
		return &refusal{kind: "http", reason: "request of HTTP/0.9"}
	default:
		in.stage = opened
	}
	return nil
}

// preface is what a client of HTTP/2 begins with (RFC 9113, 3.4).
const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	preLine = len("PRI * HTTP/2.0\r\n")
)

func (in *inspector) readPreface(b []byte) *refusal {
	n := min(len(b), len(preface))
	switch {
	case string(b[:n]) != preface[:n]:
		return &refusal{kind: "http", reason: "begins like HTTP/2 and is not"}
	case n == len(preface):
		in.stage = opened
	}
	return nil
}

// namesHTTP says that a server which looks for "HTTP/" finds it.
func namesHTTP(b []byte) bool {
	for len(b) >= 5 {
		if bytes.EqualFold(b[:5], []byte("HTTP/")) {
			return true
		}
		b = b[1:]
	}
	return false
}

// knownMethod says that the word is a method that servers know.
func knownMethod(b []byte) bool {
	switch string(b) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return true
	}
	return false
}

// tokenChar is RFC 9110's tchar, of which methods and names of fields are made.
func tokenChar(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}
