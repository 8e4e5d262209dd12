package gate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http/httpproxy"
)

// httpProxy answers CONNECT with what answer says, and on "200" sends hello at
// once behind it and then echoes.
func httpProxy(t *testing.T, answer func(r *http.Request) string) *net.TCPListener {
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		status := answer(req)
		fmt.Fprintf(c, "HTTP/1.1 %s\r\nProxy-Agent: test\r\n\r\n", status)
		if strings.HasPrefix(status, "200") {
			io.WriteString(c, "hello ")
			io.Copy(struct{ io.Writer }{c}, r)
		}
	})
}

func proxyDialer(t *testing.T, env ...string) *Dialer {
	r := mustRules(t, "api.example", "*.wild.example", "192.0.2.0/24")
	d := NewDialer(r, NewLookup(r, NewNames()), env)
	d.addrs = func(_ context.Context, name string) ([]netip.Addr, error) {
		if name == "proxy.example" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, &net.DNSError{Err: "not to be asked for " + name, IsNotFound: true}
	}
	return d
}

func talk(t *testing.T, c Conn) {
	t.Helper()
	defer c.Close()
	io.WriteString(c, "and back")
	c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello and back" {
		t.Errorf("through the proxy: %q, %v", b, err)
	}
}

func TestHTTPProxy(t *testing.T) {
	var asked []string
	l := httpProxy(t, func(r *http.Request) string {
		asked = append(asked, r.Method+" "+r.RequestURI+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		return "200 Connection established"
	})
	port := portOf(l)
	for _, at := range []string{"http://127.0.0.1:%d", "http://proxy.example:%d/", "http://ada:se%%3acret@localhost.localdomain:%d", "127.0.0.1:%d"} {
		asked = nil
		value := fmt.Sprintf(at, port)
		d := proxyDialer(t, "https_proxy="+strings.Replace(value, "localhost.localdomain", "127.0.0.1", 1))
		for _, dest := range []Dest{
			{Name: "x.wild.example", Port: 443},
			{Addr: netip.MustParseAddr("192.0.2.7"), Port: 8443},
		} {
			c, err := d.Dial(context.Background(), dest)
			if err != nil {
				t.Fatal(value, err)
			}
			talk(t, c)
		}
		auth := ""
		if strings.Contains(value, "@") {
			auth = "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:se:cret"))
		}
		want := []string{
			"CONNECT x.wild.example:443 x.wild.example:443 " + auth,
			"CONNECT 192.0.2.7:8443 192.0.2.7:8443 " + auth,
		}
		if fmt.Sprint(asked) != fmt.Sprint(want) {
			t.Errorf("%s: asked %q", value, asked)
		}
	}
}

func TestHTTPProxyErrors(t *testing.T) {
	before := census()
	for answer, want := range map[string]string{
		"407 Proxy Authentication Required": "it wants a user and password",
		"502 Bad Gateway":                   `the proxy refused: "502 Bad Gateway"`,
		"403 Forbidden":                     `the proxy refused: "403 Forbidden"`,
		"99":                                "it does not speak HTTP",
	} {
		l := httpProxy(t, func(*http.Request) string { return answer })
		d := proxyDialer(t, fmt.Sprintf("HTTPS_PROXY=http://ada:secret@127.0.0.1:%d", portOf(l)))
		_, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: 443})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", answer, err)
		}
		l.Close()
	}
	ssh := serve(t, func(c *net.TCPConn) { io.WriteString(c, "SSH-2.0-x\r\n"+strings.Repeat("x", 20000)); c.Close() })
	d := proxyDialer(t, fmt.Sprintf("HTTPS_PROXY=http://127.0.0.1:%d", portOf(ssh)))
	if _, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: 443}); err == nil || !strings.Contains(err.Error(), "has no end") {
		t.Error(err)
	}
	shut := serve(t, func(c *net.TCPConn) { io.ReadFull(c, make([]byte, 10)); c.Close() })
	d = proxyDialer(t, fmt.Sprintf("HTTPS_PROXY=http://127.0.0.1:%d", portOf(shut)))
	if _, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: 443}); err == nil {
		t.Error("no error from a proxy that closes")
	}
	silent := serve(t, func(c *net.TCPConn) { io.Copy(io.Discard, c); c.Close() })
	d = proxyDialer(t, fmt.Sprintf("HTTPS_PROXY=http://127.0.0.1:%d", portOf(silent)))
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	if _, err := d.Dial(ctx, Dest{Name: "api.example", Port: 443}); err == nil {
		t.Error("no error after the end of the run")
	}
	ssh.Close()
	shut.Close()
	silent.Close()
	before.compare(t)
}

// A port that a proxy for the web refuses is dialled directly, those of the web
// are not.
func TestProxyRefusesPort(t *testing.T) {
	server := serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "hello ")
		echo(c)
	})
	l := httpProxy(t, func(*http.Request) string { return "403 Forbidden" })
	d := proxyDialer(t, fmt.Sprintf("HTTPS_PROXY=http://127.0.0.1:%d", portOf(l)))
	d.reach = func(netip.Addr) (reach, string) { return public, "" }
	d.addrs = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	c, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: portOf(server)})
	if err != nil {
		t.Fatal(err)
	}
	talk(t, c)
	if _, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: 443}); !errors.Is(err, errProxyRefused) {
		t.Error(err)
	}
}

// socksProxy is a SOCKS 5 server for one user, "" for nobody in particular.
func socksProxy(t *testing.T, user, password string, reply byte, asked *[]byte) *net.TCPListener {
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 512)
		io.ReadFull(c, b[:2])
		io.ReadFull(c, b[2:2+b[1]])
		method := byte(0)
		if user != "" {
			if method = 2; !bytes.Contains(b[2:2+b[1]], []byte{2}) {
				method = 0xff
			}
		}
		c.Write([]byte{5, method})
		if method == 2 {
			want := append(append([]byte{1, byte(len(user))}, user...), byte(len(password)))
			want = append(want, password...)
			n, _ := c.Read(b)
			if !bytes.Equal(b[:n], want) {
				c.Write([]byte{1, 1})
				return
			}
			c.Write([]byte{1, 0})
		}
		n, _ := c.Read(b)
		*asked = append([]byte(nil), b[:n]...)
		c.Write([]byte{5, reply, 0, 3, 4, 'h', 'o', 's', 't', 1, 2})
		if reply == 0 {
			io.WriteString(c, "hello ")
			io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
		}
	})
}

func TestSocksProxy(t *testing.T) {
	var asked []byte
	for _, c := range []struct {
		user string // of the setting
		dest Dest
		ask  string
	}{
		{"", Dest{Name: "api.example", Port: 443}, "\x05\x01\x00\x03\x0bapi.example\x01\xbb"},
		{"ada:secret@", Dest{Name: "api.example", Port: 80}, "\x05\x01\x00\x03\x0bapi.example\x00\x50"},
		{"", Dest{Addr: netip.MustParseAddr("192.0.2.7"), Port: 22}, "\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x16"},
		{"", Dest{Addr: netip.MustParseAddr("2001:db8::7"), Port: 22}, "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x16"},
	} {
		user, password, _ := strings.Cut(strings.TrimSuffix(c.user, "@"), ":")
		l := socksProxy(t, user, password, 0, &asked)
		d := proxyDialer(t, fmt.Sprintf("ALL_PROXY=socks5h://%s127.0.0.1:%d", c.user, portOf(l)))
		conn, err := d.Dial(context.Background(), c.dest)
		if err != nil {
			t.Fatal(err)
		}
		talk(t, conn)
		if string(asked) != c.ask {
			t.Errorf("%+v: asked %q", c.dest, asked)
		}
	}
	for _, c := range []struct {
		user, setting string
		reply         byte
		want          string
	}{
		{"ada", "", 0, "it wants a user and password"},
		{"ada", "ada:wrong@", 0, "it does not accept the user and password"},
		{"", "", 5, "it could not connect (connection refused)"},
		{"", "", 2, "the proxy refused"},
		{"", "", 77, "it could not connect (code 77)"},
	} {
		l := socksProxy(t, c.user, "secret", c.reply, &asked)
		d := proxyDialer(t, fmt.Sprintf("ALL_PROXY=socks5://%s127.0.0.1:%d", c.setting, portOf(l)))
		if _, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: 443}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	web := serve(t, func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); c.Close() })
	d := proxyDialer(t, fmt.Sprintf("ALL_PROXY=socks5://127.0.0.1:%d", portOf(web)))
	if _, err := d.Dial(context.Background(), Dest{Name: "api.example", Port: 443}); err == nil || !strings.Contains(err.Error(), "does not speak SOCKS 5") {
		t.Error(err)
	}
}

func TestProxySettings(t *testing.T) {
	name, addr := Dest{Name: "api.example", Port: 443}, Dest{Addr: netip.MustParseAddr("192.0.2.7"), Port: 443}
	web, local := Dest{Name: "api.example", Port: 80}, Dest{Addr: netip.MustParseAddr("127.0.0.1"), Port: 443, Localhost: true}
	for _, c := range []struct {
		env  string // blanks in between
		dest Dest
		want string
	}{
		{"", name, ""},
		{"HTTPS_PROXY=http://p:1", name, "http://p:1"},
		{"https_proxy=http://p:1", name, "http://p:1"},
		{"HTTPS_PROXY=http://p", name, "http://p:80"},
		{"HTTPS_PROXY=p:1", name, "http://p:1"},
		{"HTTPS_PROXY=http://p:1", addr, "http://p:1"},
		{"HTTPS_PROXY=http://p:1", web, ""},
		{"HTTP_PROXY=http://p:1", web, "http://p:1"},
		{"HTTP_PROXY=http://p:1", name, ""},
		{"ALL_PROXY=socks5://p", web, "socks5://p:1080"},
		{"ALL_PROXY=socks5://p HTTPS_PROXY=http://q:1", name, "http://q:1"},
		{"HTTPS_PROXY=", name, ""},
		{"HTTPS_PROXY=http://p:1", local, ""},
		{"HTTPS_PROXY=https://p:1", name, "error HTTPS_PROXY of the caller is an https:// proxy"},
		{"HTTPS_PROXY=ftp://p:1", name, "error HTTPS_PROXY of the caller is a proxy of kind ftp://"},
		{"HTTPS_PROXY=http://ada:se%zzcret@p:1", name, "error HTTPS_PROXY of the caller is not the address of a proxy"},
		{"HTTPS_PROXY=http://:1", name, "error HTTPS_PROXY of the caller is not the address of a proxy"},
		{"HTTPS_PROXY=https://p:1 NO_PROXY=api.example", name, ""},
		{"HTTPS_PROXY=http://p:1 NO_PROXY=192.0.2.0/24", addr, ""},
		{"HTTPS_PROXY=http://p:1 no_proxy=.example", name, ""},
	} {
		p := proxySettings(strings.Fields(c.env))
		u, err := p.forDest(c.dest)
		got := ""
		switch {
		case err != nil:
			got = "error " + err.Error()
		case u != nil:
			got = u.String()
		}
		if got != c.want && !(strings.HasPrefix(c.want, "error") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q, want %q", c.env, got, c.want)
		}
		if strings.Contains(got, "cret") {
			t.Errorf("%s: a password in %q", c.env, got)
		}
	}
}

// NO_PROXY means what it means to other Go programs.
func TestNoProxy(t *testing.T) {
	hosts := []string{"api.example", "x.api.example", "xapi.example", "example", "192.0.2.7", "198.51.100.7", "2001:db8::7", "127.0.0.1", "::1", "localhost", "xn--mnchen-3ya.example"}
	lists := []string{"", "*", "api.example", ".api.example", "*.api.example", "API.Example", "example", "api.example:443", "api.example:80",
		"192.0.2.7", "192.0.2.0/24", "192.0.2.7:443", "192.0.2.7:1", "2001:db8::/32", "[2001:db8::7]:443", "2001:db8::7", " api.example , 192.0.2.0/24 ",
		"other,api.example", ",,", ":443", "münchen.example", "api.example,*", "192.0.2.7/33", "api.example:x"}
	for _, list := range lists {
		theirs := (&httpproxy.Config{HTTPSProxy: "http://p:1", NoProxy: list}).ProxyFunc()
		ours := newNoProxy(list)
		for _, host := range hosts {
			for _, port := range []uint16{443, 8443} {
				u, err := theirs(&url.URL{Scheme: "https", Host: hostPort(host, port)})
				if err != nil {
					t.Fatal(err)
				}
				name := host
				addr, err := netip.ParseAddr(host)
				if err == nil {
					name = ""
				}
				if got, want := ours.has(name, addr, port), u == nil; got != want {
					t.Errorf("NO_PROXY=%q, %s port %d: %v, want %v", list, host, port, got, want)
				}
			}
		}
	}
	none := newNoProxy("")
	if !none.has("evil.localhost", netip.Addr{}, 443) {
		t.Error("a name that is the proxy's own machine goes to the proxy")
	}
}
