package gate

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A reach says who may be led to an address by a name.
type reach int

const (
	public  reach = iota // by any name that a rule allows
	private              // by a name that a rule has without a wildcard
	never                // by none: only by a rule for the address itself
)

// reaches is what addresses mean. The first range that holds an address
// decides; what is in none is public. Whoever runs the zone of an allowed name
// can put any of these into it ("DNS rebinding"), or a host's own file can.
//
// 198.18.0.0/15 is public on purpose: programs that tunnel a whole machine
// (Clash, Surge) and aigate itself answer every name with such addresses, and
// otherwise nothing is there.
var reaches = [...]struct {
	net   netip.Prefix
	reach reach
	what  string
}{
	{prefix4(0, 0, 0, 0, 8), never, "this network (RFC 1122)"}, // Linux takes 0.0.0.0 for loopback
	{prefix4(127, 0, 0, 0, 8), never, "loopback (RFC 1122)"},
	{prefix4(169, 254, 0, 0, 16), never, "link-local, metadata (RFC 3927)"}, // AWS, GCP, Azure, Oracle, DigitalOcean, …
	{prefix4(100, 100, 100, 200, 32), never, "metadata (Alibaba Cloud)"},
	{prefix4(168, 63, 129, 16, 32), never, "wire server (Azure)"},
	{prefix4(192, 0, 0, 192, 32), never, "metadata (Oracle Cloud Classic)"},
	{prefix4(224, 0, 0, 0, 4), never, "multicast (RFC 5771)"},
	{prefix4(255, 255, 255, 255, 32), never, "broadcast (RFC 919)"},
	{prefix4(10, 0, 0, 0, 8), private, "private (RFC 1918)"},
	{prefix4(172, 16, 0, 0, 12), private, "private (RFC 1918)"},
	{prefix4(192, 168, 0, 0, 16), private, "private (RFC 1918)"},
	{prefix4(100, 64, 0, 0, 10), private, "carrier's NAT (RFC 6598)"},
	{prefix4(192, 0, 0, 0, 24), private, "protocol assignments (RFC 6890)"},
	{prefix4(240, 0, 0, 0, 4), private, "reserved (RFC 1112)"},

	{prefix6(0, 0, 0, 0, 127), never, "unspecified, loopback (RFC 4291)"},
	{prefix6(0xfe80, 0, 0, 0, 10), never, "link-local (RFC 4291)"},
	{prefix6(0xff00, 0, 0, 0, 8), never, "multicast (RFC 4291)"},
	{prefix6(0xfd00, 0x0ec2, 0, 0, 32), never, "metadata (AWS)"},
	{prefix6(0xfd20, 0x00ce, 0, 0, 32), never, "metadata (Google Cloud)"},
	{prefix6(0xfd00, 0x0042, 0, 0, 32), never, "metadata (Scaleway)"},
	{prefix6(0xfd61, 0x6967, 0x6174, 0x6500, 64), public, "names of an aigate around this one"},
	{prefix6(0xfc00, 0, 0, 0, 7), private, "unique local (RFC 4193)"},
	{prefix6(0xfec0, 0, 0, 0, 10), private, "site-local (RFC 3879)"},
	{prefix6(0x0064, 0xff9b, 1, 0, 48), private, "local NAT64 (RFC 8215)"},
}

// reachOf says who may be led to a, and what a is where that is not everybody.
// An address that carries an IPv4 address is at most as public as that one.
func reachOf(a netip.Addr) (reach, string) {
	a = a.WithZone("").Unmap()
	r, what := plainReach(a)
	for _, inner := range carried(a) {
		if ri, wi := plainReach(inner); ri > r {
			r, what = ri, "carries "+inner.String()+": "+wi
		}
	}
	return r, what
}

func plainReach(a netip.Addr) (reach, string) {
	for i := range reaches {
		if reaches[i].net.Contains(a) {
			return reaches[i].reach, reaches[i].what
		}
	}
	return public, ""
}

// carried are the IPv4 addresses that a router or the kernel could take out of
// an IPv6 address.
func carried(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	v4 := func(at int, mask byte) netip.Addr {
		return netip.AddrFrom4([4]byte{b[at] ^ mask, b[at+1] ^ mask, b[at+2] ^ mask, b[at+3] ^ mask})
	}
	switch {
	case a.IsUnspecified() || a.IsLoopback():
	case prefix6(0, 0, 0, 0, 96).Contains(a), // IPv4-compatible (RFC 4291, 2.5.5.1)
		prefix6(0x0064, 0xff9b, 0, 0, 96).Contains(a),                           // NAT64 (RFC 6052)
		prefix6(0x0064, 0xff9b, 1, 0, 96).Contains(a),                           // NAT64 (RFC 8215) with a prefix of that length
		zero(b[:8]) && b[8] == 0xff && b[9] == 0xff && b[10] == 0 && b[11] == 0: // IPv4-translated (RFC 2765)
		return []netip.Addr{v4(12, 0)}
	case prefix6(0x0064, 0xff9b, 1, 0, 48).Contains(a): // and with its whole prefix (RFC 6052, 2.2)
		return []netip.Addr{netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]})}
	case prefix6(0x2002, 0, 0, 0, 16).Contains(a): // 6to4 (RFC 3056)
		return []netip.Addr{v4(2, 0)}
	case prefix6(0x2001, 0, 0, 0, 32).Contains(a): // Teredo (RFC 4380): server, and client inverted
		return []netip.Addr{v4(4, 0), v4(12, 0xff)}
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP (RFC 5214)
		return []netip.Addr{v4(12, 0)}
	}
	return nil
}

func zero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// ownAddrs knows the addresses that this machine has towards others: what
// listens on one of them is often not meant for them, however public the address
// (IPv6 without NAT). They are read when first asked for and then every few
// seconds, as interfaces come and go. What lo has besides loopback is put there
// for services that are meant to be found.
type ownAddrs struct {
	mu    sync.Mutex
	read  time.Time
	addrs []netip.Addr
}

func (o *ownAddrs) has(a netip.Addr) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.read.IsZero() || time.Since(o.read) > 5*time.Second {
		addrs, err := facing()
		if err != nil {
			return false, err
		}
		o.addrs, o.read = addrs, time.Now()
	}
	return slices.Contains(o.addrs, a.Unmap()), nil
}

// facing gives the addresses of all interfaces but lo.
func facing() (out []netip.Addr, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, n := range addrs {
			if n, ok := n.(*net.IPNet); ok {
				if own, ok := netip.AddrFromSlice(n.IP); ok {
					out = append(out, own.Unmap())
				}
			}
		}
	}
	return out, nil
}
