package gate

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Sizes of messages. What the resolver says about itself by EDNS is what the
// "DNS flag day 2020" agreed on.
const (
	Datagram = 1232  // the largest answer in a packet, for those who say that they take it
	Stream   = 65535 // the largest answer over TCP

	plainDatagram = 512  // for those who say nothing (RFC 1035, 4.2.1)
	maxQuery      = 4096 // no program has that much to ask
	headerSize    = 12
)

// What dnsmessage does not name.
const (
	typeURI  = dnsmessage.Type(256)
	typeTLSA = dnsmessage.Type(52)

	rcodeBadVersion = dnsmessage.RCode(16) // RFC 6891, 9

	// RFC 8914: why there is no answer, for people and agents who look with dig.
	optionExtendedError = 15
	extendedOther       = 0
	extendedBlocked     = 15
	extendedUnreachable = 22
)

// ttl is short: the addresses are stable, but rules may change in a run.
const (
	ttl         = 60
	ttlNegative = 5
)

// A query is one question, as it came.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	asked    bool   // there is a question to repeat in the answer
	name     string // its name: lower case, no dot at the end, odd bytes as \ddd; "" is the root
	edns     bool
	dnssec   bool // RFC 3225: the bit is copied
	limit    int  // of the answer
}

// An outcome is what there is to answer. The zero outcome is an empty answer:
// the name is there, but not what was asked for.
type outcome struct {
	code  dnsmessage.RCode
	addrs []netip.Addr
	host  string // a PTR record's
	ttl   uint32 // of addrs

	extended uint16 // with a text
	text     string
}

// parseQuery reads a query. A nil query gets no answer: it is too short to have
// an ID, or it is an answer itself, which two resolvers could send to and fro
// for ever. With a code that is not success the code is the answer.
func parseQuery(b []byte, size int) (*query, dnsmessage.RCode) {
	if len(b) < headerSize || b[2]&0x80 != 0 {
		return nil, 0
	}
	q := &query{limit: min(size, plainDatagram)}
	if size >= Stream {
		q.limit = size
	}
	var p dnsmessage.Parser
	var err error
	if q.header, err = p.Start(b); err != nil {
		return nil, 0
	}
	if q.header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented
	}
	questions, records := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint32(b[6:])
	if len(b) > maxQuery || questions != 1 || records != 0 {
		return q, dnsmessage.RCodeFormatError
	}
	if q.question, err = p.Question(); err != nil {
		return q, dnsmessage.RCodeFormatError
	}
	q.asked = true
	q.name = text(q.question.Name)
	if code := q.parseOptions(&p, size); code != dnsmessage.RCodeSuccess {
		return q, code
	}
	if q.question.Class != dnsmessage.ClassINET {
		return q, dnsmessage.RCodeRefused
	}
	return q, dnsmessage.RCodeSuccess
}

// parseOptions looks for EDNS (RFC 6891) among the additional records. Other
// records there, such as signatures of the query, are read over.
func (q *query) parseOptions(p *dnsmessage.Parser, size int) dnsmessage.RCode {
	if errors.Join(p.SkipAllQuestions(), p.SkipAllAnswers(), p.SkipAllAuthorities()) != nil {
		return dnsmessage.RCodeFormatError
	}
	badVersion := false
	for {
		h, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return dnsmessage.RCodeFormatError
		}
		if h.Type == dnsmessage.TypeOPT {
			if q.edns || h.Name.Length != 1 {
				return dnsmessage.RCodeFormatError
			}
			if _, err := p.OPTResource(); err != nil {
				return dnsmessage.RCodeFormatError
			}
			q.edns, q.dnssec = true, h.DNSSECAllowed()
			q.limit = max(q.limit, min(size, int(h.Class)))
			badVersion = h.TTL>>16&0xff != 0
		} else if p.SkipAdditional() != nil {
			return dnsmessage.RCodeFormatError
		}
	}
	if badVersion {
		return rcodeBadVersion
	}
	return dnsmessage.RCodeSuccess
}

// answer is the message to send. One that does not fit is sent without its
// records and says so: the program asks again over TCP.
func (q *query) answer(o outcome) []byte {
	m := q.message(o)
	b, err := m.Pack()
	if err == nil && len(b) > q.limit {
		m.Truncated = true
		m.Answers, m.Authorities = nil, nil
		b, err = m.Pack()
	}
	if err != nil { // a name that can be read but not written, such as one with an empty label
		m = dnsmessage.Message{Header: m.Header}
		m.RCode = dnsmessage.RCodeFormatError
		b, _ = m.Pack()
	}
	return b
}

func (q *query) message(o outcome) dnsmessage.Message {
	m := dnsmessage.Message{Header: dnsmessage.Header{
		ID:               q.header.ID,
		Response:         true,
		OpCode:           q.header.OpCode,
		RecursionDesired: q.header.RecursionDesired,
		// glibc and Go pass over an empty answer without it, and say "Temporary failure in name resolution".
		RecursionAvailable: true,
		CheckingDisabled:   q.header.CheckingDisabled,
		RCode:              o.code & 0xf,
	}}
	if !q.asked {
		return m
	}
	m.Questions = []dnsmessage.Question{q.question}
	m.Answers = q.records(o)
	if len(m.Answers) == 0 && (o.code == dnsmessage.RCodeSuccess || o.code == dnsmessage.RCodeNameError) {
		m.Authorities = []dnsmessage.Resource{nothingHere()}
	}
	if q.edns {
		m.Additionals = []dnsmessage.Resource{q.options(o)}
	}
	return m
}

// records are the answers. They have the question's name, to the letter: some
// programs vary upper and lower case in it and check (draft-vixie-dnsext-dns0x20).
func (q *query) records(o outcome) []dnsmessage.Resource {
	var all []dnsmessage.Resource
	header := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: o.ttl}
	for _, a := range o.addrs {
		switch {
		case a.Is4() && q.wants(dnsmessage.TypeA):
			all = append(all, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.wants(dnsmessage.TypeAAAA):
			all = append(all, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	if o.host != "" && q.wants(dnsmessage.TypePTR) {
		if host, err := dnsmessage.NewName(o.host + "."); err == nil {
			all = append(all, dnsmessage.Resource{Header: header, Body: &dnsmessage.PTRResource{PTR: host}})
		}
	}
	return all
}

// wants says that records of type t answer the question. ANY gets what there
// is, which is never much (RFC 8482).
func (q *query) wants(t dnsmessage.Type) bool {
	return q.question.Type == t || q.question.Type == dnsmessage.TypeALL
}

// nothingHere says how long an empty answer holds (RFC 2308): without it some
// programs ask each time, others remember for long.
func nothingHere() dnsmessage.Resource {
	root := dnsmessage.MustNewName(".")
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: root, Class: dnsmessage.ClassINET, TTL: ttlNegative},
		Body: &dnsmessage.SOAResource{
			NS: dnsmessage.MustNewName("aigate.invalid."), MBox: root,
			Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, MinTTL: ttlNegative,
		},
	}
}

func (q *query) options(o outcome) dnsmessage.Resource {
	var opt dnsmessage.OPTResource
	if o.text != "" {
		data := append(binary.BigEndian.AppendUint16(nil, o.extended), o.text...)
		opt.Options = []dnsmessage.Option{{Code: optionExtendedError, Data: data}}
	}
	r := dnsmessage.Resource{Body: &opt}
	r.Header.SetEDNS0(Datagram, o.code, q.dnssec)
	return r
}

// text is a name as it is compared and reported. A name may hold any byte;
// those that a terminal would act upon are written as master files do.
func text(n dnsmessage.Name) string {
	raw := n.Data[:n.Length]
	if len(raw) > 0 {
		raw = raw[:len(raw)-1] // the root's dot
	}
	var s strings.Builder
	s.Grow(len(raw))
	for _, c := range raw {
		switch {
		case c >= 'A' && c <= 'Z':
			s.WriteByte(c + 'a' - 'A')
		case c <= ' ' || c >= 0x7f || c == '\\':
			s.Write([]byte{'\\', '0' + c/100, '0' + c/10%10, '0' + c%10})
		default:
			s.WriteByte(c)
		}
	}
	return s.String()
}
