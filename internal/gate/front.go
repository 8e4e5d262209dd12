package gate

import (
	"fmt"
	"net/netip"
	"strings"
)

// Front is what the transparent front end does inside: plain data, made from the
// rules before anything is started.
type Front struct {
	Variant   Variant   `json:"variant"`
	Forced    bool      `json:"forced,omitempty"` // no other variant will do
	IPv6      bool      `json:"ipv6"`
	Ports     []uint16  `json:"ports,omitempty"`     // listened on with ByPort
	Localhost []uint16  `json:"localhost,omitempty"` // of 127.0.0.1 and ::1, which lead to the caller's machine
	Addresses []Address `json:"addresses,omitempty"` // that rules name
}

// Address is a range that a rule names, and the port, 0 for any.
type Address struct {
	Prefix netip.Prefix `json:"prefix"`
	Port   uint16       `json:"port,omitempty"`
}

// Variant is how connections come to the gate.
type Variant string

// The variants. All ports are caught by TPROXY of nf_tables; where the kernel
// has none, there is a listener for each port that a rule can mean. With Slirp,
// which users ask for, packets leave by slirp4netns.
const (
	AllPorts Variant = "tproxy"
	ByPort   Variant = "ports"
	Slirp    Variant = "slirp4netns"
	Proxy    Variant = "proxy"
)

func (f *Front) String() string {
	if f == nil {
		return ""
	}
	var b strings.Builder
	if f.Variant != Proxy {
		b.WriteString("own namespace, ")
	}
	switch f.Variant {
	case Proxy:
		b.WriteString("gate by a proxy on this machine")
	case ByPort:
		fmt.Fprintf(&b, "gate on ports %s", join(f.Ports))
	case Slirp:
		b.WriteString("slirp4netns to the addresses of allowed names")
	default:
		b.WriteString("gate on every port")
	}
	if len(f.Localhost) > 0 {
		fmt.Fprintf(&b, ", localhost:%s of the host", join(f.Localhost))
	}
	if !f.IPv6 {
		b.WriteString(", no IPv6")
	}
	return b.String()
}

func join(ports []uint16) string {
	var out []string
	for _, p := range ports {
		out = append(out, fmt.Sprint(p))
	}
	return strings.Join(out, ",")
}
