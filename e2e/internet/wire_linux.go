package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// watchWire tells of every packet that leaves the machine for somewhere new, whether or not anybody serves there: a
// line «wire PROTOCOL ADDRESS:PORT» for each first packet of a TCP connection and every other one.
func watchWire(l *journal) error {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	eth, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: eth.Index}); err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				continue
			}
			ll, ok := from.(*unix.SockaddrLinklayer)
			if !ok || ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if line := describe(ll.Protocol, buf[:n]); line != "" {
				l.printf("wire %s", line)
			}
		}
	}()
	return nil
}

// describe is a packet in words, "" for those that tell nothing: the rest of a TCP connection, neighbour discovery.
func describe(protocol uint16, p []byte) string {
	var next byte
	var to netip.Addr
	var body []byte
	switch {
	case protocol == 0x0800>>8|0x0800<<8&0xff00 && len(p) >= 20:
		next, to, body = p[9], netip.AddrFrom4([4]byte(p[16:20])), p[min(int(p[0]&15)*4, len(p)):]
	case protocol == 0x86dd>>8|0x86dd<<8&0xff00 && len(p) >= 40:
		next, to, body = p[6], netip.AddrFrom16([16]byte(p[24:40])), p[40:]
	default:
		return ""
	}
	port := uint16(0)
	if len(body) >= 4 {
		port = binary.BigEndian.Uint16(body[2:])
	}
	if port == 53 && to.String() == hostsResolver {
		return "" // the machine's own, for whom it asks is a line of its own
	}
	switch next {
	case unix.IPPROTO_TCP:
		const syn, ack = 2, 16
		if len(body) < 14 || body[13]&(syn|ack) != syn {
			return ""
		}
		return "tcp " + netip.AddrPortFrom(to, port).String()
	case unix.IPPROTO_UDP:
		return "udp " + netip.AddrPortFrom(to, port).String()
	case unix.IPPROTO_ICMPV6:
		if to.IsMulticast() || len(body) > 0 && body[0] >= 133 && body[0] <= 137 {
			return ""
		}
		return "icmp " + to.String()
	case unix.IPPROTO_ICMP:
		return "icmp " + to.String()
	case 0: // hop-by-hop options: multicast listener reports
		return ""
	}
	return fmt.Sprintf("protocol-%d %s", next, to)
}
