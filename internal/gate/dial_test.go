package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReach(t *testing.T) {
	for text, want := range map[string]reach{
		"93.184.216.34":   public,
		"8.8.8.8":         public,
		"198.18.0.1":      public,
		"203.0.113.1":     public, // stands for the internet in tests
		"2606:4700::1111": public,

		"0.0.0.0": never, "0.1.2.3": never, // RFC 1122, 3.2.1.3
		"127.0.0.1": never, "127.255.255.255": never,
		"169.254.169.254": never, "169.254.170.2": never, "169.254.1.1": never, // RFC 3927; AWS, GCP, Azure; ECS
		"100.100.100.200": never,                           // Alibaba
		"168.63.129.16":   never,                           // Azure
		"192.0.0.192":     never,                           // Oracle Classic
		"224.0.0.1":       never, "239.255.255.250": never, // RFC 5771
		"255.255.255.255": never,                                                                             // RFC 919
		"10.0.0.1":        private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private, // RFC 1918
		"172.15.0.1": public, "172.32.0.1": public, "11.0.0.1": public, "192.169.0.1": public,
		"100.64.0.1": private, "100.127.255.255": private, "100.128.0.1": public, // RFC 6598
		"192.0.0.1": private, // RFC 6890
		"240.0.0.1": private, // RFC 1112

		"::": never, "::1": never, // RFC 4291
		"fe80::1": never, "fe80::a9fe:a9fe": never, "febf::1": never, "fe80::1%eth0": never,
		"ff02::1":       never,
		"fd00:ec2::254": never, "fd00:ec2::23": never, // AWS
		"fd20:ce::254": never,                            // GCP
		"fd00:42::42":  never,                            // Scaleway
		"fc00::1":      private, "fd12:3456::1": private, // RFC 4193
		"fec0::1":                 private, // RFC 3879
		"fd61:6967:6174:6500::77": public,  // an aigate around this one

		"::ffff:127.0.0.1": never, "::ffff:169.254.169.254": never, "::ffff:10.0.0.1": private, "::ffff:8.8.8.8": public, // mapped
		"::127.0.0.1": never, "::169.254.169.254": never, "::10.0.0.1": private, "::8.8.8.8": public, // compatible
		"64:ff9b::127.0.0.1": never, "64:ff9b::169.254.169.254": never, "64:ff9b::192.168.0.1": private, "64:ff9b::8.8.8.8": public, // RFC 6052
		"64:ff9b:1::127.0.0.1": never, "64:ff9b:1::8.8.8.8": private, "64:ff9b:1:a00:0:100::": private, "64:ff9b:1:7f00:0:100::": never, // RFC 8215
		"2002:7f00:1::1": never, "2002:a9fe:a9fe::": never, "2002:c0a8:101::1": private, "2002:808:808::1": public, // RFC 3056
		"2001::7f00:1": never, "2001:0:808:808::80ff:fffe": never, "2001:0:7f00:1::": never, "2001:0:808:808::3f57:fefe": private, // RFC 4380, inverted
		"2001:db8::5efe:127.0.0.1": never, "2001:db8::200:5efe:10.0.0.1": private, // RFC 5214
		"::ffff:0:127.0.0.1": never, "::ffff:0:8.8.8.8": public, // RFC 2765
	} {
		a := netip.MustParseAddr(text)
		got, what := reachOf(a)
		if got != want {
			t.Errorf("%s: %d %q, want %d", text, got, what, want)
		}
		if got != public && what == "" {
			t.Errorf("%s is not public, and no reason is given", text)
		}
		if a.Is4() {
			mapped := netip.AddrFrom16(a.As16())
			if got, _ := reachOf(mapped); got != want {
				t.Errorf("%s: %d, want %d", mapped, got, want)
			}
		}
	}
}

// A dialer whose names have these addresses.
func dialerFor(t testing.TB, rules []string, addrs ...string) *Dialer {
	r := mustRules(t, rules...)
	d := NewDialer(r, NewLookup(r, NewNames()), nil)
	var found []netip.Addr
	for _, a := range addrs {
		found = append(found, netip.MustParseAddr(a))
	}
	d.addrs = func(context.Context, string) ([]netip.Addr, error) { return found, nil }
	return d
}

func TestFit(t *testing.T) {
	rules := []string{"exact.example", "*.wild.example", "192.168.7.0/24", "169.254.169.254"}
	for _, c := range []struct {
		name  string
		found string
		want  string // what is left, or the reason
	}{
		{"exact.example", "8.8.8.8 2606:4700::1111", "8.8.8.8 2606:4700::1111"},
		{"exact.example", "10.0.0.1 8.8.8.8", "10.0.0.1 8.8.8.8"},
		{"exact.example", "127.0.0.1 8.8.8.8", "8.8.8.8"},
		{"exact.example", "127.0.0.1", "refused address 127.0.0.1 for name exact.example: loopback (RFC 1122)"},
		{"exact.example", "::1", "refused address ::1 for name exact.example: unspecified, loopback (RFC 4291)"},
		{"exact.example", "::ffff:127.0.0.1", "refused address 127.0.0.1 for name exact.example: loopback (RFC 1122)"},
		{"exact.example", "0.0.0.0", "refused address 0.0.0.0 for name exact.example: this network (RFC 1122)"},
		{"exact.example", "169.254.169.254", "169.254.169.254"}, // a rule names it
		{"exact.example", "169.254.170.2", "refused address 169.254.170.2 for name exact.example: link-local, metadata (RFC 3927)"},
		{"exact.example", "64:ff9b::7f00:1", "refused address 64:ff9b::7f00:1 for name exact.example: carries 127.0.0.1: loopback (RFC 1122)"},
		{"exact.example", "", "no such host"},
		{"a.wild.example", "8.8.8.8", "8.8.8.8"},
		{"a.wild.example", "10.0.0.1", "refused address 10.0.0.1 for name a.wild.example: private (RFC 1918), which a rule with a wildcard does not lead to"},
		{"a.wild.example", "fd12::1 10.0.0.1", "refused address fd12::1 for name a.wild.example: unique local (RFC 4193), which a rule with a wildcard does not lead to"},
		{"a.wild.example", "192.168.7.9", "192.168.7.9"}, // a rule names it
		{"a.wild.example", "198.18.0.9", "198.18.0.9"},
	} {
		d := dialerFor(t, rules)
		var found []netip.Addr
		for _, a := range strings.Fields(c.found) {
			found = append(found, netip.MustParseAddr(a))
		}
		fit, err := d.fit(Dest{Name: c.name, Port: 443}, found)
		var got []string
		for _, a := range fit {
			got = append(got, a.Addr().String())
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%s at %s: %s, want %s", c.name, c.found, text, c.want)
		}
	}
}

// This machine's own public addresses are for exact names only.
func TestFitOwnAddress(t *testing.T) {
	d := dialerFor(t, []string{"exact.example", "*.wild.example"})
	own := netip.MustParseAddr("203.0.113.77")
	d.own.addrs, d.own.read = []netip.Addr{own}, time.Now()
	if fit, err := d.fit(Dest{Name: "exact.example", Port: 1}, []netip.Addr{own}); err != nil || len(fit) != 1 {
		t.Error(fit, err)
	}
	_, err := d.fit(Dest{Name: "a.wild.example", Port: 1}, []netip.Addr{own})
	if err == nil || !strings.Contains(err.Error(), "an address of this machine") {
		t.Error(err)
	}
	// What lo has is no address towards others; what else there is depends on the machine.
	d.own.read = time.Time{}
	if has, err := d.own.has(netip.MustParseAddr("127.0.0.1")); has || err != nil {
		t.Error("loopback is among this machine's addresses towards others", err)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		addrs, _ := i.Addrs()
		for _, n := range addrs {
			a, _ := netip.AddrFromSlice(n.(*net.IPNet).IP)
			if has, err := d.own.has(a); has != (i.Flags&net.FlagLoopback == 0) || err != nil {
				t.Error(i.Name, a, has, err)
			}
		}
	}
}

func TestInterleave(t *testing.T) {
	parse := func(s string) (out []netip.AddrPort) {
		for _, a := range strings.Fields(s) {
			out = append(out, netip.AddrPortFrom(netip.MustParseAddr(a), 1))
		}
		return out
	}
	for in, want := range map[string]string{
		"::1 ::2 ::3 1.1.1.1 2.2.2.2": "::1 1.1.1.1 ::2 2.2.2.2 ::3",
		"1.1.1.1 2.2.2.2 ::1":         "1.1.1.1 ::1 2.2.2.2",
		"1.1.1.1":                     "1.1.1.1",
	} {
		if got := interleave(parse(in)); !slices.Equal(got, parse(want)) {
			t.Errorf("%s: %v", in, got)
		}
	}
	if got := interleave(parse(strings.Repeat("1.1.1.1 ::1 ", 50))); len(got) != maxAttempts {
		t.Errorf("%d addresses are tried", len(got))
	}
}

// silent is a listener whose queue is full: connections to it hang, as to an
// address that answers nothing.
func silent(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	family, at := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if network == "tcp6" {
		family, at = syscall.AF_INET6, &syscall.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, at), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	var to netip.AddrPort
	switch a := name.(type) {
	case *syscall.SockaddrInet4:
		to = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *syscall.SockaddrInet6:
		to = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	for range 3 { // fill the queue
		c, err := net.DialTimeout("tcp", to.String(), 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return to
}

func TestRace(t *testing.T) {
	server := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), portOf(serve(t, echo)))
	closed := listen(t, "127.0.0.1:0")
	refused := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), portOf(closed))
	closed.Close()
	hangs := silent(t, "tcp")
	before := census()
	for name, c := range map[string]struct {
		addrs []netip.AddrPort
		want  string
	}{
		"one":                     {[]netip.AddrPort{server}, ""},
		"behind one that refuses": {[]netip.AddrPort{refused, server}, ""},
		"behind one that hangs":   {[]netip.AddrPort{hangs, server}, ""},
		"behind both":             {[]netip.AddrPort{hangs, refused, server}, ""},
		"all refuse":              {[]netip.AddrPort{refused, refused}, "connection refused"},
		"all hang":                {[]netip.AddrPort{hangs, hangs}, "connection timed out"},
		"one hangs":               {[]netip.AddrPort{hangs}, "connection timed out"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		got, err := race(ctx, c.addrs)
		cancel()
		switch {
		case c.want == "" && (err != nil || got.RemoteAddr().String() != server.String()):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err == nil {
			got.Close()
		}
	}
	before.compare(t)
}

func TestDialErrors(t *testing.T) {
	closed := listen(t, "127.0.0.1:0")
	port := portOf(closed)
	closed.Close()
	for _, c := range []struct {
		found []netip.Addr
		err   error
		want  DialError
	}{
		{nil, &net.DNSError{IsNotFound: true}, DialError{Kind: "dns", Reason: "no such host"}},
		{nil, &net.DNSError{IsTimeout: true}, DialError{Kind: "dns", Reason: "the host's resolver did not answer in time"}},
		{nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}, DialError{Kind: "dns", Reason: "the host's resolver failed: server misbehaving"}},
		{nil, context.Canceled, DialError{Kind: "dns", Reason: "the run is over"}},
		{[]netip.Addr{netip.MustParseAddr("10.9.8.7")}, nil, DialError{Kind: "connect", Refused: true,
			Addr:   netip.MustParseAddrPort(fmt.Sprintf("10.9.8.7:%d", port)),
			Reason: "refused address 10.9.8.7 for name a.wild.example: private (RFC 1918), which a rule with a wildcard does not lead to"}},
	} {
		d := dialerFor(t, []string{"*.wild.example"})
		d.addrs = func(context.Context, string) ([]netip.Addr, error) { return c.found, c.err }
		_, err := d.Dial(context.Background(), Dest{Name: "a.wild.example", Port: port})
		var got *DialError
		if !errors.As(err, &got) {
			t.Errorf("%v: %v", c.want, err)
			continue
		}
		got.Err = nil
		if *got != c.want {
			t.Errorf("%+v, want %+v", *got, c.want)
		}
	}
	d := dialerFor(t, []string{"a.wild.example"}, "127.0.0.1")
	d.reach = func(netip.Addr) (reach, string) { return public, "" }
	forgotten := ""
	d.forget = func(name string) { forgotten = name }
	_, err := d.Dial(context.Background(), Dest{Name: "a.wild.example", Port: port})
	if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != "connection refused" || forgotten != "a.wild.example" {
		t.Errorf("%v, forgotten %q", err, forgotten)
	}
}
