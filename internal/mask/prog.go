package mask

import (
	"fmt"
	"math/bits"
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// A program is every rule as one nondeterministic automaton over bytes. It is built by continuation: a
// fragment is compiled for the instruction that follows it.
type program struct {
	insts []inst
	trie  trie
	lines bool // what is compiled may run over several lines

	last    *syntax.Regexp // a class, in x{20} the same one twenty times
	lastSet inst
}

type op uint8

const (
	opByte    op = iota // takes a byte of set, goes on at out
	opSplit             // goes on at out and at alt
	opAssert            // goes on at out where the empty-width condition holds
	opMatch             // the text from the start of the attempt is secret
	opArm               // an attempt begins here, at out
	opBlock             // the text from the start is secret, and so is the block that follows
	opTrie              // a node of the trie, number out
	opNothing           // never goes on
)

type inst struct {
	op       op
	tells    bool // the byte says something of the secret
	cond     syntax.EmptyOp
	out, alt uint32
	set      byteSet
}

// A byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(lo, hi byte) {
	for k := int(lo >> 6); k <= int(hi>>6); k++ {
		bits := ^uint64(0)
		if k == int(lo>>6) {
			bits <<= lo & 63
		}
		if k == int(hi>>6) {
			bits &= ^uint64(0) >> (63 - hi&63)
		}
		s[k] |= bits
	}
}

func (s *byteSet) has(c byte) bool { return s[c>>6]&(1<<(c&63)) != 0 }

// tells says that a byte of the set, once taken, says something that the rule alone does not: there are more than three
// letters (in whatever case) or digits that it may have been.
func (s *byteSet) tells() bool {
	const alphabet = 1<<26 - 1
	digits := bits.OnesCount64(s[0] >> '0' & (1<<10 - 1))
	letters := bits.OnesCount64((s[1]>>('a'-64) | s[1]>>('A'-64)) & alphabet)
	return digits+letters+bits.OnesCount64(s[2])+bits.OnesCount64(s[3]) > 3
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (p *program) emit(i inst) uint32 {
	p.insts = append(p.insts, i)
	return uint32(len(p.insts) - 1)
}

// lineEnds never match: a pattern is for the text of one line, whatever ends it.
const lineEnds = "\r\n"

func (p *program) byteIn(set byteSet, next uint32) uint32 {
	for i := range len(lineEnds) {
		if !p.lines {
			set[lineEnds[i]>>6] &^= 1 << (lineEnds[i] & 63)
		}
	}
	return p.emit(inst{op: opByte, set: set, out: next, tells: set.tells()})
}

func (p *program) split(a, b uint32) uint32 {
	return p.emit(inst{op: opSplit, out: a, alt: b})
}

// regex compiles what regexp/syntax has simplified.
func (p *program) regex(re *syntax.Regexp, next uint32) uint32 {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return next
	case syntax.OpLiteral:
		for i := len(re.Rune) - 1; i >= 0; i-- {
			next = p.literal(re.Rune[i], re.Flags&syntax.FoldCase != 0, next)
		}
		return next
	case syntax.OpCharClass:
		if re == p.last {
			p.lastSet.out = next
			return p.emit(p.lastSet)
		}
		before := len(p.insts)
		start := p.class(re.Rune, next)
		if len(p.insts) == before+1 {
			p.last, p.lastSet = re, p.insts[before]
		}
		return start
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return p.class([]rune{0, unicode.MaxRune}, next)
	case syntax.OpBeginLine, syntax.OpBeginText:
		return p.emit(inst{op: opAssert, cond: syntax.EmptyBeginLine, out: next})
	case syntax.OpEndLine, syntax.OpEndText:
		return p.emit(inst{op: opAssert, cond: syntax.EmptyEndLine, out: next})
	case syntax.OpWordBoundary:
		return p.emit(inst{op: opAssert, cond: syntax.EmptyWordBoundary, out: next})
	case syntax.OpNoWordBoundary:
		return p.emit(inst{op: opAssert, cond: syntax.EmptyNoWordBoundary, out: next})
	case syntax.OpCapture:
		return p.regex(re.Sub[0], next)
	case syntax.OpStar, syntax.OpPlus:
		loop := p.split(0, next)
		body := p.regex(re.Sub[0], loop)
		p.insts[loop].out = body
		if re.Op == syntax.OpPlus {
			return body
		}
		return loop
	case syntax.OpQuest:
		return p.split(p.regex(re.Sub[0], next), next)
	case syntax.OpConcat:
		for i := len(re.Sub) - 1; i >= 0; i-- {
			next = p.regex(re.Sub[i], next)
		}
		return next
	case syntax.OpAlternate:
		start := p.regex(re.Sub[len(re.Sub)-1], next)
		for i := len(re.Sub) - 2; i >= 0; i-- {
			start = p.split(p.regex(re.Sub[i], next), start)
		}
		return start
	case syntax.OpNoMatch:
		return p.emit(inst{op: opNothing})
	}
	panic(fmt.Sprintf("mask: %v is not simplified", re.Op))
}

func (p *program) literal(r rune, fold bool, next uint32) uint32 {
	pairs := []rune{r, r}
	if fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			pairs = append(pairs, f, f)
		}
	}
	return p.class(pairs, next)
}

// class compiles ranges of characters. Where every character beyond ASCII is meant, any byte beyond ASCII will do as
// well: text that is no UTF-8 does not end a match.
func (p *program) class(ranges []rune, next uint32) uint32 {
	var single byteSet
	var starts []uint32
	for i := 0; i < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if lo < utf8.RuneSelf {
			single.add(byte(lo), byte(min(hi, utf8.RuneSelf-1)))
		}
		switch {
		case hi < utf8.RuneSelf:
		case lo <= utf8.RuneSelf && hi == unicode.MaxRune:
			single.add(0x80, 0xff)
			starts = append(starts, p.anySequence(next)...)
		default:
			starts = append(starts, p.sequences(max(lo, utf8.RuneSelf), hi, next)...)
		}
	}
	if single != (byteSet{}) || len(starts) == 0 {
		starts = append(starts, p.byteIn(single, next))
	}
	start := starts[len(starts)-1]
	for _, s := range starts[:len(starts)-1] {
		start = p.split(s, start)
	}
	return start
}

// anySequence takes a character of two, three or four bytes as one.
func (p *program) anySequence(next uint32) (starts []uint32) {
	for _, lead := range [][2]byte{{0xc2, 0xdf}, {0xe0, 0xef}, {0xf0, 0xf4}} {
		var first, rest byteSet
		first.add(lead[0], lead[1])
		rest.add(0x80, 0xbf)
		next = p.byteIn(rest, next)
		starts = append(starts, p.byteIn(first, next))
	}
	return starts
}

// sequences gives the byte sequences of the characters from lo to hi, which are beyond ASCII.
func (p *program) sequences(lo, hi rune, next uint32) []uint32 {
	var a, b [utf8.UTFMax]byte
	for n, most := range []rune{0x7ff, 0xffff, unicode.MaxRune} {
		if lo <= most && hi > most { // not of the same length
			return append(p.sequences(lo, most, next), p.sequences(most+1, hi, next)...)
		}
		if hi <= most {
			return p.sameLength(lo, hi, n+2, a, b, next)
		}
	}
	return nil
}

func (p *program) sameLength(lo, hi rune, n int, a, b [utf8.UTFMax]byte, next uint32) []uint32 {
	// Halve until all bytes behind the first that differs go from 80 to BF.
	for k := 1; k < n; k++ {
		m := rune(1)<<(6*k) - 1
		if lo&^m == hi&^m {
			continue
		}
		if lo&m != 0 {
			return append(p.sameLength(lo, lo|m, n, a, b, next), p.sameLength((lo|m)+1, hi, n, a, b, next)...)
		}
		if hi&m != m {
			return append(p.sameLength(lo, hi&^m-1, n, a, b, next), p.sameLength(hi&^m, hi, n, a, b, next)...)
		}
	}
	encode(a[:n], lo)
	encode(b[:n], hi)
	for i := n - 1; i >= 0; i-- {
		var set byteSet
		set.add(a[i], b[i])
		next = p.byteIn(set, next)
	}
	return []uint32{next}
}

// encode is utf8.EncodeRune that takes surrogates too, which can only be the ends of a range here.
func encode(b []byte, r rune) {
	for i := len(b) - 1; i > 0; i-- {
		b[i] = 0x80 | byte(r)&0x3f
		r >>= 6
	}
	b[0] = [5]byte{2: 0xc0, 3: 0xe0, 4: 0xf0}[len(b)] | byte(r)
}

// spelled compiles a known value in all the ways in which it may be written where it stands in a string of JSON, of a
// shell, of HTML or in a URL.
func (p *program) spelled(value string, next uint32) uint32 {
	for i := len(value) - 1; i >= 0; i-- {
		before := len(p.insts)
		next = p.spelledByte(value[i], next)
		for k := before; k < len(p.insts); k++ {
			p.insts[k].tells = i >= publicValue
		}
	}
	return next
}

func (p *program) spelledByte(c byte, next uint32) uint32 {
	var plain byteSet
	plain.add(c, c)
	if c == ' ' {
		plain.add('+', '+')
	}
	start := p.byteIn(plain, next)
	if isWord(c) {
		return start
	}
	const hex = "0123456789abcdef"
	ways := []string{`\` + string(c), "%" + hex[c>>4:c>>4+1] + hex[c&15:c&15+1], `\u00` + hex[c>>4:c>>4+1] + hex[c&15:c&15+1]}
	if c < 0x80 {
		ways = append(ways, fmt.Sprintf("&#%d;", c), fmt.Sprintf("&#x%x;", c))
	}
	switch c {
	case '&':
		ways = append(ways, "&amp;")
	case '<':
		ways = append(ways, "&lt;")
	case '>':
		ways = append(ways, "&gt;")
	case '"':
		ways = append(ways, "&quot;")
	case '\'':
		ways = append(ways, "&apos;", "'\\''")
	}
	for _, way := range ways {
		start = p.split(p.eitherCase(way, next), start)
	}
	return start
}

func (p *program) eitherCase(text string, next uint32) uint32 {
	for i := len(text) - 1; i >= 0; i-- {
		var set byteSet
		set.add(text[i], text[i])
		if text[i] >= 'a' && text[i] <= 'f' {
			set.add(text[i]-32, text[i]-32)
		}
		next = p.byteIn(set, next)
	}
	return next
}

// A trie holds the known values, a byte a node.
type trie struct {
	nodes []trieNode
}

type trieNode struct {
	child, sibling uint32 // 0: none
	depth          uint16 // at most
	c              byte
	end            bool
}

// maxTrie bounds the memory, some 2 MB.
const maxTrie = 200_000

// add takes a value while there is room.
func (t *trie) add(value string) {
	if len(t.nodes) == 0 {
		t.nodes = append(t.nodes, trieNode{})
	}
	if len(t.nodes)+len(value) > maxTrie {
		return
	}
	at := uint32(0)
	for i := range len(value) {
		to, ok := t.step(at, value[i])
		if !ok {
			to = uint32(len(t.nodes))
			t.nodes = append(t.nodes, trieNode{sibling: t.nodes[at].child, depth: uint16(min(i+1, 1<<15)), c: value[i]})
			t.nodes[at].child = to
		}
		at = to
	}
	t.nodes[at].end = true
}

func (t *trie) step(at uint32, c byte) (uint32, bool) {
	for n := t.nodes[at].child; n != 0; n = t.nodes[n].sibling {
		if t.nodes[n].c == c {
			return n, true
		}
	}
	return 0, false
}
