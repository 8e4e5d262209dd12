package gate

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Rule is one entry of allow_net. It names either hosts, by Name, or
// addresses, by Prefix, or a port of the caller's own machine.
type Rule struct {
	Text      string       // as the user wrote it
	Name      string       // NormalName's form; "" for address rules, "localhost" with Localhost
	Wildcard  bool         // "*.Name": what lies below Name at any depth, not Name itself
	Prefix    netip.Prefix // masked and never v4-mapped; the zero Prefix for names
	Localhost bool         // the caller's machine; Port is then never 0
	Port      uint16       // 0: any
}

// String writes the rule in the one form that ParseRule turns all others into.
func (r Rule) String() string {
	host := r.Name
	switch {
	case r.Wildcard:
		host = "*." + r.Name
	case r.Name == "" && r.Prefix.IsSingleIP():
		host = r.Prefix.Addr().String()
	case r.Name == "":
		host = r.Prefix.String()
	}
	if r.Port == 0 {
		return host
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(r.Port))
}

// Synthetic4 and Synthetic6 are the addresses that stand for names inside a
// sandbox. 198.18.0.0/15 is set aside for benchmarks (RFC 2544), the other is a
// unique local prefix (RFC 4193) of our own.
var (
	Synthetic4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18}), 15)
	Synthetic6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x61, 0x69, 0x67, 0x61, 0x74, 0x65}), 64)
)

// Rules answers what the gate lets through. The zero value allows nothing.
//
// Names given to it have to be in NormalName's form; others match nothing.
type Rules struct {
	all   []Rule
	exact map[string]ports
	below map[string]ports // of wildcards, by the name behind "*."
}

// ports are those of the rules for one name.
type ports struct {
	any  bool
	some []uint16
}

func (p ports) has(port uint16) bool { return p.any || slices.Contains(p.some, port) }

func (p ports) with(port uint16) ports {
	if port == 0 {
		p.any = true
	} else {
		p.some = append(p.some, port)
	}
	return p
}

// NewRules parses the entries of allow_net. The error is the first bad one's, a *RuleError.
func NewRules(entries []string) (*Rules, error) {
	r := &Rules{exact: map[string]ports{}, below: map[string]ports{}}
	for _, text := range entries {
		rule, err := ParseRule(text)
		if err != nil {
			return nil, fmt.Errorf("allow_net: %w", err)
		}
		r.all = append(r.all, rule)
		switch {
		case rule.Localhost, rule.Name == "":
		case rule.Wildcard:
			r.below[rule.Name] = r.below[rule.Name].with(rule.Port)
		default:
			r.exact[rule.Name] = r.exact[rule.Name].with(rule.Port)
		}
	}
	return r, nil
}

// portsOf gives the ports at which name may be reached, 0 for all of them.
func (r *Rules) portsOf(name string) (out []uint16) {
	r.match(name, func(p ports) bool {
		if p.any {
			out = append(out, 0)
		}
		out = append(out, p.some...)
		return false // and go on
	})
	if slices.Contains(out, 0) {
		return []uint16{0}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// All gives the rules in the order of the entries.
func (r *Rules) All() []Rule { return r.all }

// Name says that some rule names name, on whatever port. "localhost" is none:
// it is not looked up.
func (r *Rules) Name(name string) bool {
	return r.match(name, func(ports) bool { return true })
}

// AllowsName says whether name may be reached at port, and whether a rule
// without a wildcard says so.
func (r *Rules) AllowsName(name string, port uint16) (ok, exact bool) {
	if r.exact[name].has(port) {
		return true, true
	}
	return r.match(name, func(p ports) bool { return p.has(port) }), false
}

// match asks yes of the rule for name and of every wildcard above it.
func (r *Rules) match(name string, yes func(ports) bool) bool {
	if p, ok := r.exact[name]; ok && yes(p) {
		return true
	}
	for label, parent, ok := strings.Cut(name, "."); ok && label != ""; label, parent, ok = strings.Cut(parent, ".") {
		if p, named := r.below[parent]; named && yes(p) {
			normal, ok := NormalName(name)
			return ok && normal == name
		}
	}
	return false
}

// AllowsAddr says whether a rule names the address a at port. A network does
// not name what lies in one of the ranges that no name may lead to unless it is
// as narrow as that range: 160.0.0.0/4 is no word about 169.254.169.254.
func (r *Rules) AllowsAddr(a netip.Addr, port uint16) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || Synthetic4.Contains(a) || Synthetic6.Contains(a) {
		return false
	}
	least := narrowest(a)
	for _, rule := range r.all {
		if rule.Prefix.IsValid() && rule.Prefix.Bits() >= least && (rule.Port == 0 || rule.Port == port) && rule.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

// narrowest is the length that a prefix has at least when it means a.
func narrowest(a netip.Addr) int {
	least := 1
	for i := range reaches {
		if reaches[i].reach == never && reaches[i].net.Contains(a) {
			least = max(least, reaches[i].net.Bits())
		}
	}
	for _, inner := range carried(a) {
		if r, _ := plainReach(inner); r == never {
			return a.BitLen()
		}
	}
	return least
}

func prefix4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

func prefix6(a, b, c, d uint16, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{
		byte(a >> 8), byte(a), byte(b >> 8), byte(b), byte(c >> 8), byte(c), byte(d >> 8), byte(d)}), bits)
}

// Localhost gives the ports of this machine that rules name, each once, in order.
func (r *Rules) Localhost() []uint16 {
	var out []uint16
	for _, rule := range r.all {
		if rule.Localhost {
			out = append(out, rule.Port)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Ports gives the ports to listen on where not all can be caught: those that
// rules name and, when one names none, those of ssh, http and https. The ports
// of localhost are not among them.
func (r *Rules) Ports() []uint16 {
	var out []uint16
	for _, rule := range r.all {
		switch {
		case rule.Localhost:
		case rule.Port == 0:
			out = append(out, 22, 80, 443)
		default:
			out = append(out, rule.Port)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
