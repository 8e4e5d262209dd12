package gate

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Whatever comes: the answer has the query's ID and its size, and no name that
// the rules do not name ever gets an address.
func FuzzAnswer(f *testing.F) {
	for _, test := range answers {
		f.Add(packed(f, ask(f, test.ask)), Datagram)
		m := ask(f, test.ask)
		m.SetEdns0(512, true)
		f.Add(packed(f, m), Stream)
	}
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), Datagram)
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x00\x00\x01\x00\x01\x00\x00\x29\x00\x00\x00\xff\x00\x00\x00\x00"), 0)
	rules := rulesOf(f, allowed...)
	f.Fuzz(func(t *testing.T, query []byte, size int) {
		r := &Resolver{Rules: rules, Names: NewNames(), IPv6: true, Search: []string{"corp.example"}, Hostname: "box", Event: func(e Event) {
			if s := e.Subject() + e.Reason; strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c >= 0x7f }) {
				t.Errorf("event %q", s)
			}
		}}
		answer := r.Answer(query, size)
		r.Close()
		if answer == nil {
			if len(query) >= headerSize && query[2]&0x80 == 0 {
				t.Error("a query without an answer")
			}
			return
		}
		if answer[0] != query[0] || answer[1] != query[1] || answer[2]&0x80 == 0 {
			t.Errorf("query %x, answer %x", query, answer)
		}
		m := new(dns.Msg)
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("%x cannot be read: %v", answer, err)
		}
		if len(answer) > size && !m.Truncated && len(m.Answer) > 0 {
			t.Errorf("%d bytes where %d are read", len(answer), size)
		}
		if len(answer) > max(size, plainDatagram) {
			t.Errorf("%d bytes where %d are read", len(answer), size)
		}
		for name := range r.Names.at {
			named := r.Names.at[name]
			if !rules.Name(named) || len(m.Question) != 1 || strings.ToLower(m.Question[0].Name) != named+"." {
				t.Errorf("asked for %q, %q has got addresses", query, named)
			}
		}
		for _, rr := range m.Answer {
			name := strings.TrimSuffix(strings.ToLower(rr.Header().Name), ".")
			switch rr := rr.(type) {
			case *dns.A:
				if !rules.Name(name) && !(rr.A.IsLoopback() && (isLocalhost(name) || r.isOwnName(name))) {
					t.Errorf("%v", rr)
				}
			case *dns.AAAA:
				if !rules.Name(name) && !(rr.AAAA.IsLoopback() && (isLocalhost(name) || r.isOwnName(name))) {
					t.Errorf("%v", rr)
				}
			case *dns.PTR:
				if rr.Ptr != "localhost." {
					t.Errorf("%v", rr)
				}
			default:
				t.Errorf("%v", rr)
			}
		}
	})
}

func FuzzReverseAddr(f *testing.F) {
	f.Add("1.0.0.127.in-addr.arpa")
	f.Add(strings.Repeat("0.", 32) + "ip6.arpa")
	f.Fuzz(func(t *testing.T, name string) {
		a, ok := reverseAddr(name)
		if !ok {
			return
		}
		back, err := dns.ReverseAddr(a.String())
		if a.Is4In6() { // miekg/dns writes these as IPv4
			return
		}
		if err != nil || back != strings.ToLower(name)+"." {
			t.Errorf("%q is %v, which is %q (%v)", name, a, back, err)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	for _, question := range []string{"A api.example.com", "A evil.com", "PTR 1.0.0.127.in-addr.arpa"} {
		b.Run(question, func(b *testing.B) {
			r := &Resolver{Rules: rulesOf(b, allowed...), Names: NewNames(), IPv6: true, Event: func(Event) {}}
			query := packed(b, ask(b, question))
			b.ReportAllocs()
			for b.Loop() {
				r.Answer(query, Datagram)
			}
		})
	}
	b.Run("garbage", func(b *testing.B) {
		r := &Resolver{Rules: rulesOf(b, allowed...), Names: NewNames(), Event: func(Event) {}}
		query := []byte(strings.Repeat("garbage!", 128))
		b.ReportAllocs()
		for b.Loop() {
			r.Answer(query, Datagram)
		}
	})
}
