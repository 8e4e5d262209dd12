package gate

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenPort is where TPROXY leads. No command inside can want it for itself:
// it is below 1024.
const listenPort = 1

// logGroup is the NFLOG group of what is refused.
const logGroup = 1

// proxied is the mark on the first packet of a connection that is for the gate.
// Nothing inside can mark packets itself (SO_MARK takes a capability).
const proxied = 1

// table is the sandbox's nf_tables ruleset, as nft(8) would write it:
//
//	table inet aigate {
//	  chain out {                       # every packet that a program sends
//	    type filter hook output priority filter;
//	    tcp flags & (fin|syn|rst|ack) != syn accept
//	    tcp dport 53 mark set 1 accept
//	    ip daddr 127.0.0.1 tcp dport PORT mark set 1 accept     # localhost:PORT
//	    ip daddr 127.0.0.0/8 tcp dport 1 reject with tcp reset  # and our own addresses
//	    ip daddr 127.0.0.0/8 accept
//	    ip daddr 198.18.0.0/15 meta l4proto tcp mark set 1 accept   # and what rules name
//	    meta l4proto tcp log group 1 reject with tcp reset
//	    udp dport != 53 log group 1     # nobody listens: port unreachable
//	  }
//	  chain in {                        # the same packets, as they come back on lo
//	    type filter hook prerouting priority mangle;
//	    mark 1 tproxy to :1 accept
//	  }
//	}
//
// Everything is decided in one place and once for a connection; its other
// packets meet two comparisons. Without refuse, which takes expressions that a
// kernel may lack, what no rule names is led to the gate, which refuses it.
func table(f *Front, refuse bool) *batch {
	m := &batch{b: make([]byte, 0, 8<<10)}
	m.bracket(unix.NFNL_MSG_BATCH_BEGIN)
	m.nft(unix.NFT_MSG_NEWTABLE, 0, func() {
		m.text(unix.NFTA_TABLE_NAME, tableName)
	})
	m.chain("out", unix.NF_INET_LOCAL_OUT, 0)
	m.chain("in", unix.NF_INET_PRE_ROUTING, -150)
	m.outRules(f, refuse)
	m.inRules()
	m.acknowledge()
	m.bracket(unix.NFNL_MSG_BATCH_END)
	return m
}

// inRules lead marked packets to the gate's listener.
func (m *batch) inRules() {
	m.rule("in", func() {
		m.meta(unix.NFT_META_MARK)
		m.equal(native32(proxied))
		m.set(big16(listenPort))
		m.expr("tproxy", func() {
			m.attr(nftaTproxyFamily, big32(unix.NFPROTO_UNSPEC)...)
			m.attr(nftaTproxyRegPort, big32(unix.NFT_REG_1)...)
		})
		m.accept()
	})
}

const (
	tableName         = "aigate"
	nftaTproxyFamily  = 1
	nftaTproxyRegPort = 3
	nftaRejectType    = 1
	nfAccept          = 1
)

var loopback4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)

func (m *batch) outRules(f *Front, refuse bool) {
	out := func(fill func()) { m.rule("out", fill) }
	out(func() { m.protocol(unix.IPPROTO_TCP); m.notFirst(); m.accept() })
	out(func() { m.protocol(unix.IPPROTO_TCP); m.port(cmpEqual, 53); m.proxy() })
	for _, port := range f.Localhost {
		for _, a := range f.families(netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()) {
			out(func() { m.to(single(a)); m.protocol(unix.IPPROTO_TCP); m.port(cmpEqual, port); m.proxy() })
		}
	}
	own := []netip.Prefix{loopback4, single(Resolver4)}
	named := []Address{{Prefix: Synthetic4}}
	if f.IPv6 {
		own = append(own, single(netip.IPv6Loopback()), single(Resolver6))
		named = append(named, Address{Prefix: Synthetic6})
	}
	for _, p := range own {
		if refuse {
			out(func() { m.notListener(p) })
		}
		out(func() { m.to(p); m.accept() })
	}
	if !refuse {
		out(func() { m.protocol(unix.IPPROTO_TCP); m.proxy() })
		return
	}
	for _, a := range append(named, f.Addresses...) {
		if a.Prefix.Addr().Is6() && !f.IPv6 {
			continue
		}
		out(func() {
			m.to(a.Prefix)
			m.protocol(unix.IPPROTO_TCP)
			if a.Port != 0 {
				m.port(cmpEqual, a.Port)
			}
			m.proxy()
		})
	}
	out(func() {
		m.protocol(unix.IPPROTO_TCP)
		m.log()
		m.reset()
	})
	out(func() { m.protocol(unix.IPPROTO_UDP); m.port(cmpOther, 53); m.log() })
}

// notListener has nobody listen where TPROXY leads, for those who go there
// straight: programs try port 1 to see what a refused connection is like.
func (m *batch) notListener(own netip.Prefix) {
	m.to(own)
	m.protocol(unix.IPPROTO_TCP)
	m.port(cmpEqual, listenPort)
	m.reset()
}

func (m *batch) reset() {
	m.expr("reject", func() { m.attr(nftaRejectType, big32(unix.NFT_REJECT_TCP_RST)...) })
}

// families gives the addresses of the families that are there.
func (f *Front) families(v4, v6 netip.Addr) []netip.Addr {
	if f.IPv6 {
		return []netip.Addr{v4, v6}
	}
	return []netip.Addr{v4}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// bracket begins or ends the transaction.
func (m *batch) bracket(typ uint16) {
	m.message(typ, 0, func() { m.raw(unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES) })
}

func (m *batch) nft(typ uint16, flags uint16, fill func()) {
	m.message(unix.NFNL_SUBSYS_NFTABLES<<8|typ, unix.NLM_F_CREATE|flags, func() {
		m.raw(unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0)
		fill()
	})
}

func (m *batch) chain(name string, hook uint32, priority int32) {
	m.nft(unix.NFT_MSG_NEWCHAIN, 0, func() {
		m.text(unix.NFTA_CHAIN_TABLE, tableName)
		m.text(unix.NFTA_CHAIN_NAME, name)
		m.nest(unix.NFTA_CHAIN_HOOK, func() {
			m.attr(unix.NFTA_HOOK_HOOKNUM, big32(hook)...)
			m.attr(unix.NFTA_HOOK_PRIORITY, big32(uint32(priority))...)
		})
		m.text(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

func (m *batch) rule(chain string, fill func()) {
	m.nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_APPEND, func() {
		m.text(unix.NFTA_RULE_TABLE, tableName)
		m.text(unix.NFTA_RULE_CHAIN, chain)
		m.nest(unix.NFTA_RULE_EXPRESSIONS, fill)
	})
}

// expr appends one expression of a rule. All use register 1, one after the other.
func (m *batch) expr(name string, fill func()) {
	m.nest(unix.NFTA_LIST_ELEM, func() {
		m.text(unix.NFTA_EXPR_NAME, name)
		m.nest(unix.NFTA_EXPR_DATA, fill)
	})
}

const (
	cmpEqual = unix.NFT_CMP_EQ
	cmpOther = unix.NFT_CMP_NEQ
)

func (m *batch) meta(key uint32) {
	m.expr("meta", func() {
		m.attr(unix.NFTA_META_DREG, big32(unix.NFT_REG_1)...)
		m.attr(unix.NFTA_META_KEY, big32(key)...)
	})
}

func (m *batch) compare(op uint32, value []byte) {
	m.expr("cmp", func() {
		m.attr(unix.NFTA_CMP_SREG, big32(unix.NFT_REG_1)...)
		m.attr(unix.NFTA_CMP_OP, big32(op)...)
		m.nest(unix.NFTA_CMP_DATA, func() { m.attr(unix.NFTA_DATA_VALUE, value...) })
	})
}

func (m *batch) equal(value []byte) { m.compare(cmpEqual, value) }

func (m *batch) load(base, offset, size uint32) { m.loadTo(unix.NFT_REG_1, base, offset, size) }

func (m *batch) loadTo(register, base, offset, size uint32) {
	m.expr("payload", func() {
		m.attr(unix.NFTA_PAYLOAD_DREG, big32(register)...)
		m.attr(unix.NFTA_PAYLOAD_BASE, big32(base)...)
		m.attr(unix.NFTA_PAYLOAD_OFFSET, big32(offset)...)
		m.attr(unix.NFTA_PAYLOAD_LEN, big32(size)...)
	})
}

func (m *batch) mask(mask []byte) {
	m.expr("bitwise", func() {
		m.attr(unix.NFTA_BITWISE_SREG, big32(unix.NFT_REG_1)...)
		m.attr(unix.NFTA_BITWISE_DREG, big32(unix.NFT_REG_1)...)
		m.attr(unix.NFTA_BITWISE_LEN, big32(uint32(len(mask)))...)
		m.nest(unix.NFTA_BITWISE_MASK, func() { m.attr(unix.NFTA_DATA_VALUE, mask...) })
		m.nest(unix.NFTA_BITWISE_XOR, func() { m.attr(unix.NFTA_DATA_VALUE, make([]byte, len(mask))...) })
	})
}

// set puts a value into the register.
func (m *batch) set(value []byte) {
	m.expr("immediate", func() {
		m.attr(unix.NFTA_IMMEDIATE_DREG, big32(unix.NFT_REG_1)...)
		m.nest(unix.NFTA_IMMEDIATE_DATA, func() { m.attr(unix.NFTA_DATA_VALUE, value...) })
	})
}

func (m *batch) protocol(p byte) {
	m.meta(unix.NFT_META_L4PROTO)
	m.equal([]byte{p})
}

// port compares the destination's, which TCP and UDP have in the same place.
func (m *batch) port(op uint32, port uint16) {
	m.load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
	m.compare(op, big16(port))
}

// notFirst holds for every packet but the first of a connection.
func (m *batch) notFirst() {
	const fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10
	m.load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1)
	m.mask([]byte{fin | syn | rst | ack})
	m.compare(cmpOther, []byte{syn})
}

// to compares the destination address.
func (m *batch) to(p netip.Prefix) {
	fam := byte(unix.NFPROTO_IPV4)
	if p.Addr().Is6() {
		fam = unix.NFPROTO_IPV6
	}
	m.meta(unix.NFT_META_NFPROTO)
	m.equal([]byte{fam})
	m.within(cmpEqual, p)
}

// within compares the destination, of a packet of p's family, with p.
func (m *batch) within(op uint32, p netip.Prefix) {
	a, offset := p.Masked().Addr().AsSlice(), uint32(16)
	if p.Addr().Is6() {
		offset = 24
	}
	a = a[:max((p.Bits()+7)/8, 1)] // only the bytes that matter
	m.load(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, uint32(len(a)))
	if p.Bits() < 8*len(a) {
		mask := bytes.Repeat([]byte{0xff}, len(a))
		mask[len(a)-1] <<= 8*len(a) - p.Bits()
		m.mask(mask)
	}
	m.compare(op, a)
}

// proxy marks the packet for the gate.
func (m *batch) proxy() {
	m.set(native32(proxied))
	m.expr("meta", func() {
		m.attr(unix.NFTA_META_KEY, big32(unix.NFT_META_MARK)...)
		m.attr(unix.NFTA_META_SREG, big32(unix.NFT_REG_1)...)
	})
	m.accept()
}

func (m *batch) log() {
	m.expr("log", func() { m.attr(unix.NFTA_LOG_GROUP, big16(logGroup)...) })
}

func (m *batch) accept() { m.verdict(nfAccept) }

func (m *batch) verdict(code uint32) {
	m.expr("immediate", func() {
		m.attr(unix.NFTA_IMMEDIATE_DREG, big32(unix.NFT_REG_VERDICT)...)
		m.nest(unix.NFTA_IMMEDIATE_DATA, func() {
			m.nest(unix.NFTA_DATA_VERDICT, func() { m.attr(unix.NFTA_VERDICT_CODE, big32(code)...) })
		})
	})
}

// errAbsent is wrapped when the kernel was built without something.
var errAbsent = errors.New("not in this kernel")

// apply puts a table in place. A kernel that lacks an expression answers ENOENT,
// one without nf_tables EOPNOTSUPP.
func apply(fd int, m *batch) error {
	failed, err := exchange(fd, m)
	if err != nil {
		return err
	}
	for n := uint32(1); n <= m.n; n++ {
		switch e := failed[n]; e {
		case 0:
		case unix.ENOENT, unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT:
			return fmt.Errorf("%w (message %d: %w)", errAbsent, n, syscall.Errno(e))
		default:
			return fmt.Errorf("message %d: %w", n, e)
		}
	}
	return nil
}
