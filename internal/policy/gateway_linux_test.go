package policy

import (
	"slices"
	"testing"
)

func TestResolvConf(t *testing.T) {
	const head = "# written by aigate: names are looked up outside, by the host's own resolver\nnameserver 198.18.0.1\n"
	for _, tt := range []struct {
		outside, inside string
		search          []string
	}{
		{"", head, nil},
		{"nameserver 127.0.0.53\nnameserver fe80::1%eth0\n", head, nil},
		{"# a comment\n; another\nsearch corp.example  lab.example\noptions edns0 trust-ad ndots:2\nnameserver 10.0.0.1",
			head + "search corp.example lab.example\noptions edns0 trust-ad ndots:2\n", []string{"corp.example", "lab.example"}},
		{"domain a.example\nsortlist 10.0.0.0\n\tsearch b.example", head + "domain a.example\nsearch b.example\n", []string{"b.example"}},
		{"search\noptions\nnonsense here\n", head, nil},
	} {
		got := resolvConf(tt.outside)
		if got != tt.inside {
			t.Errorf("%q: %q, want %q", tt.outside, got, tt.inside)
		}
		if s := searchList(got); !slices.Equal(s, tt.search) {
			t.Errorf("%q: search %q, want %q", tt.outside, s, tt.search)
		}
	}
}

func TestHosts(t *testing.T) {
	const four, six = "127.0.0.1 localhost\n", "::1 localhost ip6-localhost ip6-loopback\n"
	for _, tt := range []struct{ outside, inside string }{
		{"", four + six},
		{"127.0.0.1\tlocalhost # us\n127.0.1.1 box.lan box\n10.0.0.7 db.internal\n", four + "127.0.1.1 box.lan box\n"},
		{"::1 ip6-localhost\n93.184.216.34 example.com\nfe80::1%lo0 x\n", "::1 ip6-localhost\n" + four},
		{"# 127.0.0.1 commented\n127.0.0.1\n1270.0.0.1 y\n", four + six},
	} {
		if got := hosts(tt.outside); got != tt.inside {
			t.Errorf("%q: %q, want %q", tt.outside, got, tt.inside)
		}
	}
}
