package gate

import (
	"bytes"
	"strings"
)

// A head is what is asked of a request's head.
type head struct {
	target  string // the authority of an absolute-form target, "" of the others
	host    string // the field's value, "" without (HTTP/1.0)
	length  int64
	chunked bool
	upgrade bool
}

// parseHead takes the lines of a head, each with its end. The problem is "" if
// it is as RFC 9112 has it, without what that leaves to the server's patience.
func parseHead(b []byte) (h head, problem string) {
	line, rest := cutLine(b)
	old, problem := h.requestLine(line)
	if problem != "" {
		return h, problem
	}
	var hosts, lengths, codings int
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		name, value, problem := parseField(line)
		switch {
		case problem != "":
			return h, problem
		case isName(name, "host"):
			hosts++
			h.host = string(value)
		case isName(name, "content-length"):
			lengths++
			if h.length, problem = parseLength(value); problem != "" {
				return h, problem
			}
		case isName(name, "transfer-encoding"):
			codings++
			h.chunked = isName(value, "chunked")
		case isName(name, "upgrade"):
			h.upgrade = true
		}
	}
	switch {
	case hosts > 1:
		return h, "more than one Host"
	case hosts == 1 && h.host == "":
		return h, "an empty Host"
	case hosts == 0 && !old:
		return h, "no Host"
	case lengths > 1:
		return h, "more than one Content-Length"
	case lengths > 0 && codings > 0:
		return h, "both Content-Length and Transfer-Encoding"
	case codings > 1 || codings == 1 && (!h.chunked || old):
		return h, "a Transfer-Encoding other than chunked"
	}
	return h, ""
}

// requestLine also says whether the version is 1.0.
func (h *head) requestLine(line []byte) (old bool, problem string) {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, ok := bytes.Cut(rest, []byte(" "))
	switch {
	case !ok || !isToken(method) || !isTarget(target):
		return false, "request line that is not method, target and version"
	case string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0":
		return false, "request line that does not end in HTTP/1.1 or HTTP/1.0"
	case isName(method, "connect"):
		return false, "CONNECT, which asks for a way to other hosts"
	case target[0] == '/', string(target) == "*" && string(method) == "OPTIONS":
		return string(version) == "HTTP/1.0", ""
	}
	scheme, authority, ok := bytes.Cut(target, []byte("://"))
	if !ok || !isName(scheme, "http") && !isName(scheme, "https") {
		return false, "target that is neither a path nor of http"
	}
	if i := bytes.IndexAny(authority, "/?#"); i >= 0 {
		authority = authority[:i]
	}
	if h.target = string(authority); h.target == "" {
		return false, "target without a host"
	}
	return string(version) == "HTTP/1.0", ""
}

// parseField takes one line without its end.
func parseField(line []byte) (name, value []byte, problem string) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) { // a folded line or a blank before the colon, too
		return nil, nil, "field that is not a name, a colon and a value"
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, "control character in a field"
		}
	}
	return name, bytes.Trim(value, " \t"), ""
}

func parseLength(value []byte) (n int64, problem string) {
	if len(value) == 0 || len(value) > 18 {
		return 0, "Content-Length that is not a number"
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, "Content-Length that is not a number"
		}
		n = n*10 + int64(c-'0')
	}
	return n, ""
}

// cutLine cuts after the first line's end, which is there.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	return b[:i-1], b[i+1:]
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChar(c) {
			return false
		}
	}
	return len(b) > 0
}

// isTarget lets letters beyond ASCII through, which many programs put into
// paths as they are.
func isTarget(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// isName compares without regard to case; name is lower case. What folds into
// ASCII without being it (the Kelvin sign) is longer.
func isName(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}
