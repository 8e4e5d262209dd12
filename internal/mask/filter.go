package mask

import (
	"encoding/binary"
	"math/bits"
)

// A filter finds the places where an attempt may get anywhere, which in ordinary text are few. Of every rule it knows
// three neighbouring bytes near the beginning, those that are rare in ordinary text, and it looks at every second pair
// of bytes: wherever the three stand, one such pair lies in them.
type filter struct {
	pairs   *[1 << 16]bool
	triples *[1 << 16]bool // by hash; nil: any
	starts  *[1 << 16]bool // the first two bytes of every rule
}

func hash(a, b, c byte) uint32 { return (uint32(a) | uint32(b)<<8 | uint32(c)<<16) * 0x9e3779b1 >> 16 }

const (
	// farthest is how far behind the beginning the three bytes may be.
	farthest = 4
	// before is how far before a pair an attempt may have begun: the three may be cut apart by an ESC, which is in
	// the table as well.
	before = farthest + 3
)

// worthwhile is after how many bytes of a stream the table is made.
const worthwhile = 32 << 10

// fast gives the filter once enough has been seen; n bytes are about to be.
func (s *Stream) fast(n int) *filter {
	if s.looked < worthwhile {
		s.looked += n
		return nil
	}
	s.m.once.Do(func() { s.m.filter = newFilter(s.m) })
	return s.m.filter
}

// next gives the first pair at or behind i that attempts may lead over; len(buf) where there is none.
func (f *filter) next(buf []byte, i int) int {
	for {
		for ; i+8 <= len(buf); i += 8 {
			v := binary.LittleEndian.Uint64(buf[i:])
			if f.pairs[v&0xffff] || f.pairs[v>>16&0xffff] || f.pairs[v>>32&0xffff] || f.pairs[v>>48] {
				break
			}
		}
		for stop := min(i+8, len(buf)-1); i < stop; i += 2 {
			if f.pairs[uint16(buf[i])|uint16(buf[i+1])<<8] && f.three(buf, i) {
				return i
			}
		}
		if i+1 >= len(buf) {
			return len(buf)
		}
	}
}

// three says that with a neighbour the pair at i makes three bytes of a rule.
func (f *filter) three(buf []byte, i int) bool {
	x, y := buf[i], buf[i+1]
	return f.triples == nil || x == esc || y == esc || i+2 == len(buf) || f.triples[hash(x, y, buf[i+2])] || i > 0 && f.triples[hash(buf[i-1], x, y)]
}

// newFilter gives nil where there are no such pairs, or too many.
func newFilter(m *Mask) *filter {
	f := &filter{new([1 << 16]bool), new([1 << 16]bool), new([1 << 16]bool)}
	for c := range 256 {
		f.pairs[esc|c<<8], f.pairs[c|esc<<8], f.starts[c|esc<<8] = true, true, true
	}
	for _, g := range m.groups {
		for _, pc := range g.starts {
			if m.prog.insts[pc].op == opTrie {
				f.addValues(&m.prog.trie, 0, nil)
			} else if !f.addRule(&m.prog, pc) {
				return nil
			}
		}
	}
	dense := 0
	for x := 'a'; x <= 'z'; x++ {
		for y := 'a'; y <= 'z'; y++ {
			dense += b2i(f.pairs[x|y<<8])
		}
	}
	if dense > 26*26/4 {
		return nil
	}
	return f
}

func (f *filter) addValues(t *trie, at uint32, path []byteSet) {
	if n := t.nodes[at]; len(path) < farthest+3 && !n.end {
		for to := n.child; to != 0; to = t.nodes[to].sibling {
			var one byteSet
			one.add(t.nodes[to].c, t.nodes[to].c)
			f.addValues(t, to, append(path[:len(path):len(path)], one))
		}
		return
	}
	f.add(path)
}

// addRule goes over all that can stand at the first places of a match.
func (f *filter) addRule(p *program, pc uint32) bool {
	var path []byteSet
	at := map[uint32]bool{}
	ends := p.reach(pc, at)
	for len(path) < farthest+3 && !ends {
		var set byteSet
		next := map[uint32]bool{}
		for pc := range at {
			if i := &p.insts[pc]; i.op == opByte && i.set != (byteSet{}) {
				for k := range set {
					set[k] |= i.set[k]
				}
				ends = p.reach(i.out, next) || ends
			}
		}
		path, at = append(path, set), next
	}
	return f.add(path)
}

// reach adds what pc leads to without a byte, and says whether the text may end there.
func (p *program) reach(pc uint32, at map[uint32]bool) (ends bool) {
	if at[pc] {
		return false
	}
	at[pc] = true
	switch i := &p.insts[pc]; i.op {
	case opSplit:
		ends = p.reach(i.out, at)
		return p.reach(i.alt, at) || ends
	case opAssert:
		return p.reach(i.out, at)
	case opMatch, opArm, opBlock:
		return true
	}
	return false
}

// add chooses three places of the path; there are none in one that is shorter.
func (f *filter) add(path []byteSet) bool {
	best, least := -1, 0
	for k := 0; k+3 <= len(path); k++ {
		a, b, c := commonness(&path[k]), commonness(&path[k+1]), commonness(&path[k+2])
		if cost := a*b + b*c; best < 0 || cost < least {
			best, least = k, cost
		}
	}
	if best < 0 {
		return false
	}
	one, two, three := path[best].list(), path[best+1].list(), path[best+2].list()
	addPairs(f.pairs, one, two)
	addPairs(f.pairs, two, three)
	addPairs(f.starts, path[0].list(), path[1].list())
	if len(one)*len(two)*len(three) > maxTriples {
		f.triples = nil
	}
	for _, x := range one {
		for _, y := range two {
			for k := 0; f.triples != nil && k < len(three); k++ {
				f.triples[hash(x, y, three[k])] = true
			}
		}
	}
	return true
}

// maxTriples of one rule are too many to tell anything by.
const maxTriples = 4000

func addPairs(to *[1 << 16]bool, one, two []byte) {
	for _, x := range one {
		for _, y := range two {
			to[uint16(x)|uint16(y)<<8] = true
		}
	}
}

func (s *byteSet) list() (all []byte) {
	for k, word := range s {
		for ; word != 0; word &= word - 1 {
			all = append(all, byte(k<<6|bits.TrailingZeros64(word)))
		}
	}
	return all
}

// commonness is roughly how many of a thousand bytes of a log are in the set.
func commonness(s *byteSet) (sum int) {
	for _, c := range s.list() {
		switch {
		case c == ' ':
			sum += 110
		case c >= 'a' && c <= 'z':
			sum += letters[c-'a']
		case isDigit(c), contains("/.-:", c):
			sum += 15
		default:
			sum += 3
		}
	}
	return sum
}

var letters = [26]int{50, 12, 28, 28, 75, 12, 14, 20, 47, 2, 7, 30, 20, 46, 50, 22, 1, 44, 48, 58, 22, 7, 8, 4, 9, 2}
