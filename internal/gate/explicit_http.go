package gate

import (
	"bytes"
	"fmt"
	"net"
	"strings"
)

// http reads what an HTTP client asks the proxy for. first was read already.
func (x *Explicit) http(c *net.TCPConn, first byte) (errand, error) {
	want := errand{say: speaksHTTP{}}
	buf, seen := []byte{first}, 0
	if !tokenChar(first) { // TLS to the proxy, SOCKS 4, ...
		want.say = nil
		return want, badAsk(malformed, "neither HTTP nor SOCKS 5")
	}
	var chunk [4 << 10]byte
	for {
		end, problem := headEnd(buf, seen)
		switch {
		case problem != "":
			return want, badAsk(malformed, problem)
		case end > 0:
			return x.httpAsk(buf[:end], buf[end:])
		case len(buf) > maxFlight:
			return want, badAsk(malformed, "head of a request of more than 64 KiB")
		}
		seen = len(buf)
		n, err := c.Read(chunk[:])
		if err != nil {
			return want, err
		}
		buf = append(buf, chunk[:n]...)
	}
}

// headEnd looks for the end of a head whose lines end as they should; what is
// before seen was looked at. It says 0 if there is none yet.
func headEnd(b []byte, seen int) (end int, problem string) {
	for i := seen; ; i++ {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0, ""
		}
		switch i += n; {
		case i == 0 || b[i-1] != '\r':
			return 0, "line that ends without a carriage return"
		case i == 1:
			return 0, "empty line in place of a request"
		case b[i-2] == '\n':
			return i + 1, ""
		}
	}
}

// httpAsk takes a whole head, and what came behind it.
func (x *Explicit) httpAsk(head, behind []byte) (errand, error) {
	want := errand{say: speaksHTTP{}}
	ask, problem := parseAsk(head[:len(head)-2])
	switch {
	case ask.auths > 1:
		return want, badAsk(malformed, "more than one Proxy-Authorization")
	case ask.auths == 0:
		return want, badAsk(needsCredential, "the proxy wants this run's user and password")
	case !x.knowsBasic(ask.auth):
		return want, badAsk(wrongCredential, "a user and password that are not this run's")
	case problem != "":
		return want, badAsk(malformed, problem)
	}
	want.host, want.port = ask.host, ask.port
	if ask.connect {
		want.say, want.early = speaksHTTP{tunnel: true}, behind
		return want, nil
	}
	want.early, want.once = append(ask.forward, behind...), true
	return want, nil
}

// A proxyAsk is one request to the proxy.
type proxyAsk struct {
	connect bool
	host    string
	port    uint16
	auth    string // of Proxy-Authorization
	auths   int
	forward []byte // the head as the server gets it, not for CONNECT
}

// parseAsk takes the lines of a head, each with its end. Of a request that is
// wrong it still says what credential came with it.
func parseAsk(b []byte) (ask proxyAsk, problem string) {
	line, rest := cutLine(b)
	var fields [][2][]byte
	for len(rest) > 0 {
		var field []byte
		field, rest = cutLine(rest)
		name, value, wrong := parseField(field)
		switch {
		case wrong != "":
			problem = wrong
		case isName(name, "proxy-authorization"):
			ask.auths++
			ask.auth = string(value)
		default:
			fields = append(fields, [2][]byte{name, value})
		}
	}
	if problem != "" {
		return ask, problem
	}
	method, after, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(after, []byte(" "))
	switch {
	case !isToken(method) || !isTarget(target):
		return ask, "request line that is not method, target and version"
	case string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0":
		return ask, "request line that does not end in HTTP/1.1 or HTTP/1.0"
	case string(method) == "CONNECT":
		return ask, ask.tunnel(string(target), fields)
	}
	return ask, ask.request(string(method), string(target), string(version), fields)
}

// tunnel is for CONNECT (RFC 9110, 9.3.6): its target is host and port, and
// behind its head comes what is for the server.
func (ask *proxyAsk) tunnel(target string, fields [][2][]byte) (problem string) {
	for _, f := range fields {
		if isName(f[0], "transfer-encoding") || isName(f[0], "content-length") && string(f[1]) != "0" {
			return "CONNECT with a body"
		}
	}
	ask.connect = true
	var ok bool
	if ask.host, ask.port, ok = authority(target, 0); !ok {
		return "CONNECT to what is no host and port"
	}
	return ""
}

// request is for the absolute form (RFC 9112, 3.2.2). It becomes a request in
// origin form that says nothing of the proxy, and after which the connection
// ends: the next one may be for another server.
func (ask *proxyAsk) request(method, target, version string, fields [][2][]byte) (problem string) {
	scheme, rest, ok := strings.Cut(target, "://")
	switch {
	case !ok:
		return "a request for the proxy itself, which serves nothing"
	case !strings.EqualFold(scheme, "http"):
		return "a target that is not of http: what is not goes through CONNECT"
	}
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	switch {
	case strings.Contains(path, "#"):
		return "a target with a fragment"
	case path[0] == '?':
		path = "/" + path
	case method == "OPTIONS" && host == rest:
		path = "*"
	}
	if ask.host, ask.port, ok = authority(host, 80); !ok {
		return "a target without a plain host"
	}
	fields, problem = onward(host, fields)
	if problem != "" {
		return problem
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\nConnection: close\r\n", method, path, version, host)
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	b.WriteString("\r\n")
	ask.forward = b.Bytes()
	return ""
}

// onward leaves the fields that are for the server (RFC 9110, 7.6.1). Host is
// made from the target; one that says something else is a request that two
// readers would send to two servers.
func onward(host string, fields [][2][]byte) (out [][2][]byte, problem string) {
	var named []string
	for _, f := range fields {
		if isName(f[0], "connection") || isName(f[0], "proxy-connection") {
			for word := range strings.SplitSeq(strings.ToLower(string(f[1])), ",") {
				named = append(named, strings.TrimSpace(word))
			}
		}
	}
	hosts := 0
	for _, f := range fields {
		name := strings.ToLower(string(f[0]))
		switch name {
		case "host":
			if hosts++; hosts > 1 || !strings.EqualFold(strings.TrimSuffix(string(f[1]), ":80"), strings.TrimSuffix(host, ":80")) {
				return nil, "Host that is not the target's"
			}
			continue
		case "connection", "proxy-connection", "keep-alive", "te", "upgrade":
			continue
		}
		if !contains(named, name) {
			out = append(out, f)
			continue
		}
		if name == "content-length" || name == "transfer-encoding" {
			return nil, "Connection that names what frames the request"
		}
	}
	return out, ""
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// authority takes "host:port" or "[address]:port"; without a port, usual, and if
// that is 0, nothing.
func authority(s string, usual uint16) (host string, port uint16, ok bool) {
	if rest, bracket := strings.CutPrefix(s, "["); bracket {
		var after string
		if host, after, ok = strings.Cut(rest, "]"); !ok || !strings.Contains(host, ":") {
			return "", 0, false
		}
		_, port, ok = splitHost("x" + after)
		if after != "" && !strings.HasPrefix(after, ":") {
			return "", 0, false
		}
	} else {
		host, port, ok = splitHost(s)
	}
	if port == 0 {
		port = usual
	}
	return host, port, ok && host != "" && port != 0
}

// speaksHTTP answers an HTTP client.
type speaksHTTP struct{ tunnel bool }

func (s speaksHTTP) yes(c *net.TCPConn) error {
	if !s.tunnel {
		return nil // the server answers
	}
	_, err := c.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n"))
	return err
}

func (speaksHTTP) no(c *net.TCPConn, why answer) {
	status := map[answerKind]string{
		malformed: "400 Bad Request", needsCredential: "407 Proxy Authentication Required", wrongCredential: "407 Proxy Authentication Required",
		notAllowedByRules: "403 Forbidden", tooLate: "504 Gateway Timeout",
	}[why.kind]
	if status == "" {
		status = "502 Bad Gateway"
	}
	extra := ""
	if why.kind == needsCredential || why.kind == wrongCredential {
		extra = "Proxy-Authenticate: Basic realm=\"aigate\"\r\n"
	}
	body := "[aigate] " + why.reason + "\n"
	fmt.Fprintf(c, "HTTP/1.1 %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n%s",
		status, extra, len(body), body)
	part(c)
}
