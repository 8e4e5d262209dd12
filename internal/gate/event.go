package gate

import (
	"net/netip"
	"strconv"
)

// An Event is something that the gate refused, or could not do, and why.
type Event struct {
	Kind   string         // where it was noticed: "dns", "connect", "tls", "http" or "udp"
	Name   string         // the name in question, "" when there is none
	Addr   netip.AddrPort // the address and port; with a Name, only the port may be known
	Reason string         // for a user, in few words
	Count  int            // how many it stands for, where they are too many to tell one by one
	Failed bool           // not refused: a rule allows it, but it could not be done
}

// Subject is what the event is about, in the form that a rule has: "evil.com",
// "evil.com:443" or "203.0.113.9:443"; behind UDP, for which there are no
// rules, stands "/udp". Events that stand for many have none.
func (e Event) Subject() string {
	s := e.subject()
	if e.Kind == "udp" && s != "" {
		s += "/udp"
	}
	return s
}

func (e Event) subject() string {
	switch port := e.Addr.Port(); {
	case e.Name != "" && port != 0:
		return e.Name + ":" + strconv.Itoa(int(port))
	case e.Name != "":
		return e.Name
	case e.Addr.Addr().IsValid() && port == 0:
		return e.Addr.Addr().String()
	case e.Addr.Addr().IsValid():
		return e.Addr.String()
	}
	return ""
}
