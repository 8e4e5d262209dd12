package gate

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// loopbackIndex is lo's in every network namespace: it is the first device.
const loopbackIndex = 1

// routes are the messages that make every address local: a program that connects
// anywhere reaches a socket in its own namespace. The addresses are there because
// glibc and others look up no IPv4 (IPv6) address where no interface has one
// (AI_ADDRCONFIG in getaddrinfo(3)), and because the source of a connection would
// otherwise be its destination, which makes TCP connect to itself.
//
// The messages for IPv6 come first; see sixth.
func routes(ipv6 bool) *batch {
	m := &batch{}
	if ipv6 {
		m.address(Resolver6)
		m.localRoute(netip.PrefixFrom(netip.IPv6Unspecified(), 0), Resolver6)
	}
	m.address(Resolver4)
	m.localRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), Resolver4)
	m.acknowledge()
	return m
}

// ownAddress are the messages where the routes are slirp4netns's.
func ownAddress() *batch {
	m := &batch{}
	m.address(Resolver4)
	m.acknowledge()
	return m
}

// sixth is how many of the messages of routes are about IPv6.
const sixth = 2

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (m *batch) address(a netip.Addr) {
	m.message(unix.RTM_NEWADDR, unix.NLM_F_CREATE, func() {
		// struct ifaddrmsg: family, prefix length, flags, scope, index
		m.raw(family(a), byte(a.BitLen()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE)
		m.raw(native32(loopbackIndex)...)
		m.attr(unix.IFA_LOCAL, a.AsSlice()...)
		m.attr(unix.IFA_ADDRESS, a.AsSlice()...)
	})
}

func (m *batch) localRoute(to netip.Prefix, source netip.Addr) {
	m.message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, func() {
		// struct rtmsg: family, destination and source length, tos, table, protocol, scope, type, flags
		m.raw(family(to.Addr()), byte(to.Bits()), 0, 0,
			unix.RT_TABLE_LOCAL, unix.RTPROT_BOOT, unix.RT_SCOPE_HOST, unix.RTN_LOCAL)
		m.raw(native32(0)...)
		m.attr(unix.RTA_OIF, native32(loopbackIndex)...)
		m.attr(unix.RTA_PREFSRC, source.AsSlice()...)
	})
}

// route makes every address local, and says whether those of IPv6 are, too: a
// machine where IPv6 is switched off refuses them.
func route(fd int, ipv6 bool) (six bool, err error) {
	failed, err := exchange(fd, routes(ipv6))
	if err != nil {
		return false, fmt.Errorf("set routes: %w", err)
	}
	six = ipv6
	for n, e := range failed {
		off := errors.Is(e, unix.EACCES) || errors.Is(e, unix.EOPNOTSUPP) || errors.Is(e, unix.EAFNOSUPPORT)
		if !ipv6 || n > sixth || !off {
			return false, fmt.Errorf("set routes (message %d): %w", n, e)
		}
		six = false
	}
	return six, nil
}
