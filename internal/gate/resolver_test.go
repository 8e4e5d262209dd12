package gate

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// events collects what a Resolver reports, from any goroutine.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(one Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

// take returns what has come since, as "subject: reason".
func (e *events) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var s []string
	for _, one := range e.all {
		failed := ""
		if one.Failed {
			failed = "failed: "
		}
		s = append(s, failed+one.Subject()+": "+one.Reason)
	}
	e.all = nil
	return strings.Join(s, "; ")
}

func rulesOf(t testing.TB, entries ...string) *Rules {
	t.Helper()
	rules, err := NewRules(entries)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

var allowed = []string{"api.example.com", "*.pkg.example", "Bücher.example", "git.corp.example:22", "203.0.113.9", "localhost:8080"}

func newResolver(t testing.TB) (*Resolver, *events) {
	t.Helper()
	e := new(events)
	r := &Resolver{
		Rules: rulesOf(t, allowed...), Names: NewNames(), IPv6: true, Event: e.add,
		Search: []string{"corp.example", "Example.NET."}, Hostname: "Box",
	}
	t.Cleanup(r.Close)
	return r, e
}

// ask is what a program asks: "A name", with the type's or class's name or number.
func ask(t testing.TB, text string) *dns.Msg {
	t.Helper()
	kind, name, _ := strings.Cut(text, " ")
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	if typ, ok := dns.StringToType[kind]; ok {
		m.Question[0].Qtype = typ
	} else if _, err := fmt.Sscanf(kind, "TYPE%d", &m.Question[0].Qtype); err != nil {
		t.Fatalf("what is %q?", kind)
	}
	return m
}

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// said is an answer in short: its code and its records' data, with 4 and 6 for
// the synthetic addresses of the name asked for.
func said(t testing.TB, r *Resolver, query *dns.Msg, answer []byte) string {
	t.Helper()
	if answer == nil {
		return "nothing"
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("%v: the answer cannot be read: %v\n%x", query, err, answer)
	}
	if m.Id != query.Id || !m.Response || !m.RecursionAvailable || m.RecursionDesired != query.RecursionDesired {
		t.Errorf("header of the answer: %v", m)
	}
	if asked := packed(t, query)[headerSize:]; len(m.Question) != 1 || !bytes.HasPrefix(answer[headerSize:], asked) {
		t.Errorf("asked %q, answered %q", asked, answer[headerSize:])
	}
	s := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Name != query.Question[0].Name || h.Class != dns.ClassINET || h.Ttl > 60 {
			t.Errorf("asked %v, answered %v", query.Question[0], rr)
		}
		name, _ := NormalName(query.Question[0].Name)
		v4, v6, _ := netip.Addr{}, netip.Addr{}, false
		if r.Names.Known(name) {
			v4, v6, _ = r.Names.Addrs(name)
		}
		switch rr := rr.(type) {
		case *dns.A:
			s = append(s, "A", strings.Replace(rr.A.String(), v4.String(), "4", 1))
		case *dns.AAAA:
			s = append(s, "AAAA", strings.Replace(rr.AAAA.String(), v6.String(), "6", 1))
		case *dns.PTR:
			s = append(s, "PTR", rr.Ptr)
		default:
			s = append(s, rr.String())
		}
	}
	if soa := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == dns.TypeSOA; soa != (len(m.Answer) == 0 && (m.Rcode == 0 || m.Rcode == dns.RcodeNameError)) {
		t.Errorf("authority of %v", m)
	}
	return strings.Join(s, " ")
}

const (
	no    = "NXDOMAIN"
	empty = "NOERROR"
)

// answers is what is answered to which question, and what is reported.
var answers = []struct{ ask, want, event string }{
	{"A api.example.com", "NOERROR A 4", ""},
	{"AAAA api.example.com", "NOERROR AAAA 6", ""},
	{"ANY api.example.com", "NOERROR A 4 AAAA 6", ""},
	{"A ApI.eXaMpLe.CoM", "NOERROR A 4", ""},
	{"A a.pkg.example", "NOERROR A 4", ""},
	{"A a.b.c.d.pkg.example", "NOERROR A 4", ""},
	{"A _x.pkg.example", "NOERROR A 4", ""},
	{"A xn--bcher-kva.example", "NOERROR A 4", ""},
	{"A git.corp.example", "NOERROR A 4", ""},

	{"HTTPS api.example.com", empty, ""},
	{"SVCB api.example.com", empty, ""},
	{"SRV api.example.com", empty, ""},
	{"TXT api.example.com", empty, ""},
	{"MX api.example.com", empty, ""},
	{"NS api.example.com", empty, ""},
	{"SOA api.example.com", empty, ""},
	{"CNAME api.example.com", empty, ""},
	{"CAA api.example.com", empty, ""},
	{"NAPTR api.example.com", empty, ""},
	{"PTR api.example.com", empty, ""},
	{"DS api.example.com", empty, ""},
	{"DNSKEY api.example.com", empty, ""},
	{"TLSA api.example.com", empty, ""},
	{"NULL api.example.com", empty, ""},
	{"TYPE65000 api.example.com", empty, ""},
	{"AXFR api.example.com", "REFUSED", ""},
	{"IXFR api.example.com", "REFUSED", ""},
	{"TYPE0 api.example.com", "REFUSED", ""},
	{"OPT api.example.com", "REFUSED", ""},
	{"TSIG api.example.com", "REFUSED", ""},

	{"A evil.com", no, "evil.com: " + notAllowed},
	{"AAAA evil.com", no, "evil.com: " + notAllowed},
	{"TXT c2VjcmV0.evil.com", no, "c2vjcmv0.evil.com: " + notAllowed},
	{"NULL c2VjcmV0.evil.com", no, "c2vjcmv0.evil.com: " + notAllowed},
	{"AXFR evil.com", no, "evil.com: " + notAllowed},
	{"ANY evil.com", no, "evil.com: " + notAllowed},
	{"A pkg.example", no, "pkg.example: " + notAllowed},
	{"A xpkg.example", no, "xpkg.example: " + notAllowed},
	{"A a.pkg.example.evil.com", no, "a.pkg.example.evil.com: " + notAllowed},
	{"A www.api.example.com", no, "www.api.example.com: " + notAllowed},
	{"A example.com", no, "example.com: " + notAllowed},
	{"A com", no, "com: " + notAllowed},
	{`A bücher.example`, no, `b\195\188cher.example: ` + notAllowed},
	{`A a\032b.pkg.example`, no, `a\032b.pkg.example: ` + notAllowed},
	{`A \027[31mred\007.pkg.example`, no, `\027[31mred\007.pkg.example: ` + notAllowed},
	{`A -x.pkg.example`, no, `-x.pkg.example: ` + notAllowed},
	{`A 127.0.0.1`, no, `127.0.0.1: ` + notAllowed},
	{`A xn--a.pkg.example`, no, `xn--a.pkg.example: ` + notAllowed},

	{"A .", empty, ""},
	{"NS .", empty, ""},

	{"A localhost", "NOERROR A 127.0.0.1", ""},
	{"AAAA LocalHost", "NOERROR AAAA ::1", ""},
	{"A app.localhost", "NOERROR A 127.0.0.1", ""},
	{"ANY a.b.localhost", "NOERROR A 127.0.0.1 AAAA ::1", ""},
	{"TXT localhost", empty, ""},
	{"A notlocalhost", no, "notlocalhost: " + notAllowed},
	{"A localhost.evil.com", no, "localhost.evil.com: " + notAllowed},
	{"A box", "NOERROR A 127.0.0.1", ""},
	{"AAAA BOX", "NOERROR AAAA ::1", ""},
	{"A box.corp.example", "NOERROR A 127.0.0.1", ""},
	{"MX box", empty, ""},
	{"A box.evil.com", no, "box.evil.com: " + notAllowed},

	{"PTR 1.0.0.127.in-addr.arpa", "NOERROR PTR localhost.", ""},
	{"PTR 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", "NOERROR PTR localhost.", ""},
	{"A 1.0.0.127.in-addr.arpa", empty, ""},
	{"PTR 1.0.18.198.in-addr.arpa", no, ""},
	{"PTR 9.9.18.198.in-addr.arpa", no, ""},
	{"PTR 1.0.0.10.in-addr.arpa", no, ""},
	{"PTR 8.8.8.8.in-addr.arpa", no, "8.8.8.8: addresses outside have no names here"},
	{"PTR 9.113.0.203.in-addr.arpa", no, ""},
	{"PTR 8.8.8.8.8.in-addr.arpa", no, "8.8.8.8.8.in-addr.arpa: " + notAllowed},
	{"PTR 08.8.8.8.in-addr.arpa", no, "08.8.8.8.in-addr.arpa: " + notAllowed},
	{"PTR secret.ip6.arpa", no, "secret.ip6.arpa: " + notAllowed},
	{"SOA in-addr.arpa", no, "in-addr.arpa: " + notAllowed},

	// What programs ask on the way to an allowed name is no news.
	{"A api.example.com.corp.example", no, ""},
	{"A api.example.com.example.net", no, ""},
	{"A x.pkg.example.corp.example", no, ""},
	{"A localhost.corp.example", no, ""},
	{"A api.example.com.evil.com", no, "api.example.com.evil.com: " + notAllowed},
	{"A evil.com.corp.example", no, "evil.com: " + notAllowed + " (asked as evil.com.corp.example)"},
	{"A secret.corp.example", no, "secret.corp.example: " + notAllowed},
	{"SRV _http._tcp.api.example.com", no, ""},
	{"HTTPS _8443._https.api.example.com", no, ""},
	{"A _http._tcp.api.example.com", no, "_http._tcp.api.example.com: " + notAllowed},
	{"SRV _http._tcp.evil.com", no, "_http._tcp.evil.com: " + notAllowed},
	{"SRV _c2vjcmv0c2vjcmv0c2vjcmv0._tcp.api.example.com", no, "_c2vjcmv0c2vjcmv0c2vjcmv0._tcp.api.example.com: " + notAllowed},
	{"TXT _secret.api.example.com", no, "_secret.api.example.com: " + notAllowed},
	{"A use-application-dns.net", no, ""},
	{"AAAA ipv4only.arpa", no, ""},
}

func TestAnswers(t *testing.T) {
	for _, test := range answers {
		t.Run(test.ask, func(t *testing.T) {
			r, e := newResolver(t)
			query := ask(t, test.ask)
			for _, size := range []int{Datagram, Stream} {
				if got := said(t, r, query, r.Answer(packed(t, query), size)); got != test.want {
					t.Errorf("answer %q, want %q", got, test.want)
				}
			}
			if got := e.take(); got != test.event {
				t.Errorf("event %q, want %q", got, test.event)
			}
		})
	}
}

func TestReverseOfSynthetic(t *testing.T) {
	r, e := newResolver(t)
	for _, name := range []string{"api.example.com.", "x.pkg.example."} {
		r.Answer(packed(t, ask(t, "A "+name)), Datagram)
		v4, v6, _ := r.Names.Addrs(strings.TrimSuffix(name, "."))
		for _, a := range []netip.Addr{v4, v6} {
			reverse, err := dns.ReverseAddr(a.String())
			if err != nil {
				t.Fatal(err)
			}
			for _, query := range []*dns.Msg{ask(t, "PTR "+reverse), ask(t, "PTR "+strings.ToUpper(reverse)), ask(t, "ANY "+reverse)} {
				if got, want := said(t, r, query, r.Answer(packed(t, query), Datagram)), "NOERROR PTR "+name; got != want {
					t.Errorf("%v: %q, want %q", query.Question, got, want)
				}
			}
		}
	}
	if got := e.take(); got != "" {
		t.Errorf("event %q", got)
	}
}

func TestAnswersWithoutIPv6(t *testing.T) {
	r, _ := newResolver(t)
	r.IPv6 = false
	for question, want := range map[string]string{
		"A api.example.com":    "NOERROR A 4",
		"AAAA api.example.com": empty,
		"ANY api.example.com":  "NOERROR A 4",
		"AAAA localhost":       empty,
		"AAAA evil.com":        no,
	} {
		query := ask(t, question)
		if got := said(t, r, query, r.Answer(packed(t, query), Datagram)); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
}

// What is not a plain question.
func TestOddQueries(t *testing.T) {
	query := func(change func(*dns.Msg)) []byte {
		m := ask(t, "A api.example.com")
		m.Id = 0x1234
		change(m)
		return packed(t, m)
	}
	raw := func(change func(b []byte) []byte) []byte { return change(query(func(*dns.Msg) {})) }
	for _, test := range []struct {
		name  string
		query []byte
		want  string
	}{
		{"empty", nil, "nothing"},
		{"a byte", []byte{1}, "nothing"},
		{"half a header", make([]byte, 11), "nothing"},
		{"a header of zeros", make([]byte, 12), "FORMERR"},
		{"an answer", query(func(m *dns.Msg) { m.Response = true }), "nothing"},
		{"IQUERY", query(func(m *dns.Msg) { m.Opcode = 1 }), "NOTIMP"},
		{"STATUS", query(func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }), "NOTIMP"},
		{"NOTIFY", query(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), "NOTIMP"},
		{"UPDATE", query(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), "NOTIMP"},
		{"opcode 15", query(func(m *dns.Msg) { m.Opcode = 15 }), "NOTIMP"},
		{"CH", query(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), "REFUSED"},
		{"class ANY", query(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }), "REFUSED"},
		{"class 0", query(func(m *dns.Msg) { m.Question[0].Qclass = 0 }), "REFUSED"},
		{"no question", query(func(m *dns.Msg) { m.Question = nil }), "FORMERR"},
		{"two questions", query(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), "FORMERR"},
		{"an answer with it", query(func(m *dns.Msg) { m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: ".", Rrtype: 1, Class: 1}}} }), "FORMERR"},
		{"not recursive", query(func(m *dns.Msg) { m.RecursionDesired = false }), "NOERROR A"},
		{"cut off", raw(func(b []byte) []byte { return b[:len(b)-1] }), "FORMERR"},
		{"cut off in the name", raw(func(b []byte) []byte { return b[:20] }), "FORMERR"},
		{"a name that points at itself", raw(func(b []byte) []byte { return append(b[:12], 0xc0, 12, 0, 1, 0, 1) }), "FORMERR"},
		{"names that point at each other", raw(func(b []byte) []byte { return append(b[:12], 0xc0, 14, 0xc0, 12, 0, 1, 0, 1) }), "FORMERR"},
		{"a name that points into the header, where it reads as the root", raw(func(b []byte) []byte { return append(b[:12], 0xc0, 4, 0, 1, 0, 1) }), "NOERROR"},
		{"a label of a reserved kind", raw(func(b []byte) []byte { return append(b[:12], 0x41, 0, 0, 1, 0, 1) }), "FORMERR"},
		{"a dot in a label", raw(func(b []byte) []byte { b[12+4] = '.'; return b }), "FORMERR"},
		{"a name that is too long", raw(func(b []byte) []byte {
			return append(append(b[:12], []byte(strings.Repeat("\x3f"+strings.Repeat("a", 63), 4))...), 0, 0, 1, 0, 1)
		}), "FORMERR"},
		{"something behind it", raw(func(b []byte) []byte { return append(b, "more"...) }), "NOERROR A"},
		{"as long as they get", raw(func(b []byte) []byte { return append(b, make([]byte, maxQuery-len(b))...) }), "NOERROR A"},
		{"longer", raw(func(b []byte) []byte { return append(b, make([]byte, maxQuery+1-len(b))...) }), "FORMERR"},
		{"a record missing", raw(func(b []byte) []byte { b[11] = 1; return b }), "FORMERR"},
		{"65,535 records missing", raw(func(b []byte) []byte { b[10], b[11] = 0xff, 0xff; return b }), "FORMERR"},
		{"a signature with it", query(func(m *dns.Msg) { m.SetTsig("key.", dns.HmacSHA256, 300, 0) }), "NOERROR A"},
		{"EDNS", query(func(m *dns.Msg) { m.SetEdns0(4096, true) }), "NOERROR A OPT 1232 do"},
		{"EDNS, tiny", query(func(m *dns.Msg) { m.SetEdns0(0, false) }), "NOERROR A OPT 1232"},
		{"EDNS with a cookie", query(func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}}
		}), "NOERROR A OPT 1232"},
		{"EDNS version 1", query(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), "BADVERS OPT 1232"},
		{"EDNS version 255", query(func(m *dns.Msg) { m.SetEdns0(1232, true); m.IsEdns0().SetVersion(255) }), "BADVERS OPT 1232"},
		{"EDNS twice", query(func(m *dns.Msg) { m.SetEdns0(1232, false); m.SetEdns0(1232, false) }), "FORMERR OPT 1232"},
		{"EDNS with a name", query(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().Hdr.Name = "a." }), "FORMERR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _ := newResolver(t)
			got := "nothing"
			if answer := r.Answer(test.query, Datagram); answer != nil {
				m := new(dns.Msg)
				if err := m.Unpack(answer); err != nil {
					t.Fatalf("the answer cannot be read: %v\n%x", err, answer)
				}
				if test.query[0] != answer[0] || test.query[1] != answer[1] {
					t.Errorf("another ID: %x", answer)
				}
				got = dns.RcodeToString[m.Rcode]
				for _, rr := range slices.Concat(m.Answer, m.Extra) {
					got += " " + dns.TypeToString[rr.Header().Rrtype]
				}
				if o := m.IsEdns0(); o != nil {
					got += fmt.Sprint(" ", o.UDPSize())
					if o.Do() {
						got += " do"
					}
				}
			}
			got = strings.Replace(got, "BADSIG", "BADVERS", 1) // miekg/dns has one name for both 16s
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	r, _ := newResolver(t)
	var many []netip.Addr
	for i := range 60 {
		many = append(many, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	r.Real = func(context.Context, string) ([]netip.Addr, time.Duration, error) { return many, time.Minute, nil }
	for _, test := range []struct {
		edns      uint16
		size      int
		truncated bool
	}{
		{0, Datagram, true}, {512, Datagram, true}, {100, Datagram, true}, {1232, Datagram, false}, {4096, Datagram, false}, {0, Stream, false},
	} {
		query := ask(t, "A api.example.com")
		if test.edns > 0 {
			query.SetEdns0(test.edns, false)
		}
		answer := new(dns.Msg)
		b := r.Answer(packed(t, query), test.size)
		if err := answer.Unpack(b); err != nil {
			t.Fatal(err)
		}
		if answer.Truncated != test.truncated || (len(answer.Answer) == 60) == test.truncated || len(answer.Question) != 1 || (answer.IsEdns0() != nil) != (test.edns > 0) {
			t.Errorf("%+v: %d bytes, TC %v, %d records", test, len(b), answer.Truncated, len(answer.Answer))
		}
		if limit := max(512, int(test.edns)); test.size != Stream && len(b) > limit {
			t.Errorf("%+v: %d bytes", test, len(b))
		}
	}
}

func TestReal(t *testing.T) {
	r, e := newResolver(t)
	r.Real = func(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
		switch name {
		case "api.example.com":
			return []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("::ffff:203.0.113.8"), netip.MustParseAddr("2001:db8::7")}, 42 * time.Second, nil
		case "none.pkg.example":
			return nil, 0, &net.DNSError{Err: "no such host", IsNotFound: true}
		}
		return nil, 0, fmt.Errorf("the firewall does not take it")
	}
	for _, test := range []struct{ ask, want, event string }{
		{"A api.example.com", "NOERROR A 203.0.113.7 A 203.0.113.8", ""},
		{"AAAA api.example.com", "NOERROR AAAA 2001:db8::7", ""},
		{"TXT api.example.com", empty, ""},
		{"A none.pkg.example", no, "failed: none.pkg.example: the host finds no such name"},
		{"A x.pkg.example", "SERVFAIL", "failed: x.pkg.example: the firewall does not take it"},
		{"A evil.com", no, "evil.com: " + notAllowed},
	} {
		query := ask(t, test.ask)
		if got := said(t, r, query, r.Answer(packed(t, query), Datagram)); got != test.want {
			t.Errorf("%s: %q, want %q", test.ask, got, test.want)
		}
		if got := e.take(); got != test.event {
			t.Errorf("%s: event %q, want %q", test.ask, got, test.event)
		}
	}
}

func TestTableFull(t *testing.T) {
	r, e := newResolver(t)
	r.Answer(packed(t, ask(t, "A api.example.com")), Datagram)
	for i := 0; ; i++ {
		if _, _, ok := r.Names.Addrs(fmt.Sprint(i, ".pkg.example")); !ok {
			break
		}
	}
	for question, want := range map[string]string{
		"A new.pkg.example": "SERVFAIL",
		"A 7.pkg.example":   "NOERROR A 4",
		"A api.example.com": "NOERROR A 4",
	} {
		query := ask(t, question)
		if got := said(t, r, query, r.Answer(packed(t, query), Datagram)); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
	if got := e.take(); !strings.HasPrefix(got, "failed: new.pkg.example: too many names") || strings.Contains(got, ";") {
		t.Errorf("event %q", got)
	}
}

// People who look with dig are told why.
func TestExtendedError(t *testing.T) {
	r, _ := newResolver(t)
	query := ask(t, "A evil.com")
	query.SetEdns0(1232, false)
	answer := new(dns.Msg)
	if err := answer.Unpack(r.Answer(packed(t, query), Datagram)); err != nil {
		t.Fatal(err)
	}
	o := answer.IsEdns0()
	if o == nil || len(o.Option) != 1 {
		t.Fatalf("%v", answer)
	}
	if e, ok := o.Option[0].(*dns.EDNS0_EDE); !ok || e.InfoCode != dns.ExtendedErrorCodeBlocked || e.ExtraText != "aigate: "+notAllowed {
		t.Errorf("%v", o)
	}
}

func TestReports(t *testing.T) {
	r, e := newResolver(t)
	for range 50 {
		for _, kind := range []string{"A ", "AAAA "} {
			for _, name := range []string{"evil.com", "evil.com.corp.example", "other", "other.corp.example"} {
				r.Answer(packed(t, ask(t, kind+name)), Datagram)
			}
		}
	}
	if got, want := e.take(), "evil.com: "+notAllowed+"; other: "+notAllowed; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	for i := range 10000 {
		r.Answer(packed(t, ask(t, fmt.Sprint("A ", i, ".evil.com"))), Datagram)
	}
	r.Close()
	got := e.take()
	if n := strings.Count(got, ";"); n < reportBurst/2 || n > 5000 || !strings.Contains(got, "more questions refused, too many to list") {
		t.Errorf("%d events of 10,000: %.300s", n, got)
	}
}
