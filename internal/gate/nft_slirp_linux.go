package gate

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// slirpTable is the ruleset of a sandbox with slirp4netns, as nft(8) would write it:
//
//	table inet aigate {
//	  set hosts { type ipv4_addr; }                   # of names that rules allow,
//	  set ports { type ipv4_addr . inet_service; }    # fed by the resolver
//	  chain out {                                     # every packet that a program sends
//	    type filter hook output priority filter;
//	    tcp flags & (fin|syn|rst|ack) != syn accept
//	    ip daddr 127.0.0.1 tcp dport PORT mark set 1 accept           # localhost:PORT
//	    ip daddr RESOLVER tcp dport 53 mark set 1 accept
//	    ip daddr { 127.0.0.0/8, RESOLVER, 10.0.2.100 } accept         # and ::1, but not port 1 there
//	    ip daddr ADDRESS ip daddr != METADATA… accept                 # that rules name
//	    ip daddr @hosts accept
//	    meta l4proto { tcp, udp } ip daddr . th dport @ports accept
//	    meta l4proto tcp log group 1 reject with tcp reset
//	    meta l4proto udp log group 1 reject
//	    drop
//	  }
//	  chain in { … }                                  # as in table
//	}
//
// Packets that belong to no new connection are sent by the kernel alone, for
// connections that these rules let begin: programs have no raw sockets.
func slirpTable(f *Front) *batch {
	m := &batch{}
	m.bracket(unix.NFNL_MSG_BATCH_BEGIN)
	m.nft(unix.NFT_MSG_NEWTABLE, 0, func() { m.text(unix.NFTA_TABLE_NAME, tableName) })
	m.addressSet(hostSet, 1, typeAddr, 4)
	m.addressSet(portSet, 2, typeAddr<<6|typePort, 8)
	m.chain("out", unix.NF_INET_LOCAL_OUT, 0)
	m.chain("in", unix.NF_INET_PRE_ROUTING, -150)
	m.slirpRules(f)
	m.inRules()
	m.acknowledge()
	m.bracket(unix.NFNL_MSG_BATCH_END)
	return m
}

const (
	hostSet  = "hosts"
	portSet  = "ports"
	typeAddr = 7  // nft(8)'s names for what is in a set, which the kernel keeps for it
	typePort = 13 // and does not read
	nfDrop   = 0
)

func (m *batch) slirpRules(f *Front) {
	out := func(fill func()) { m.rule("out", fill) }
	out(func() { m.protocol(unix.IPPROTO_TCP); m.notFirst(); m.accept() })
	for _, port := range f.Localhost {
		out(func() {
			m.to(single(netip.AddrFrom4([4]byte{127, 0, 0, 1})))
			m.protocol(unix.IPPROTO_TCP)
			m.port(cmpEqual, port)
			m.proxy()
		})
	}
	out(func() { m.to(single(Resolver4)); m.protocol(unix.IPPROTO_TCP); m.port(cmpEqual, 53); m.proxy() })
	for _, p := range []netip.Prefix{loopback4, single(Resolver4), single(netip.MustParseAddr(slirpAddr)), single(netip.IPv6Loopback())} {
		out(func() { m.notListener(p) })
		out(func() { m.to(p); m.accept() })
	}
	for _, a := range f.Addresses {
		switch {
		case !a.Prefix.Addr().Is4(): // the device carries IPv4 alone
		case a.Port == 0:
			out(func() { m.toMeant(a.Prefix); m.accept() })
		default:
			for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
				out(func() { m.toMeant(a.Prefix); m.protocol(proto); m.port(cmpEqual, a.Port); m.accept() })
			}
		}
	}
	out(func() { m.destination(); m.lookup(hostSet); m.accept() })
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		out(func() {
			m.protocol(proto)
			m.destination()
			m.loadTo(unix.NFT_REG32_01, unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
			m.lookup(portSet)
			m.accept()
		})
	}
	out(func() {
		m.protocol(unix.IPPROTO_TCP)
		m.log()
		m.reset()
	})
	out(func() {
		const portUnreachable = 1 // the same for both families: NFT_REJECT_ICMPX_PORT_UNREACH
		m.protocol(unix.IPPROTO_UDP)
		m.log()
		m.expr("reject", func() {
			m.attr(nftaRejectType, big32(unix.NFT_REJECT_ICMPX_UNREACH)...)
			m.attr(nftaRejectCode, portUnreachable)
		})
	})
	out(func() { m.verdict(nfDrop) })
}

const nftaRejectCode = 2

// toMeant is to for a network that a rule names, without the ranges in it that it
// does not mean, as AllowsAddr has it.
func (m *batch) toMeant(p netip.Prefix) {
	m.to(p)
	for _, r := range reaches {
		if r.reach == never && r.net.Bits() > p.Bits() && p.Contains(r.net.Addr()) {
			m.within(cmpOther, r.net)
		}
	}
}

// destination puts the IPv4 destination into the register; packets of IPv6 go on
// to the next rule.
func (m *batch) destination() {
	m.meta(unix.NFT_META_NFPROTO)
	m.equal([]byte{unix.NFPROTO_IPV4})
	m.load(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
}

func (m *batch) lookup(set string) {
	m.expr("lookup", func() {
		m.text(unix.NFTA_LOOKUP_SET, set)
		m.attr(unix.NFTA_LOOKUP_SREG, big32(unix.NFT_REG_1)...)
	})
}

func (m *batch) addressSet(name string, id, typ, size uint32) {
	m.nft(unix.NFT_MSG_NEWSET, 0, func() {
		m.text(unix.NFTA_SET_TABLE, tableName)
		m.text(unix.NFTA_SET_NAME, name)
		m.attr(unix.NFTA_SET_FLAGS, big32(0)...)
		m.attr(unix.NFTA_SET_KEY_TYPE, big32(typ)...)
		m.attr(unix.NFTA_SET_KEY_LEN, big32(size)...)
		m.attr(unix.NFTA_SET_ID, big32(id)...)
	})
}

// elements adds targets to the sets, or takes them out.
func elements(typ uint16, targets []target) *batch {
	m := &batch{}
	m.bracket(unix.NFNL_MSG_BATCH_BEGIN)
	for _, t := range targets {
		m.nft(typ, 0, func() {
			set, key := hostSet, t.addr.AsSlice()
			if t.port != 0 {
				set, key = portSet, append(append(key, big16(t.port)...), 0, 0)
			}
			m.text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
			m.text(unix.NFTA_SET_ELEM_LIST_SET, set)
			m.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
				m.nest(unix.NFTA_LIST_ELEM, func() {
					m.nest(unix.NFTA_SET_ELEM_KEY, func() { m.attr(unix.NFTA_DATA_VALUE, key...) })
				})
			})
		})
	}
	m.acknowledge()
	m.bracket(unix.NFNL_MSG_BATCH_END)
	return m
}
