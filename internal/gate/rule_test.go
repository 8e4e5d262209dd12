package gate

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// parsed are entries and the form that they come to.
var parsed = []struct{ in, want string }{
	{"api.example.com", "api.example.com"},
	{"API.Example.COM", "api.example.com"},
	{"api.example.com.", "api.example.com"},
	{"api.example.com:443", "api.example.com:443"},
	{"api.example.com.:443", "api.example.com:443"},
	{"api.example.com:1", "api.example.com:1"},
	{"api.example.com:65535", "api.example.com:65535"},
	{"*.example.com", "*.example.com"},
	{"*.Example.com.:8443", "*.example.com:8443"},
	{"intranet", "intranet"},
	{"intranet:8080", "intranet:8080"},
	{"_dmarc.example.com", "_dmarc.example.com"},
	{"my_service:80", "my_service:80"},
	{"r3---sn-apo3qvuoxuxbt-j5pe.example.com", "r3---sn-apo3qvuoxuxbt-j5pe.example.com"},
	{"1password.com", "1password.com"},
	{"2001.example", "2001.example"},
	{"x.0xyz", "x.0xyz"},
	{"*.local", "*.local"},
	{"*.internal", "*.internal"},
	{"*.example.co.uk", "*.example.co.uk"},
	{"*.uk.com", "*.uk.com"},

	{"bücher.example", "xn--bcher-kva.example"},
	{"BÜCHER.example", "xn--bcher-kva.example"},
	{"*.bücher.example:443", "*.xn--bcher-kva.example:443"},
	{"xn--bcher-kva.example", "xn--bcher-kva.example"},
	{"XN--bcher-kva.example", "xn--bcher-kva.example"},
	{"аpple.com", "xn--pple-43d.com"}, // with a Cyrillic а
	{"faß.example", "xn--fa-hia.example"},
	{"例え。テスト", "xn--r8jz45g.xn--zckzah"},
	{"x_y.bücher.example", "x_y.xn--bcher-kva.example"},

	{"203.0.113.9", "203.0.113.9"},
	{"203.0.113.9:443", "203.0.113.9:443"},
	{"10.1.0.0/16", "10.1.0.0/16"},
	{"10.1.0.0/16:5432", "10.1.0.0/16:5432"},
	{"203.0.113.9/32", "203.0.113.9"},
	{"2001:db8::1", "2001:db8::1"},
	{"2001:DB8:0:0::1", "2001:db8::1"},
	{"[2001:db8::1]", "2001:db8::1"},
	{"[2001:db8::1]:443", "[2001:db8::1]:443"},
	{"2001:db8::/32", "2001:db8::/32"},
	{"[2001:db8::/32]:443", "[2001:db8::/32]:443"},
	{"2001:db8::/32:443", "[2001:db8::/32]:443"},
	{"::ffff:203.0.113.9", "203.0.113.9"},
	{"[::ffff:203.0.113.9]:80", "203.0.113.9:80"},
	{"::ffff:10.1.0.0/112", "10.1.0.0/16"},
	{"169.254.169.254", "169.254.169.254"},
	{"0.0.0.0/1", "0.0.0.0/1"},
	{"8000::/1", "8000::/1"},

	{"localhost:11434", "localhost:11434"},
	{"LocalHost.:11434", "localhost:11434"},
	{"127.0.0.1:11434", "localhost:11434"},
	{"[::1]:11434", "localhost:11434"},
	{"[::ffff:127.0.0.1]:11434", "localhost:11434"},
}

func TestParseRule(t *testing.T) {
	for _, tt := range parsed {
		r, err := ParseRule(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if r.String() != tt.want || r.Text != tt.in {
			t.Errorf("%q: %q of %q, want %q", tt.in, r, r.Text, tt.want)
		}
		again, err := ParseRule(r.String())
		again.Text = r.Text
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q: %+v comes back as %+v, %v", tt.in, r, again, err)
		}
	}
}

// refused are entries and what the error has to say.
var refused = []struct{ in, problem, hint string }{
	{"", "empty", "api.github.com"},
	{" a.com", "blank", `write "a.com"`},
	{"a.com b.com", "more than one", ""},
	{"a.com,b.com", "more than one", ""},
	{"a.com\n", "blank", ""},
	{"!a.com", "begins with !", "remove its entry"},

	{"https://api.x.com/v1", "URL", `write "api.x.com"`},
	{"https://api.x.com:8443?q#f", "URL", `write "api.x.com:8443"`},
	{"ssh://git@x.com:22/repo.git", "URL", `write "x.com:22"`},
	{"https://api.x.com:/", "URL", `write "api.x.com"`},
	{"https://[2001:db8::1]:8443/", "URL", `write "[2001:db8::1]:8443"`},
	{"http://localhost/", "URL", `write "localhost:80"`},
	{"http://localhost:3000/", "URL", `write "localhost:3000"`},
	{"https://", "URL", "host:port"},
	{"a://b://c", "URL", `write "b"`},
	{"//api.x.com/v1", "no host", `write "api.x.com"`},
	{"git@github.com:owner/repo.git", "no host", `write "github.com"`},
	{"me:secret@a.com", "no host", `write "a.com"`},
	{"github.com/AxeForging", "path", `write "github.com"`},
	{"github.com:443/x", "path", `write "github.com:443"`},

	{"*", "every host", "remove the key"},
	{"*:443", "every host", "remove the key"},
	{"*.", "every host", "remove the key"},
	{"*.*", "every host", "remove the key"},
	{"**", "every host", "remove the key"},
	{"*.*.com", "first label", ""},
	{"a.*.com", "first label", ""},
	{"api-*.com", "first label", ""},
	{"*example.com", "first label", ""},
	{"**.example.com", "first label", ""},
	{".example.com", "begins with a dot", `write "*.example.com"`},
	{"*.com", "too wide", "*.example.com"},
	{"*.com:443", "too wide", "*.example.com"},
	{"*.CO.uk.", "too wide", "*.example.co.uk"},
	{"*.xn--p1ai", "too wide", ""},
	{"*.рф", "too wide", ""},

	{"a.com:0", "bad port", "1 to 65535"},
	{"a.com:65536", "bad port", "1 to 65535"},
	{"a.com:-1", "bad port", ""},
	{"a.com:+1", "bad port", ""},
	{"a.com:0443", "bad port", ""},
	{"a.com:https", "bad port", "1 to 65535"},
	{"a.com:80-90", "bad port", "one entry a port"},
	{"a.com:*", "bad port", `write "a.com" for every port`},
	{"a.com:", "bad port", `write "a.com" for every port`},
	{":443", "no host", "localhost:port"},
	{"[2001:db8::1]:0", "bad port", ""},

	{"a..com", "empty label", ""},
	{"*..a.com", "empty label", ""},
	{".", "begins with a dot", ""},
	{"a.com..", "empty label", ""},
	{"-a.com", "hyphen", ""},
	{"a-.com", "hyphen", ""},
	{"a$b.com", `'$'`, ""},
	{"a\x00b.com", `'\x00'`, ""},
	{"a\\b.com", `no host name`, ""},
	{strings.Repeat("a", 64) + ".com", "63 bytes", ""},
	{strings.Repeat("a.", 127) + "com", "longer", ""},
	{strings.Repeat("a", 2000), "longer", ""},
	{"xn--example-.com", "no host name", ""}, // decodes to plain ASCII
	{"xn--a.com", "bad label", ""},           // stands for nothing
	{"xn--\u00fc.com", "bad label", ""},      //
	{"a\u202eb.com", "bad label", ""},        // a direction override
	{"\u05d0a1.com", "bad label", ""},        // both directions in a label
	{"a\xffb.com", "bad label", ""},          // not UTF-8
	{"\u2488example.com", "bad label", ""},   // a digit with a dot in it

	{"1.2.3.400", "neither", "four numbers"},
	{"1.2.3", "neither", ""},
	{"010.0.0.1", "neither", ""},
	{"2130706433", "neither", ""},
	{"0x7f000001", "neither", ""},
	{"0x7F.1", "neither", ""},
	{"a.0X", "neither", ""},
	{"１.２.３.４00", "no host name", ""},
	{"[::g]:443", "no IPv6", ""},
	{"[1.2.3.4]:443", "no IPv6", ""},
	{"[2001:db8::1", "", ""},
	{"2001:db8::1]", "no IPv6", ""},
	{"2001:db8::1:65536", "no IPv6", "[2001:db8::1]:443"},
	{"[a.com]:443", "no IPv6", ""},
	{"[]", "no IPv6", ""},
	{"fe80::1%eth0", "interface", `write "fe80::1"`},
	{"fe80::1", "interface", ""},
	{"fe80::/10", "interface", ""},
	{"10.0.0.1/8", "bits behind", `write "10.0.0.0/8", or "10.0.0.1"`},
	{"10.0.0.0/40", "no network", ""},
	{"10.0.0.0/", "no network", ""},
	{"10.0.0.0/8/8", "no network", ""},
	{"2001:db8::1/32", "bits behind", ""},

	{"0.0.0.0/0", "every address", "remove the key"},
	{"::/0", "every address", "remove the key"},
	{"::ffff:0:0/96", "every address", ""},
	{"0.0.0.0/8", "no address of a machine", ""},
	{"0.1.2.3", "no address of a machine", ""},
	{"0.0.0.0", "no address of a machine", ""},
	{"::", "no address of a machine", ""},
	{"255.255.255.255", "no address of a machine", ""},
	{"224.0.0.0/4", "no address of a machine", ""},
	{"[ff02::1]:80", "no address of a machine", ""},
	{"198.18.0.0/15", "stand for names", ""},
	{"198.19.1.1:80", "stand for names", ""},
	{"fd61:6967:6174:6500::1", "stand for names", ""},

	{"localhost", "whole of this machine", "localhost:11434"},
	{"localhost.", "whole of this machine", "localhost:11434"},
	{"127.0.0.1", "whole of this machine", "localhost:11434"},
	{"::1", "whole of this machine", "localhost:11434"},
	{"127.0.0.0/8", "this machine", "localhost:11434"},
	{"127.0.0.53:53", "this machine", `write "localhost:53"`},
	{"*.localhost", "this machine", ""},
	{"app.localhost:3000", "this machine", `write "localhost:3000"`},
	{"ip6-localhost:80", "this machine", `write "localhost:80"`},
}

func TestParseRuleRefuses(t *testing.T) {
	for _, tt := range refused {
		r, err := ParseRule(tt.in)
		var e *RuleError
		if !errors.As(err, &e) {
			t.Errorf("%q: %+v, %v", tt.in, r, err)
			continue
		}
		if !strings.Contains(e.Problem, tt.problem) || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("%q: %s; want %q and %q", tt.in, e, tt.problem, tt.hint)
		}
	}
}

func TestShared(t *testing.T) {
	for in, want := range map[string]bool{
		"*.github.io": true, "*.Pages.dev:443": true, "*.s3.us-east-1.amazonaws.com": true,
		"github.io": false, "*.me.github.io": false, "*.bucket.s3.us-east-1.amazonaws.com": false, "*.github.com": false, "10.0.0.0/8": false,
	} {
		if r, err := ParseRule(in); err != nil || r.Shared() != want {
			t.Errorf("%s: %v, %v", in, !want, err)
		}
	}
}

func TestSubject(t *testing.T) {
	to := netip.MustParseAddrPort
	for _, tt := range []struct {
		Event
		want string
	}{
		{Event{Kind: "dns", Name: "a.com"}, "a.com"},
		{Event{Kind: "tls", Name: "a.com", Addr: netip.AddrPortFrom(netip.Addr{}, 443)}, "a.com:443"},
		{Event{Kind: "connect", Name: "a.com", Addr: to("203.0.113.9:22")}, "a.com:22"},
		{Event{Kind: "connect", Addr: to("203.0.113.9:22")}, "203.0.113.9:22"},
		{Event{Kind: "udp", Addr: to("[2001:db8::1]:443")}, "[2001:db8::1]:443/udp"},
		{Event{Kind: "dns", Addr: to("203.0.113.9:0")}, "203.0.113.9"},
		{Event{Kind: "dns", Count: 7}, ""},
		{Event{Kind: "udp"}, ""},
	} {
		if got := tt.Subject(); got != tt.want {
			t.Errorf("%+v: %q", tt.Event, got)
		}
	}
}

func rules(t *testing.T, entries ...string) *Rules {
	t.Helper()
	r, err := NewRules(entries)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRulesNames(t *testing.T) {
	r := rules(t, "a.com", "b.com:443", "b.com:22", "*.w.com", "*.p.com:443", "x.p.com:80", "*.x.w.com:1", "bücher.example", "localhost:80", "10.0.0.0/8")
	for _, tt := range []struct {
		name      string
		port      uint16
		known     bool
		ok, exact bool
	}{
		{"a.com", 1, true, true, true},
		{"www.a.com", 443, false, false, false},
		{"xa.com", 443, false, false, false},
		{"a.com.evil.com", 443, false, false, false},
		{"com", 443, false, false, false},
		{"b.com", 443, true, true, true},
		{"b.com", 22, true, true, true},
		{"b.com", 80, true, false, false},
		{"w.com", 80, false, false, false},
		{"x.w.com", 80, true, true, false},
		{"z.y.x.w.com", 80, true, true, false},
		{"xw.com", 80, false, false, false},
		{".w.com", 80, false, false, false},
		{"x.w.com.evil.com", 80, false, false, false},
		{"x.p.com", 443, true, true, false},
		{"x.p.com", 80, true, true, true},
		{"y.p.com", 80, true, false, false},
		{"xn--bcher-kva.example", 80, true, true, true},
		{"localhost", 80, false, false, false},
		{"10.0.0.1", 80, false, false, false},
		{"", 80, false, false, false},
		// Not in the normal form: nothing matches.
		{"A.com", 80, false, false, false},
		{"X.w.com", 80, false, false, false},
		{"x y.w.com", 80, false, false, false},
		{"*.w.com", 80, false, false, false},
		{"a.com.", 80, false, false, false},
		{"bücher.example", 80, false, false, false},
	} {
		ok, exact := r.AllowsName(tt.name, tt.port)
		if known := r.Name(tt.name); known != tt.known || ok != tt.ok || exact != tt.exact {
			t.Errorf("%s:%d: known %v, allowed %v, exactly %v", tt.name, tt.port, known, ok, exact)
		}
	}
	var none Rules
	if ok, _ := none.AllowsName("a.com", 443); ok || none.Name("a.com") || none.AllowsAddr(netip.MustParseAddr("10.0.0.1"), 1) {
		t.Error("no rules allow something")
	}
}

func TestRulesAddr(t *testing.T) {
	r := rules(t, "203.0.113.9:443", "10.0.0.0/8", "128.0.0.0/1:80", "fd00::/8", "8000::/1:80", "::/1:80", "2001:db8::/32:22", "169.254.169.254:80")
	for _, tt := range []struct {
		addr string
		port uint16
		want bool
	}{
		{"203.0.113.9", 443, true},
		{"203.0.113.9", 444, false},
		{"203.0.113.10", 443, false},
		{"::ffff:203.0.113.9", 443, true},
		{"10.255.255.255", 1, true},
		{"11.0.0.0", 1, false},
		{"::ffff:10.0.0.1", 1, true},
		{"2001:db8::5", 22, true},
		{"2001:db8::5", 443, false},
		{"2001:db9::5", 22, false},
		{"::7f00:1", 80, false},
		{"192.0.2.1", 80, true},
		{"fd12::1", 5, true},
		// A wide network says nothing about addresses with a meaning of their own.
		{"169.254.169.253", 80, false},
		{"169.254.169.254", 80, true},
		{"169.254.169.254", 81, false},
		{"168.63.129.16", 80, false},
		{"198.18.0.5", 80, false},
		{"255.255.255.255", 80, false},
		{"fd61:6967:6174:6500::9", 80, false},
		{"fd00:ec2::254", 80, false},
		{"fd20:ce::254", 80, false},
		{"2002:7f00:1::1", 80, false}, // 6to4 of 127.0.0.1
		{"64:ff9b::a9fe:a9fe", 80, false},
		{"64:ff9b::c000:201", 80, true},
		{"fe80::1", 80, false},
		{"127.0.0.1", 80, false},
		{"0.0.0.0", 80, false},
		{"::", 80, false},
	} {
		if got := r.AllowsAddr(netip.MustParseAddr(tt.addr), tt.port); got != tt.want {
			t.Errorf("%s:%d: %v", tt.addr, tt.port, got)
		}
	}
	if r.AllowsAddr(netip.Addr{}, 80) {
		t.Error("no address is allowed")
	}
	if r := rules(t, "fe00::/7"); r.AllowsAddr(netip.MustParseAddr("fe80::1%lo"), 80) {
		t.Error("an address with a zone is allowed")
	}
}

func TestRulesPorts(t *testing.T) {
	r := rules(t, "a.com:8443", "localhost:11434", "127.0.0.1:11434", "[::1]:80", "b.com:8443", "10.0.0.0/8:5432")
	if got := r.Localhost(); !reflect.DeepEqual(got, []uint16{80, 11434}) {
		t.Error("localhost:", got)
	}
	if got := r.Ports(); !reflect.DeepEqual(got, []uint16{5432, 8443}) {
		t.Error("ports:", got)
	}
	if got := rules(t, "a.com:8443", "b.com").Ports(); !reflect.DeepEqual(got, []uint16{22, 80, 443, 8443}) {
		t.Error("ports with one for any:", got)
	}
	if got := rules(t).Ports(); got != nil {
		t.Error("ports of no rules:", got)
	}
}

// FuzzRule throws entries and names at the rules. Whatever is accepted has a form that it comes
// back from, and a wildcard matches by whole labels alone.
func FuzzRule(f *testing.F) {
	for _, tt := range parsed {
		f.Add(tt.in, "x."+tt.want)
	}
	for _, tt := range refused {
		f.Add(tt.in, tt.in)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		r, err := ParseRule(text)
		if err != nil {
			if e := new(RuleError); !errors.As(err, &e) || e.Problem == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseRule(r.String())
		again.Text = r.Text
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: %+v comes back as %+v, %v", text, r, again, err)
		}
		if (r.Name == "") == !r.Prefix.IsValid() || r.Localhost && r.Port == 0 {
			t.Fatalf("%q: %+v", text, r)
		}
		set, err := NewRules([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		normal, ok := NormalName(name)
		if !ok {
			if set.Name(name) {
				t.Fatalf("%q matches %q, which is no name", text, name)
			}
			return
		}
		if twice, ok := NormalName(normal); !ok || twice != normal {
			t.Fatalf("%q: %q, then %q", name, normal, twice)
		}
		want := normal == r.Name && !r.Localhost
		if r.Wildcard {
			want = strings.HasSuffix(normal, "."+r.Name)
		}
		if set.Name(normal) != want {
			t.Fatalf("%q, %q: %v", text, normal, !want)
		}
	})
}
