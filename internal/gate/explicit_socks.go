package gate

import (
	"io"
	"net"
	"net/netip"
)

// SOCKS 5 (RFC 1928) with user and password (RFC 1929), and CONNECT alone.

const (
	socksVersion    = 5
	socksByPassword = 2
	socksNone       = 0xff
)

// socks reads what a SOCKS client wants; the version was read already.
func (x *Explicit) socks(c *net.TCPConn) (errand, error) {
	want := errand{say: speaksSOCKS{}}
	if err := x.socksSignIn(c); err != nil {
		return errand{}, err // which has been answered
	}
	var err error
	want.host, want.port, err = socksAsk(c)
	return want, err
}

// socksSignIn takes the methods that a client offers, and its credential.
func (x *Explicit) socksSignIn(c io.ReadWriter) error {
	methods, err := socksString(c)
	if err != nil {
		return err
	}
	offered := false
	for _, m := range methods {
		offered = offered || m == socksByPassword
	}
	if !offered {
		c.Write([]byte{socksVersion, socksNone})
		return badAsk(needsCredential, "SOCKS without a user and password")
	}
	if _, err := c.Write([]byte{socksVersion, socksByPassword}); err != nil {
		return err
	}
	var version [1]byte
	if _, err := io.ReadFull(c, version[:]); err != nil {
		return err
	}
	if version[0] != 1 {
		return badAsk(malformed, "not as RFC 1929 has it")
	}
	user, err := socksString(c)
	if err != nil {
		return err
	}
	password, err := socksString(c)
	if err != nil {
		return err
	}
	if !x.knows(string(user), string(password)) {
		c.Write([]byte{1, 1})
		return badAsk(wrongCredential, "a user and password that are not this run's")
	}
	_, err = c.Write([]byte{1, 0})
	return err
}

// socksString reads a length and as many bytes.
func socksString(c io.Reader) ([]byte, error) {
	var n [1]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, n[0])
	_, err := io.ReadFull(c, b)
	return b, err
}

// socksAsk reads where a client wants to go.
func socksAsk(c io.Reader) (host string, port uint16, err error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return "", 0, err
	}
	const connect, ipv4, name, ipv6 = 1, 1, 3, 4
	var to []byte
	switch head[3] {
	case ipv4:
		to = make([]byte, 4)
		_, err = io.ReadFull(c, to)
	case ipv6:
		to = make([]byte, 16)
		_, err = io.ReadFull(c, to)
	case name:
		to, err = socksString(c)
	default:
		err = badAsk(malformed, "an address of no known type")
	}
	var at [2]byte
	if err == nil {
		_, err = io.ReadFull(c, at[:])
	}
	port = uint16(at[0])<<8 | uint16(at[1])
	switch {
	case err != nil:
		return "", 0, err
	case head[0] != socksVersion || head[2] != 0:
		return "", 0, badAsk(malformed, "not as RFC 1928 has it")
	case head[1] != connect:
		return "", 0, badAsk(unsupported, "SOCKS for something else than TCP connections")
	case port == 0:
		return "", 0, badAsk(malformed, "port 0")
	}
	if head[3] == name {
		return string(to), port, nil
	}
	a, _ := netip.AddrFromSlice(to)
	return a.String(), port, nil
}

// speaksSOCKS answers a SOCKS client.
type speaksSOCKS struct{}

func (speaksSOCKS) yes(c *net.TCPConn) error {
	return socksReply(c, 0)
}

func (speaksSOCKS) no(c *net.TCPConn, why answer) {
	code := map[answerKind]byte{malformed: 1, unsupported: 7, notAllowedByRules: 2, refusedThere: 5, tooLate: 4, unreachable: 4}[why.kind]
	if socksReply(c, code) == nil {
		part(c)
	}
}

func socksReply(c io.Writer, code byte) error {
	_, err := c.Write([]byte{socksVersion, code, 0, 1, 0, 0, 0, 0, 0, 0})
	return err
}
