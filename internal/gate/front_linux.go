package gate

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NewFront makes the front end's data from the rules, for this machine. forced
// is the variant to take, "" for the best that works.
func NewFront(rules *Rules, forced string) (*Front, error) {
	f := &Front{Variant: AllPorts, IPv6: IPv6(), Ports: rules.Ports(), Localhost: rules.Localhost()}
	for _, r := range rules.All() {
		if r.Prefix.IsValid() {
			f.Addresses = append(f.Addresses, Address{r.Prefix, r.Port})
		}
	}
	switch Variant(forced) {
	case "":
		if !has(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER) {
			f.Variant = ByPort
		}
	case Slirp:
		f.Variant, f.Forced, f.IPv6 = Slirp, true, false // its IPv6 is experimental
	case AllPorts, ByPort:
		f.Variant, f.Forced = Variant(forced), true
	default:
		return nil, fmt.Errorf("AIGATE_GATE=%s: %s or %s", forced, AllPorts, ByPort)
	}
	return f, nil
}

// has says whether the kernel makes such sockets.
func has(domain, kind, protocol int) bool {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
