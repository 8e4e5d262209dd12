package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// proxies are the caller's own proxy settings. Programs inside know nothing of
// them; the gate uses them for what it connects to.
type proxies struct {
	web, other proxySetting // for port 80, and for all other ports
	without    noProxy
}

// A proxySetting is one of the variables. What is wrong with it is said when
// it would be used, so that a broken one does not stop those who need no proxy.
type proxySetting struct {
	url *url.URL
	err error
}

// proxySettings reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in
// upper or lower case. Which one is for a connection is decided by its port:
// what is spoken on it is not known when it begins.
func proxySettings(env []string) proxies {
	get := func(names ...string) (string, string) {
		for _, name := range names {
			for i := len(env) - 1; i >= 0; i-- {
				if value, ok := strings.CutPrefix(env[i], name+"="); ok && value != "" {
					return name, value
				}
			}
		}
		return "", ""
	}
	var p proxies
	p.web = newProxySetting(get("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"))
	p.other = newProxySetting(get("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"))
	_, without := get("no_proxy", "NO_PROXY")
	p.without = newNoProxy(without)
	return p
}

func newProxySetting(name, value string) proxySetting {
	if value == "" {
		return proxySetting{}
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" { // "host:3128" is what many write
		u, err = url.Parse("http://" + value)
	}
	ports := map[string]string{"http": "80", "socks5": "1080", "socks5h": "1080"}
	switch {
	case err != nil || u.Hostname() == "":
		// Neither the value nor url's error, which quotes it: it may hold a password.
		return proxySetting{err: fmt.Errorf("%s of the caller is not the address of a proxy", name)}
	case u.Scheme == "https":
		return proxySetting{err: fmt.Errorf("%s of the caller is an https:// proxy, which aigate cannot speak to; use its http:// address", name)}
	case ports[u.Scheme] == "":
		return proxySetting{err: fmt.Errorf("%s of the caller is a proxy of kind %s://, aigate knows http:// and socks5://", name, u.Scheme)}
	case u.Port() == "":
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	return proxySetting{url: u}
}

// forDest returns the proxy for dest, nil if there is none.
func (p *proxies) forDest(dest Dest) (*url.URL, error) {
	setting := p.other
	if dest.Port == 80 {
		setting = p.web
	}
	if setting == (proxySetting{}) || p.without.has(dest.Name, dest.Addr, dest.Port) {
		return nil, nil
	}
	return setting.url, setting.err
}

// Proxied says that a name may be left to the caller's proxy to look up. The
// host may not know it at all then.
func (d *Dialer) Proxied(name string) bool {
	for _, port := range [...]uint16{80, 443} {
		if ok, _ := d.rules.AllowsName(name, port); !ok && port == 80 {
			continue
		}
		if u, _ := d.proxies.forDest(Dest{Name: name, Port: port}); u != nil {
			return true
		}
	}
	return false
}

// noProxy is NO_PROXY as Go and curl read it: names with all that lies below
// them, addresses and networks, each perhaps with a port, or * for all.
type noProxy struct {
	all   bool
	nets  []noProxyNet
	names []noProxyName
}

type noProxyNet struct {
	net  netip.Prefix
	port uint16 // 0: any
}

type noProxyName struct {
	below string // with a dot in front
	self  bool   // the name without the dot as well
	port  uint16
}

func newNoProxy(list string) noProxy {
	var n noProxy
	for _, entry := range strings.Split(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "*" {
			return noProxy{all: true}
		}
		if p, err := netip.ParsePrefix(entry); err == nil {
			n.nets = append(n.nets, noProxyNet{net: p.Masked()})
			continue
		}
		host, port := entry, uint16(0)
		if h, p, err := net.SplitHostPort(entry); err == nil {
			number, err := strconv.ParseUint(p, 10, 16)
			if err != nil {
				continue
			}
			host, port = h, uint16(number)
		}
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			n.nets = append(n.nets, noProxyNet{netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), port})
			continue
		}
		self := !strings.HasPrefix(host, ".") && !strings.HasPrefix(host, "*.")
		if name, ok := NormalName(strings.TrimPrefix(strings.TrimPrefix(host, "*"), ".")); ok {
			n.names = append(n.names, noProxyName{"." + name, self, port})
		}
	}
	return n
}

// has says that a name, or an address if there is no name, is to be reached
// directly. This machine always is.
func (n *noProxy) has(name string, addr netip.Addr, port uint16) bool {
	if n.all {
		return true
	}
	if name == "" {
		addr = addr.Unmap()
		for _, e := range n.nets {
			if (e.port == 0 || e.port == port) && e.net.Contains(addr) {
				return true
			}
		}
		return addr.IsLoopback()
	}
	for _, e := range n.names {
		if (e.port == 0 || e.port == port) && (strings.HasSuffix(name, e.below) || e.self && name == e.below[1:]) {
			return true
		}
	}
	// RFC 6761, 6.3: a proxy would take such a name for its own machine, which may well be this one.
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// errProxyRefused is a proxy's answer that it will not connect to that port or host.
var errProxyRefused = errors.New("the proxy refused")

// dialProxy reaches dest through the caller's proxy. The proxy may be anywhere,
// also on this machine: it is the caller's own setting.
func (d *Dialer) dialProxy(ctx context.Context, proxy *url.URL, dest Dest) (Conn, error) {
	fail := func(err error) (Conn, error) {
		reason := err.Error()
		var dial *DialError
		if !errors.As(err, &dial) {
			if timeout(err) {
				reason = "no answer in time"
			}
		}
		return nil, &DialError{Kind: "connect", Reason: "proxy " + proxy.Host + ": " + reason, Err: err}
	}
	c, err := d.dialTo(ctx, proxy)
	if err != nil {
		return fail(err)
	}
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	if proxy.Scheme == "http" {
		err = httpConnect(c, proxy.User, hostPort(dest.host(), dest.Port))
	} else {
		err = socksConnect(c, proxy.User, dest)
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return fail(err)
	}
	c.SetDeadline(time.Time{})
	return c, nil
}

func (d *Dialer) dialTo(ctx context.Context, proxy *url.URL) (Conn, error) {
	number, err := strconv.ParseUint(proxy.Port(), 10, 16)
	if err != nil {
		return nil, errors.New("not a port")
	}
	var found []netip.Addr
	if a, err := netip.ParseAddr(proxy.Hostname()); err == nil {
		found = []netip.Addr{a}
	} else if found, err = d.addrs(ctx, strings.ToLower(proxy.Hostname())); err != nil {
		return nil, lookupError(err)
	}
	if len(found) == 0 {
		return nil, errors.New("no such host")
	}
	var addrs []netip.AddrPort
	for _, a := range found {
		addrs = append(addrs, netip.AddrPortFrom(a, uint16(number)))
	}
	return race(ctx, interleave(addrs))
}
