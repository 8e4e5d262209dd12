package gate

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// What the table refuses comes back as copies of packets, nfnetlink_log in the
// kernel: the first packet of a connection, a datagram.

// Messages and attributes of linux/netfilter/nfnetlink_log.h.
const (
	nfulnlPacket    = 0
	nfulnlConfig    = 1
	nfulaPayload    = 9
	nfulaCfgCmd     = 1
	nfulaCfgMode    = 2
	nfulaCfgQthresh = 5
	nfulnlCmdBind   = 1
	nfulnlCopy      = 2
	logBytes        = 60 // enough for either IP header and the ports
)

// listenLog asks for the packets of logGroup, each at once.
func listenLog() *batch {
	m := &batch{}
	m.message(unix.NFNL_SUBSYS_ULOG<<8|nfulnlConfig, 0, func() {
		m.raw(unix.AF_UNSPEC, unix.NFNETLINK_V0)
		m.raw(big16(logGroup)...)
		m.attr(nfulaCfgCmd, nfulnlCmdBind)
		m.attr(nfulaCfgMode, append(big32(logBytes), nfulnlCopy, 0)...)
		m.attr(nfulaCfgQthresh, big32(1)...)
	})
	m.acknowledge()
	return m
}

// logged gives the packets that one read from the socket holds. Their contents
// are the command's; whatever they are, nothing happens but that fewer events
// come out.
func logged(b []byte) (out []Event) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			break
		}
		const header = unix.SizeofNlMsghdr + 4 // struct nfgenmsg
		if binary.NativeEndian.Uint16(b[4:]) == unix.NFNL_SUBSYS_ULOG<<8|nfulnlPacket && size >= header {
			if e, ok := wanted(payload(b[header:size])); ok {
				out = append(out, e)
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return out
}

// payload finds the packet among the attributes.
func payload(b []byte) []byte {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			break
		}
		if binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED == nfulaPayload {
			return b[unix.SizeofNlAttr:size]
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return nil
}

// wanted says what an IP packet wanted.
func wanted(p []byte) (Event, bool) {
	var to netip.Addr
	var protocol byte
	var rest []byte
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		to, _ = netip.AddrFromSlice(p[16:20])
		protocol, rest = p[9], p[min(len(p), int(p[0]&15)*4):]
	case len(p) >= 40 && p[0]>>4 == 6:
		to, _ = netip.AddrFromSlice(p[24:40])
		protocol, rest = p[6], p[40:] // with extension headers: no TCP, no event
	}
	if len(rest) < 4 || !to.IsValid() {
		return Event{}, false
	}
	e := Event{Addr: netip.AddrPortFrom(to, binary.BigEndian.Uint16(rest[2:]))}
	switch protocol {
	case unix.IPPROTO_TCP:
		e.Kind, e.Reason = "connect", "no rule names this address"
	case unix.IPPROTO_UDP:
		e.Kind, e.Reason = "udp", "only TCP passes the gate"
	default:
		return Event{}, false
	}
	return e, true
}
