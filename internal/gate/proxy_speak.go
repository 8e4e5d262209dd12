package gate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// What follows a proxy's answer belongs to the server behind it, which may
// speak first. So not one byte more than the answer is read, and the
// connection stays a plain one that can be spliced.

// httpConnect asks an HTTP proxy for a tunnel (RFC 9110, 9.3.6).
func httpConnect(c Conn, user *url.Userinfo, to string) error {
	ask := "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n"
	if user != nil {
		password, _ := user.Password()
		ask += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := c.Write([]byte(ask + "\r\n")); err != nil {
		return err
	}
	head, err := readHead(c)
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(head, "\r\n")
	version, status, _ := strings.Cut(line, " ")
	switch {
	case !strings.HasPrefix(version, "HTTP/1.") || len(status) < 3:
		return errors.New("it does not speak HTTP")
	case status[0] == '2':
		return nil
	case strings.HasPrefix(status, "407"):
		return errors.New("it wants a user and password, or others than those of the caller's setting")
	}
	return fmt.Errorf("%w: %.80q", errProxyRefused, status)
}

// readHead reads up to an empty line.
func readHead(c Conn) (string, error) {
	const most = 16 << 10
	var head strings.Builder
	var b [1]byte
	for head.Len() < most {
		if _, err := c.Read(b[:]); err != nil {
			if err == io.EOF {
				err = errors.New("it closed the connection")
			}
			return "", err
		}
		head.WriteByte(b[0])
		if b[0] == '\n' && strings.HasSuffix(head.String(), "\r\n\r\n") {
			return head.String(), nil
		}
	}
	return "", errors.New("its answer has no end")
}

// socksConnect asks a SOCKS 5 proxy (RFC 1928, and RFC 1929 for a password).
// Names are left to the proxy to look up, as in Go's and curl's socks5h.
func socksConnect(c Conn, user *url.Userinfo, dest Dest) error {
	if err := socksGreet(c, user); err != nil {
		return err
	}
	ask := []byte{5, 1, 0}
	switch a := dest.Addr.Unmap(); {
	case dest.Name != "":
		ask = append(append(ask, 3, byte(len(dest.Name))), dest.Name...) // a name has 253 bytes at most
	case a.Is4():
		ask = append(append(ask, 1), a.AsSlice()...)
	default:
		ask = append(append(ask, 4), a.AsSlice()...)
	}
	if _, err := c.Write(append(ask, byte(dest.Port>>8), byte(dest.Port))); err != nil {
		return err
	}
	var b [256 + 2]byte
	if err := socksRead(c, b[:5]); err != nil { // the fifth is the first of the address, or a name's length
		return err
	}
	rest := map[byte]int{1: 4 + 2 - 1, 3: int(b[4]) + 2, 4: 16 + 2 - 1}[b[3]]
	switch {
	case b[0] != 5 || rest == 0:
		return errors.New("it does not speak SOCKS 5")
	case b[1] == 2:
		return fmt.Errorf("%w: not allowed by its rules", errProxyRefused)
	case b[1] != 0:
		return fmt.Errorf("it could not connect (%s)", socksReason(b[1]))
	}
	return socksRead(c, b[:rest])
}

func socksGreet(c Conn, user *url.Userinfo) error {
	const none, byPassword = 0, 2
	hello := []byte{5, 1, none}
	if user != nil {
		hello = []byte{5, 2, none, byPassword}
	}
	if _, err := c.Write(hello); err != nil {
		return err
	}
	var b [2]byte
	if err := socksRead(c, b[:]); err != nil {
		return err
	}
	switch {
	case b[0] != 5:
		return errors.New("it does not speak SOCKS 5")
	case b[1] == none:
		return nil
	case b[1] != byPassword || user == nil:
		return errors.New("it wants a user and password, or another way to sign in")
	}
	name := user.Username()
	password, _ := user.Password()
	if len(name) > 255 || len(password) > 255 {
		return errors.New("user or password is too long for SOCKS")
	}
	ask := append([]byte{1, byte(len(name))}, name...)
	ask = append(append(ask, byte(len(password))), password...)
	if _, err := c.Write(ask); err != nil {
		return err
	}
	if err := socksRead(c, b[:]); err != nil {
		return err
	}
	if b[1] != 0 {
		return errors.New("it does not accept the user and password")
	}
	return nil
}

func socksReason(code byte) string {
	reasons := [...]string{"", "general failure", "", "network unreachable", "host unreachable", "connection refused",
		"timed out", "command not supported", "address type not supported"}
	if int(code) < len(reasons) {
		return reasons[code]
	}
	return fmt.Sprintf("code %d", code)
}

func socksRead(c Conn, b []byte) error {
	_, err := io.ReadFull(c, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("it closed the connection")
	}
	return err
}
