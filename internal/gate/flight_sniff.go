package gate

import "bytes"

// sniff finds out what is spoken. It does not wait for more than it needs: some
// clients say a few bytes, and then wait themselves.
func (in *inspector) sniff(b []byte) *refusal {
	switch c := b[0]; {
	case c >= 0x14 && c <= 0x18:
		return in.sniffRecord(b)
	case c >= 0x80:
		if err := in.sniffSSL2(b); err != nil || in.stage != inLine || !white(c) {
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
		in.stage = inLine
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
	in.stage = inLine
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
	const alert, handshake = recAlert, recHandshake
	switch {
	case len(b) < 2:
		return nil
	case b[1] == 3 && b[0] == handshake:
		in.stage = inHello
		return nil
	case b[1] == 3:
		return &refusal{kind: "tls", reason: "does not begin with a ClientHello"}
	case b[1] >= 0x10 || b[0] != alert && b[0] != handshake:
		in.stage = inLine
		return nil
	case len(b) < 6:
		return nil
	}
	length := int(b[3])<<8 | int(b[4])
	if b[0] == alert && length == 2 || b[0] == handshake && length > 0 && length <= maxRecord && b[5] == clientHello {
		return &refusal{kind: "tls", reason: "record of an unknown version"}
	}
	in.stage = inLine // a length in little-endian order, as databases send it
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
		in.stage = inLine
		return nil
	case len(b) < 3:
		return nil
	case b[2] != clientHello:
		in.stage = inLine
		return nil
	case len(b) < 5:
		return nil
	case b[3] == 0 && b[4] == 2 || b[3] == 3 && b[4] <= 4:
		return &refusal{kind: "tls", reason: "ClientHello of SSL 2.0, which has no server name"}
	}
	in.stage = inLine
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
		case i == 0, !white(b[i]):
			in.stage = inLine
			return nil
		case b[i] == '\r' && i+1 == len(b):
			return nil
		case b[i] == '\r' && b[i+1] == '\n': // "SSH-2.0-OpenSSH_9.6"
			in.stage = inLine
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
		in.stage = inLine // "0032git-upload-pack /project\0host=…"
	}
	return nil
}

func (in *inspector) firstLine(line []byte) *refusal {
	method, target := line[:in.token], line[in.token:]
	for len(target) > 0 && white(target[0]) {
		target = target[1:]
	}
	switch {
	case string(line) == preface[:preLine]:
		in.stage = inPreface
	case namesHTTP(line) || namesKin(line):
		in.stage = inHead
	case string(method) == "PROXY":
		return &refusal{kind: "http", reason: "header of the PROXY protocol"}
	case string(method) == "GET" && (bytes.HasPrefix(target, []byte("/")) || bytes.Contains(target, []byte("://"))):
		return &refusal{kind: "http", reason: "request of HTTP/0.9"}
	default:
		in.stage = inLine
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

// readLine passes what is no request so far, and looks for the end of its first
// line: some servers take any bytes for a method (Python's wsgiref), so with
// "HTTP/" behind them they are refused. It holds nothing, as what does not speak
// in lines has to pass, and ends with what no server of HTTP does before it has
// a request: it speaks.
func (in *inspector) readLine(b []byte) (pass int, err *refusal) {
	const mark = 5 // what namesHTTP looks for
	end := bytes.IndexByte(b, '\n')
	line := b
	if end >= 0 {
		line = b[:end]
	}
	if !in.spoken && namesHTTP(append(in.before, line...)) {
		return 0, badHTTP("first line with HTTP/ in it that is no request")
	}
	in.before = append(in.before, line...)
	in.before = append([]byte(nil), in.before[max(0, len(in.before)-mark+1):]...)
	if in.lined += len(line); end >= 0 || in.spoken || in.lined > maxFlight {
		in.stage, in.before = opened, nil
	}
	return len(b), nil
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

// namesKin says that a word behind the first is the version of a protocol that
// is like HTTP, which servers of HTTP take as well (llhttp: RTSP and ICE).
func namesKin(line []byte) bool {
	words := bytes.FieldsFunc(line, func(r rune) bool { return r < 0x80 && white(byte(r)) })
	for _, word := range words[min(1, len(words)):] {
		for _, kin := range [...]string{"rtsp/", "ice/"} {
			if len(word) > len(kin) && isName(word[:len(kin)], kin) {
				return true
			}
		}
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
