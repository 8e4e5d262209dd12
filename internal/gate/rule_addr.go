package gate

import (
	"net/netip"
	"strconv"
	"strings"
)

// addrRule is the rule for one address.
func addrRule(text string, a netip.Addr, port uint16) (Rule, error) {
	if a.Zone() != "" {
		return Rule{}, bad(write(strings.ReplaceAll(text, "%"+a.Zone(), "")), "%q names an interface, allow_net takes addresses", text)
	}
	a = a.Unmap()
	if a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback() {
		return localRule(text, port, false)
	}
	return networkRule(text, netip.PrefixFrom(a, a.BitLen()), port)
}

// prefixRule is the rule for a network in CIDR notation.
func prefixRule(text, cidr string, port uint16) (Rule, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return Rule{}, notANetwork(text, cidr)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return Rule{}, bad("write "+strconv.Quote(p.Masked().String())+", or "+strconv.Quote(p.Addr().String())+" for that address alone",
			"%q has bits behind its prefix", text)
	}
	return networkRule(text, p, port)
}

func notANetwork(text, cidr string) error {
	host, _, _ := strings.Cut(cidr, "/")
	if _, err := netip.ParseAddr(host); err != nil {
		if _, err := ParseRule(host); err == nil {
			return bad(write(host), "%q has a path, allow_net judges hosts and ports alone", text)
		}
	}
	return bad(`write a network such as "10.1.0.0/16"`, "%q is no network in CIDR notation", text)
}

// networkRule refuses what a connection cannot go to, or what would open more than was meant.
func networkRule(text string, p netip.Prefix, port uint16) (Rule, error) {
	a := p.Addr()
	switch {
	case p.Bits() == 0:
		return Rule{}, bad("for the host's whole network remove the key allow_net", "%q would allow every address", text)
	case a.IsLoopback():
		return Rule{}, localOnly(text, port)
	case a.IsUnspecified() && p.IsSingleIP(), a.Is4() && a.As4()[0] == 0 && p.Bits() >= 8, // RFC 1122, 3.2.1.3
		a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Rule{}, bad("", "%q is no address of a machine", text)
	case a.Is6() && a.IsLinkLocalUnicast():
		return Rule{}, bad("give the machine an address that is valid beyond one link, or a name", "%q needs an interface, which rules cannot name", text)
	case Synthetic4.Overlaps(p) && p.Bits() >= Synthetic4.Bits() || Synthetic6.Overlaps(p) && p.Bits() >= Synthetic6.Bits():
		return Rule{}, bad("name the host instead", "%q is where the sandbox keeps the addresses that stand for names", text)
	}
	return Rule{Text: text, Prefix: p, Port: port}, nil
}

func localOnly(text string, port uint16) error {
	hint := `name the port of the service, such as "localhost:11434"`
	if port != 0 {
		hint = write("localhost:" + strconv.Itoa(int(port)))
	}
	return bad(hint, "%q is this machine", text)
}
