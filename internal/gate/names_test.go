package gate

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

func TestNames(t *testing.T) {
	n := NewNames()
	if _, ok := n.Name(Resolver4); ok || n.Known("a.com") {
		t.Error("the empty table knows a name")
	}
	four, six, ok := n.Addrs("a.com")
	if !ok || !Synthetic4.Contains(four) || !Synthetic6.Contains(six) {
		t.Fatalf("addresses of a.com: %v %v %v", four, six, ok)
	}
	for _, a := range []netip.Addr{four, six, netip.AddrFrom16(four.As16())} {
		if name, ok := n.Name(a); name != "a.com" || !ok {
			t.Errorf("%v stands for %q", a, name)
		}
	}
	if again, _, _ := n.Addrs("a.com"); again != four || !n.Known("a.com") {
		t.Errorf("a.com has %v, then %v", four, again)
	}
	if elsewhere, _, _ := NewNames().Addrs("a.com"); elsewhere != four {
		t.Errorf("a.com has %v in one run and %v in another", four, elsewhere)
	}
	if other, _, _ := n.Addrs("b.com"); other == four {
		t.Errorf("a.com and b.com have both %v", four)
	}
}

func TestNamesOfNothing(t *testing.T) {
	n := NewNames()
	for i := range 2000 {
		n.Addrs(fmt.Sprint("host", i, ".example.com"))
	}
	for _, s := range []string{
		"198.18.0.0", "198.18.0.1", "198.18.0.77", "198.18.7.0", "198.18.7.255", "198.19.255.255", "198.17.255.254",
		"198.20.0.1", "127.0.0.1", "0.0.0.0", "::", "::1", "fd61:6967:6174:6500::", "fd61:6967:6174:6500::1",
		"fd61:6967:6174:6500:1::c612:101", "fd61:6967:6174:6501::c612:101", "fd61:6967:6174:6500::7f00:1",
	} {
		if name, ok := n.Name(netip.MustParseAddr(s)); ok {
			t.Errorf("%s stands for %q", s, name)
		}
	}
	_, six, _ := n.Addrs("host0.example.com")
	for i := 8; i < 12; i++ {
		b := six.As16()
		b[i] = 1
		if name, ok := n.Name(netip.AddrFrom16(b)); ok {
			t.Errorf("%v, beside %v, stands for %q", netip.AddrFrom16(b), six, name)
		}
	}
	if name, ok := n.Name(netip.Addr{}); ok {
		t.Errorf("no address stands for %q", name)
	}
}

// Every place has an address of its own, and none that programs take for
// something special.
func TestNamesPlaces(t *testing.T) {
	seen := make(map[netip.Addr]bool, places)
	for p := range uint32(places) {
		a := address(p)
		back, ok := placeOf(a)
		six, _ := placeOf(synthetic6(uint32From(a)))
		if !ok || back != p || six != p || seen[a] || !Synthetic4.Contains(a) || a == Resolver4 {
			t.Fatalf("place %d: address %v, which is place %d, %d", p, a, back, six)
		}
		if last := a.As4()[3]; last == 0 || last == 255 {
			t.Fatalf("place %d: address %v", p, a)
		}
		seen[a] = true
	}
}

func TestNamesFull(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(i int) string
		want int
	}{
		{"by number", func(i int) string { return fmt.Sprint(i) }, maxNames},
		{"by text", func(i int) string { return strings.Repeat("x", 240) + fmt.Sprintf("%013d", i) }, maxNameText / 253},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := NewNames()
			seen := make(map[netip.Addr]bool)
			for i := range test.want {
				a, _, ok := n.Addrs(test.make(i))
				if !ok || seen[a] {
					t.Fatalf("name %d: %v %v", i, a, ok)
				}
				seen[a] = true
			}
			if _, _, ok := n.Addrs(test.make(test.want)); ok {
				t.Error("one more has an address")
			}
			if _, _, ok := n.Addrs(test.make(7)); !ok {
				t.Error("one that is there has none any more")
			}
		})
	}
}

// Names that are made to meet at one place, as the payload can: the place
// follows from the name alone. They must not make each search longer.
func TestNamesThatMeet(t *testing.T) {
	n := NewNames()
	n.Addrs("first")
	at := n.place("first", 0)
	found := 0
	for i := 0; found < 50; i++ {
		name := fmt.Sprint("x", i)
		if n.place(name, 0) != at {
			continue
		}
		found++
		n.Addrs(name)
		for try := range maxTries {
			if n.at[n.place(name, try)] == name {
				if try > 8 {
					t.Errorf("%s is found at try %d", name, try)
				}
				break
			}
		}
	}
}

func TestNamesAtOnce(t *testing.T) {
	n := NewNames()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 500 {
				name := fmt.Sprint((i*7 + g*13) % 500)
				a, _, _ := n.Addrs(name)
				if back, ok := n.Name(a); back != name || !ok {
					t.Errorf("%s has %v, which is %q", name, a, back)
				}
			}
		}()
	}
	wg.Wait()
	if len(n.at) != 500 {
		t.Errorf("%d names, want 500", len(n.at))
	}
}
