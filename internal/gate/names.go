package gate

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
)

// Resolver4 and Resolver6 are the sandbox's own addresses. What leads elsewhere
// has one of them as its source, and the resolver can be asked there.
var (
	Resolver4 = netip.AddrFrom4([4]byte{198, 18, 0, 1})
	Resolver6 = synthetic6(1)
)

const (
	// maxNames and maxNameText bound the table: under a wildcard rule the payload can make up names without end.
	maxNames    = 1 << 16
	maxNameText = 4 << 20

	// The places of the table: 198.18.0.0/24 is the resolver's, and no address ends in 0 or 255, which some programs
	// take for a network's own and its broadcast address. Half of them stay free, so that a search is short.
	firstBlock = 198<<24 | 18<<16 | 1<<8
	inBlock    = 254
	places     = (2<<8 - 1) * inBlock

	// maxTries is never reached in a table that is half empty.
	maxTries = 128
)

// Names gives every name one IPv4 and one IPv6 address, for as long as the run
// lasts, and tells the name that an address stands for.
//
// The address follows from the name: it is the name's place in a hash table. So
// a name nearly always has the same address in every sandbox. Addresses are
// written down (known_hosts, caches of browsers and runtimes), and in the next
// run they lead to the same name or nowhere, not to another one. It gives
// nothing away: who knows the address still needs the rule.
type Names struct {
	mu   sync.RWMutex
	at   map[uint32]string // by place; no name is ever taken out
	text int               // bytes of all names
	seed maphash.Seed
}

// NewNames returns an empty table. It takes no memory before the first name.
func NewNames() *Names { return new(Names) }

// Addrs returns the name's addresses, and gives it some when it has none. It
// says false when the table is full. The name is in its normal form.
func (n *Names) Addrs(name string) (v4, v6 netip.Addr, ok bool) {
	n.mu.RLock()
	place, ok := n.find(name)
	n.mu.RUnlock()
	if !ok {
		n.mu.Lock()
		place, ok = n.add(name)
		n.mu.Unlock()
	}
	if !ok {
		return netip.Addr{}, netip.Addr{}, false
	}
	v4 = address(place)
	return v4, synthetic6(uint32From(v4)), true
}

// Known says that the name has addresses.
func (n *Names) Known(name string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	_, ok := n.find(name)
	return ok
}

// Name returns the name that an address stands for.
func (n *Names) Name(a netip.Addr) (string, bool) {
	place, ok := placeOf(a.Unmap())
	if !ok {
		return "", false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	name, ok := n.at[place]
	return name, ok
}

func (n *Names) find(name string) (uint32, bool) {
	if n.at == nil {
		return 0, false
	}
	for try := range maxTries {
		place := n.place(name, try)
		switch found, taken := n.at[place]; {
		case !taken:
			return 0, false
		case found == name:
			return place, true
		}
	}
	return 0, false
}

func (n *Names) add(name string) (uint32, bool) {
	if n.at == nil {
		n.at, n.seed = make(map[uint32]string), maphash.MakeSeed()
	}
	for try := range maxTries {
		place := n.place(name, try)
		switch found, taken := n.at[place]; {
		case found == name && taken:
			return place, true
		case taken:
			continue
		case len(n.at) >= maxNames || n.text+len(name) > maxNameText:
			return 0, false
		}
		n.at[place] = name
		n.text += len(name)
		return place, true
	}
	return 0, false
}

// place is where a name goes, or where it goes when the earlier places are
// taken. Only the first one is the same in every run: names that are made to
// meet at one place part at the next, and do not make the search long.
func (n *Names) place(name string, try int) uint32 {
	if try == 0 {
		h := uint64(14695981039346656037) // FNV-1a
		for i := range len(name) {
			h = (h ^ uint64(name[i])) * 1099511628211
		}
		return uint32((h ^ h>>32) % places)
	}
	h := maphash.String(n.seed, name) + uint64(try)*0x9e3779b97f4a7c15
	h = (h ^ h>>31) * 0xbf58476d1ce4e5b9 // the mixing step of splitmix64
	return uint32((h ^ h>>32) % places)
}

// address is the IPv4 address that a place stands for.
func address(place uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], firstBlock+place/inBlock<<8+1+place%inBlock)
	return netip.AddrFrom4(b)
}

// placeOf is the place that an address of either family stands for.
func placeOf(a netip.Addr) (uint32, bool) {
	var n uint32
	switch {
	case Synthetic4.Contains(a):
		n = uint32From(a)
	case Synthetic6.Contains(a):
		b := a.As16()
		n = binary.BigEndian.Uint32(b[12:])
		if a.WithZone("") != synthetic6(n) {
			return 0, false
		}
	}
	last := n & 0xff
	if n < firstBlock || n >= firstBlock+places/inBlock<<8 || last == 0 || last == 255 {
		return 0, false
	}
	return (n-firstBlock)>>8*inBlock + last - 1, true
}

// synthetic6 has an IPv4 address, or any number, in its last 32 bits.
func synthetic6(n uint32) netip.Addr {
	b := [16]byte{0xfd, 0x61, 0x69, 0x67, 0x61, 0x74, 0x65}
	binary.BigEndian.PutUint32(b[12:], n)
	return netip.AddrFrom16(b)
}

func uint32From(v4 netip.Addr) uint32 {
	b := v4.As4()
	return binary.BigEndian.Uint32(b[:])
}
