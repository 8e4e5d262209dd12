package gate

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestShortestTTL: an answer holds no longer than any record on the way to its addresses.
func TestShortestTTL(t *testing.T) {
	name := dnsmessage.MustNewName("a.com.")
	record := func(ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
	}
	a, cname, txt := &dnsmessage.AResource{}, &dnsmessage.CNAMEResource{CNAME: name}, &dnsmessage.TXTResource{TXT: []string{"x"}}
	for _, tt := range []struct {
		what    string
		answers []dnsmessage.Resource
		want    time.Duration
	}{
		{"no answer: a file", nil, fileTTL},
		{"one", []dnsmessage.Resource{record(300, a)}, 300 * time.Second},
		{"the shorter", []dnsmessage.Resource{record(300, a), record(20, a)}, 20 * time.Second},
		{"of the alias, too", []dnsmessage.Resource{record(5, cname), record(300, a)}, 5 * time.Second},
		{"not of others", []dnsmessage.Resource{record(1, txt), record(300, a)}, 300 * time.Second},
		{"none at all", []dnsmessage.Resource{record(0, a)}, 0},
	} {
		m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Answers: tt.answers,
			Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var s shortestTTL
		for n := range b { // what is cut off says nothing, or what it says
			s.read(b[:n])
		}
		s = shortestTTL{}
		s.read(b)
		if s.ttl() != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, s.ttl(), tt.want)
		}
	}
}

func TestPortsOf(t *testing.T) {
	r, err := NewRules([]string{"a.com:443", "*.b.com:80", "x.b.com:22", "*.y.b.com", "c.com", "c.com:80", "localhost:1", "10.0.0.0/8:5"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]uint16{
		"a.com": {443}, "x.b.com": {22, 80}, "w.b.com": {80}, "z.y.b.com": {0}, "c.com": {0}, "b.com": nil, "d.com": nil, "localhost": nil,
	} {
		if got := r.portsOf(name); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
