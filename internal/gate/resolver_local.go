package gate

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

var localhost4, localhost6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// isLocalhost is RFC 6761, 6.3: these names never leave the machine.
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// isOwnName says that the name is the machine's own, which programs (sudo, java,
// "hostname -f") look up about themselves, with or without a domain that they
// search. It is then the sandbox that is meant. A rule comes first.
func (r *Resolver) isOwnName(name string) bool {
	if r.Hostname == "" {
		return false
	}
	own := strings.ToLower(strings.TrimSuffix(r.Hostname, "."))
	if name == own {
		return true
	}
	rest, ok := r.underSearch(name)
	return ok && rest == own
}

func (r *Resolver) loopback() outcome {
	o := outcome{addrs: []netip.Addr{localhost4}, ttl: ttl}
	if r.IPv6 && !r.Loopback4 {
		o.addrs = append(o.addrs, localhost6)
	}
	return o
}

// reverse answers for an address that is written as a name. Addresses that mean
// nothing outside have no name and are no news.
func (r *Resolver) reverse(a netip.Addr) outcome {
	if a.IsLoopback() {
		return outcome{host: "localhost", ttl: ttl}
	}
	if name, ok := r.Names.Name(a); ok && r.Real == nil {
		return outcome{host: name, ttl: ttl}
	}
	local := a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || Synthetic4.Contains(a)
	if !local && !r.namedAddr(a) {
		r.reportAddr(a, "addresses outside have no names here")
	}
	return outcome{code: dnsmessage.RCodeNameError}
}

// namedAddr says that a rule names the address, on whatever port.
func (r *Resolver) namedAddr(a netip.Addr) bool {
	for _, rule := range r.Rules.All() {
		if rule.Prefix.IsValid() && rule.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

// reverseAddr reads "9.113.0.203.in-addr.arpa" and its like under ip6.arpa.
// What is not a whole address is a name like any other.
func reverseAddr(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(rest, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		var b [4]byte
		for i, label := range labels {
			n, err := strconv.ParseUint(label, 10, 8)
			if err != nil || strconv.FormatUint(n, 10) != label {
				return netip.Addr{}, false
			}
			b[3-i] = byte(n)
		}
		return netip.AddrFrom4(b), true
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(rest) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		n, err := strconv.ParseUint(rest[2*i:2*i+1], 16, 4)
		if err != nil || i < 31 && rest[2*i+1] != '.' {
			return netip.Addr{}, false
		}
		b[15-i/2] |= byte(n) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b), true
}
