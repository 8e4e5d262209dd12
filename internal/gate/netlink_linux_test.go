package gate

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dump writes a batch as text, a line a message: its type and flags, the fixed
// part, the attributes. Expressions of rules stand one after the other.
func dump(t *testing.T, m *batch) string {
	t.Helper()
	var out strings.Builder
	for b, n := m.b, 1; len(b) > 0; n++ {
		size := binary.NativeEndian.Uint32(b)
		if seq := binary.NativeEndian.Uint32(b[8:]); seq != uint32(n) {
			t.Errorf("message %d has number %d", n, seq)
		}
		fixed := 4 // struct nfgenmsg
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.RTM_NEWADDR:
			fixed = unix.SizeofIfAddrmsg
		case unix.RTM_NEWROUTE:
			fixed = unix.SizeofRtMsg
		}
		body := b[unix.SizeofNlMsghdr:size]
		fmt.Fprintf(&out, "%#x flags %#x: %x", binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), body[:fixed])
		attributes(t, &out, body[fixed:])
		out.WriteByte('\n')
		b = b[size:]
	}
	return out.String()
}

func attributes(t *testing.T, out *strings.Builder, b []byte) {
	t.Helper()
	for len(b) > 0 {
		size, typ := binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint16(b[2:])
		if size < 4 || int(size) > len(b) {
			t.Fatalf("an attribute of %d bytes in %d", size, len(b))
		}
		value := b[4:size]
		switch {
		case typ&unix.NLA_F_NESTED != 0:
			fmt.Fprintf(out, " %d{", typ&^unix.NLA_F_NESTED)
			attributes(t, out, value)
			out.WriteString(" }")
		case len(value) > 2 && value[len(value)-1] == 0 && !slices.ContainsFunc(value[:len(value)-1], func(c byte) bool { return c < 'a' || c > 'z' }):
			fmt.Fprintf(out, " %d=%s", typ, value[:len(value)-1])
		default:
			fmt.Fprintf(out, " %d=%x", typ, value)
		}
		b = b[min((int(size)+3)&^3, len(b)):]
	}
}

// TestMessages compares everything that makes a sandbox's network with
// testdata/messages: what the kernel is told is reviewed like source.
func TestMessages(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the page was written on a little-endian machine")
	}
	rules := []Address{{netip.MustParsePrefix("192.0.2.0/23"), 81}, {netip.MustParsePrefix("2001:db8::/32"), 0}, {netip.MustParsePrefix("203.0.113.7/32"), 0}}
	both := &Front{IPv6: true, Localhost: []uint16{11434}, Addresses: rules}
	four := &Front{Localhost: []uint16{11434}, Addresses: rules}
	var got strings.Builder
	for _, part := range []struct {
		name string
		m    *batch
	}{
		{"routes", routes(true)}, {"routes without IPv6", routes(false)}, {"log", listenLog()},
		{"table", table(both, true)}, {"table without IPv6", table(four, true)}, {"table that refuses nothing", table(both, false)},
	} {
		fmt.Fprintf(&got, "%s\n%s\n", part.name, dump(t, part.m))
	}
	file := filepath.Join("testdata", "messages")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(w) || line != w[i] {
			t.Fatalf("line %d of %s (UPDATE=1 writes it anew):\n%s", i+1, file, line)
		}
	}
	if n := strings.Count(got.String(), "\n") + 1; n != len(w) {
		t.Errorf("%d lines of %d", n, len(w))
	}
}

// FuzzLogged: copies of packets are the command's to choose.
func FuzzLogged(f *testing.F) {
	packet := []byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, unix.IPPROTO_TCP, 0, 0, 198, 18, 0, 1, 203, 0, 113, 9, 0x80, 0, 1, 0xbb, 0, 0, 0, 0}
	m := &batch{}
	m.message(unix.NFNL_SUBSYS_ULOG<<8|nfulnlPacket, 0, func() { m.raw(2, 0, 0, 1); m.attr(nfulaPayload, packet...) })
	f.Add(m.b)
	six := append([]byte{0x60, 0, 0, 0, 0, 8, unix.IPPROTO_UDP, 64}, slices.Concat(Resolver6.AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice(), []byte{0x80, 0, 1, 0xbb})...)
	n := &batch{}
	n.message(unix.NFNL_SUBSYS_ULOG<<8|nfulnlPacket, 0, func() { n.raw(10, 0, 0, 1); n.attr(3, 1, 2, 3); n.attr(nfulaPayload, six...) })
	f.Add(n.b)
	f.Add(append(slices.Clone(m.b), n.b...))
	f.Add([]byte{4, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range logged(b) {
			if e.Kind != "connect" && e.Kind != "udp" || !e.Addr.IsValid() || e.Reason == "" {
				t.Errorf("%+v", e)
			}
		}
	})
	got := logged(append(slices.Clone(m.b), n.b...))
	if len(got) != 2 || got[0].Kind != "connect" || got[0].Addr.String() != "203.0.113.9:443" || got[1].Kind != "udp" || got[1].Addr.String() != "[2001:db8::1]:443" {
		f.Errorf("%+v", got)
	}
}
