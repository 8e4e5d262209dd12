package gate

import "bytes"

// HTTP/1 in clear. Every request on a connection has a Host of its own, so each
// one is judged before its first byte passes, and where one ends and the next
// begins has to be beyond doubt: a server that saw it otherwise would find
// requests that nobody has judged ("request smuggling"). What could be read in
// two ways is refused, also where the standard would forgive it.
//
// Behind a request that asks for another protocol (Upgrade), nothing passes
// until the server has said whether it agrees. That is looked for where it
// cannot be mistaken, in its first words on the connection. A later request that
// asks is passed as well, and if the server should agree, what follows is no
// request and is refused.

func (in *inspector) readHTTP(b []byte) (pass int, err *refusal) {
	switch in.stage {
	case inHead:
		return in.readHead(b)
	case inBody, inChunk:
		n := min(int64(len(b)), in.left)
		in.skipped(n)
		return int(n), nil
	case inChunkSize:
		return in.readChunkSize(b)
	case inChunkEnd:
		switch {
		case b[0] != '\r' || len(b) > 1 && b[1] != '\n':
			return 0, badHTTP("chunk without an end")
		case len(b) < 2:
			return 0, nil
		}
		in.stage = inChunkSize
		return 2, nil
	}
	return in.readTrailer(b)
}

// answered says whether the server has agreed to the upgrade.
func (in *inspector) answered(agreed bool) {
	in.stage, in.off = inHead, 0
	if agreed {
		in.stage = opened
	}
}

// skipped says that n more bytes of a body have passed.
func (in *inspector) skipped(n int64) {
	in.left -= n
	switch {
	case in.left > 0:
	case in.stage == inChunk:
		in.stage = inChunkEnd
	default:
		in.stage = in.next
	}
}

func badHTTP(reason string) *refusal { return &refusal{kind: "http", reason: reason} }

// lines looks for the empty line that ends a head or trailer. It says 0 if
// there is none yet. Lines end with CR and LF, or some server sees another end.
func (in *inspector) lines(b []byte) (int, *refusal) {
	for {
		i := bytes.IndexByte(b[in.off:], '\n')
		if i < 0 {
			in.off = len(b)
			if len(b) > maxFlight {
				return 0, in.tooLong()
			}
			return 0, nil
		}
		end := in.off + i + 1
		switch {
		case end > maxFlight:
			return 0, in.tooLong()
		case end < 2 || b[end-2] != '\r':
			return 0, badHTTP("line that ends without a carriage return")
		case end == 2 || b[end-3] == '\n':
			return end, nil
		}
		in.off = end
	}
}

func (in *inspector) readHead(b []byte) (int, *refusal) {
	if in.once && !in.first {
		return 0, badHTTP("a second request on a connection to the proxy, which takes one")
	}
	end, err := in.lines(b)
	if end == 0 || err != nil {
		return 0, err
	}
	if end == 2 {
		return 0, badHTTP("empty line in place of a request")
	}
	head, problem := parseHead(b[:end-2])
	switch {
	case problem != "" && in.late:
		return 0, badHTTP(problem + ", after an Upgrade, which only the first request of a connection may ask for")
	case problem != "":
		return 0, badHTTP(problem)
	}
	for _, host := range [...]string{head.target, head.host} {
		if err := in.judgeHost(host); host != "" && err != nil {
			return 0, err
		}
	}
	in.next = inHead
	if head.upgrade && in.first {
		in.next, in.asks = upgrading, true
	}
	in.first, in.late = false, head.upgrade
	switch {
	case head.chunked:
		in.stage = inChunkSize
	case head.length > 0:
		in.stage, in.left = inBody, head.length
	default:
		in.stage = in.next
	}
	return end, nil
}

// judgeHost takes what a request is for: a name, and perhaps a port. The name has
// to be allowed at the connection's own port as well, as that is where the
// request goes: servers with many sites do not look at the port in Host.
func (in *inspector) judgeHost(host string) *refusal {
	text, port, ok := splitHost(host)
	if port == 0 {
		port = in.dest.Port
	}
	name, named := wireName(text)
	if !ok || !named {
		return badHTTP("Host that is not a host name")
	}
	there, _ := in.rules.AllowsName(name, port)
	if here, _ := in.rules.AllowsName(name, in.dest.Port); !there || !here {
		return &refusal{kind: "http", name: name, reason: "Host of a request, on a connection to " + in.dest.Name}
	}
	return nil
}

// splitHost takes "name" or "name:port"; port 0 is none.
func splitHost(host string) (name string, port uint16, ok bool) {
	for i := range len(host) {
		if host[i] != ':' {
			continue
		}
		digits := host[i+1:]
		if len(digits) == 0 || len(digits) > 5 {
			return "", 0, false
		}
		n := 0
		for _, c := range []byte(digits) {
			if c < '0' || c > '9' {
				return "", 0, false
			}
			n = n*10 + int(c-'0')
		}
		return host[:i], uint16(n), n > 0 && n < 1<<16
	}
	return host, 0, true
}

// readChunkSize takes a line of hexadecimal digits. Extensions, which no client
// sends, are where servers disagree about the line's end.
func (in *inspector) readChunkSize(b []byte) (int, *refusal) {
	const most = 15 // digits of an int64
	size := int64(0)
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			size = size<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			size = size<<4 | int64(c|0x20-'a'+10)
		case c == '\r' && i > 0 && i+1 == len(b):
			return 0, nil
		case c == '\r' && i > 0 && b[i+1] == '\n':
			in.stage, in.left = inChunk, size
			if size == 0 {
				in.stage = inTrailer
				return i + 2, nil
			}
			return i + 2, nil
		default:
			return 0, badHTTP("chunk without a plain size")
		}
		if i == most {
			return 0, badHTTP("chunk without a plain size")
		}
	}
	return 0, nil
}

// readTrailer takes the fields behind the last chunk. A server that merges them
// into the head must find none there that it decides by.
func (in *inspector) readTrailer(b []byte) (int, *refusal) {
	end, err := in.lines(b)
	if end == 0 || err != nil {
		return 0, err
	}
	for rest := b[:end-2]; len(rest) > 0; {
		var field []byte
		field, rest = cutLine(rest)
		name, _, problem := parseField(field)
		switch {
		case problem != "":
			return 0, badHTTP(problem)
		case isName(name, "host"), isName(name, "content-length"), isName(name, "transfer-encoding"), isName(name, "upgrade"):
			return 0, badHTTP("trailer " + string(name))
		}
	}
	in.stage = in.next
	return end, nil
}
