// Package mask takes secrets out of a stream of output and lets everything else through at once.
//
// What is secret is defined without regard to how the output comes. Sequences for the terminal are no text. A rule
// matches a stretch of the text as a regular expression does, on one line (ended by \n, \r, or a sequence that moves the
// cursor), wherever it begins and ends. A byte is secret when some match of some rule covers it, beyond the bytes that
// the rule shows. Every run of secret bytes is replaced by ***. So
//
//   - matches are the longest there are, overlapping ones are masked together, and no order of rules matters: a lazy
//     quantifier (.*?) is as greedy as any;
//   - a preset shows the literal beginning of a token (sk-ant-***), a pattern the first ShowPrefix bytes, and never a
//     whole match: where the shortest match has n characters, at most n-1 bytes;
//   - colour inside of a token does not hide it: the sequences stay, behind the stars;
//   - a private key is masked from its first line to its END line, or to the first byte that cannot be in one, at most
//     64 KiB: "-----BEGIN RSA PRIVATE KEY----- ***".
//
// A Stream promises that
//
//   - the result is the same for every way of cutting the output into pieces;
//   - a byte leaves as soon as it is known to be secret or not, and nothing is held for the sake of a line's end;
//   - what may be the beginning of a secret is held as long as it may; only what tells nothing of the secret (the literal
//     beginning of a pattern, three bytes of a known value) leaves after a silence, by Idle; what follows is still masked;
//   - where nothing matches, every byte is passed on as it is, be it UTF-8 or not;
//   - memory is bounded and time is linear, whatever the rules and the text: of a match longer than 64 KiB the last
//     64 KiB are masked, what has left has left.
//
// All rules are one nondeterministic automaton over bytes, made deterministic as far as the output needs it. Ordinary
// output never gets there: a table of pairs of bytes that are rare in it says where a rule could match at all.
//
// Masking keeps secrets out of logs and recordings. It cannot stop a program that wants to get one out: that only has to
// write it backwards.
package mask

import (
	"fmt"
	"math"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

// Rules say what is secret.
type Rules struct {
	Presets  []string // names; see Presets
	Patterns []Pattern
	Values   []string // secrets themselves, also base64- and percent-encoded; see Known
}

// Pattern is a rule of the user's own.
type Pattern struct {
	Regex           string // RE2
	ShowPrefix      int    // bytes of a match that stay readable
	CaseInsensitive bool
}

// Mask is a set of rules, ready for use by any number of streams.
type Mask struct {
	prog    program
	groups  []group
	first   [256]uint64 // the groups of which an attempt may begin with this byte
	classes [256]uint8
	nclass  int
	asserts bool // some rule has an empty-width condition

	once   sync.Once
	filter *filter // made when there is much to look through
}

// A group are rules that show the same number of bytes. An attempt follows all rules of one group from one place.
type group struct {
	show   int // bytes before the secret begins; never: it doesn't in this attempt
	edge   bool
	starts []uint32
}

const never = math.MaxInt

// New compiles rules.
func New(r Rules) (*Mask, error) {
	m := &Mask{}
	m.prog.insts = make([]inst, 0, 256)
	for _, name := range unique(r.Presets) {
		p := findPreset(name)
		if p == nil {
			return nil, fmt.Errorf("unknown mask preset %q, known: %s", name, strings.Join(Presets(), ", "))
		}
		for _, s := range p.secrets {
			m.addSecret(s)
		}
	}
	for _, p := range r.Patterns {
		if err := m.addPattern(p); err != nil {
			return nil, err
		}
	}
	if len(r.Values) > 0 {
		m.addValues(r.Values)
	}
	m.finish()
	return m, nil
}

func unique(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// begin adds a rule to the group that it belongs to.
func (m *Mask) begin(show int, edge bool, pc uint32) {
	for i := range m.groups {
		if g := &m.groups[i]; g.show == show && g.edge == edge {
			g.starts = append(g.starts, pc)
			return
		}
	}
	m.groups = append(m.groups, group{show, edge, []uint32{pc}})
}

func (m *Mask) addSecret(s secret) {
	end := m.prog.emit(inst{op: opMatch})
	if s.block {
		m.prog.insts[end].op = opBlock
	}
	m.prog.lines = s.block
	hidden := m.prog.regex(mustParse(s.hidden), end)
	m.prog.lines = false
	shown := m.prog.regex(mustParse(s.shown), m.prog.emit(inst{op: opArm, out: hidden}))
	m.begin(never, s.edge, shown)
}

// maxSpelled bounds the program of values that have more than one spelling, some 2 MB.
const maxSpelled = 40_000

// addValues takes the values themselves first: where there is no room for all, the encoded ones are left out.
func (m *Mask) addValues(values []string) {
	for _, v := range values {
		m.prog.trie.add(v)
	}
	for _, v := range values {
		for _, e := range base64ed(v) {
			m.prog.trie.add(e)
		}
	}
	m.begin(0, false, m.prog.emit(inst{op: opTrie}))
	begun := len(m.prog.insts)
	for _, v := range values {
		if manySpellings(v) && len(m.prog.insts)-begun+30*len(v) < maxSpelled {
			m.begin(0, false, m.prog.spelled(v, m.prog.emit(inst{op: opMatch})))
		}
	}
}

// mustParse is for what stands in this package; a test compiles all of it.
func mustParse(expr string) *syntax.Regexp {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		panic(err)
	}
	return re.Simplify()
}

// maxShows is how many different prefixes the patterns may show; more share that of the nearest that shows less.
const maxShows = 40

func (m *Mask) addPattern(p Pattern) error {
	re, err := p.parse()
	if err != nil {
		return err
	}
	least := Shortest(re)
	if least == 0 {
		return fmt.Errorf("the pattern %s matches the empty text", p.Regex)
	}
	show := min(max(p.ShowPrefix, 0), least-1)
	if len(m.groups) > maxShows {
		show = 0
	}
	if Size(re) > MaxSize {
		return fmt.Errorf("the pattern %.40s… is too large", p.Regex)
	}
	start := m.prog.regex(re.Simplify(), m.prog.emit(inst{op: opMatch}))
	m.begin(show, false, start)
	return nil
}

func (p Pattern) parse() (*syntax.Regexp, error) {
	flags := syntax.Perl
	if p.CaseInsensitive {
		flags |= syntax.FoldCase
	}
	re, err := syntax.Parse(p.Regex, flags)
	if err != nil {
		return nil, fmt.Errorf("the pattern %s: %w", p.Regex, err)
	}
	return re, nil
}

// MaxSize is how large the patterns of a configuration may be together, by Size: they come from a stranger's repository.
const MaxSize = 5000

// Size is how many characters a pattern names, each as often as it is repeated.
func Size(re *syntax.Regexp) int {
	size := 0
	switch {
	case re.Op == syntax.OpCharClass:
		size = 1 + len(re.Rune)/8
	case len(re.Sub) == 0:
		size = max(1, len(re.Rune))
	}
	for _, sub := range re.Sub {
		size += Size(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(1, re.Min, re.Max)
	}
	return min(size, MaxSize+1)
}

// Shortest is the number of characters of the shortest match, so no more than its bytes.
func Shortest(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return Shortest(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * Shortest(re.Sub[0])
	case syntax.OpConcat:
		sum := 0
		for _, sub := range re.Sub {
			sum += Shortest(sub)
		}
		return sum
	case syntax.OpAlternate:
		least := Shortest(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			least = min(least, Shortest(sub))
		}
		return least
	}
	return 0
}

// finish computes the tables.
func (m *Mask) finish() {
	sets := map[byteSet]bool{}
	for i := range m.prog.insts {
		switch in := &m.prog.insts[i]; in.op {
		case opByte:
			sets[in.set] = true
		case opAssert:
			m.asserts = true
		}
	}
	if m.asserts {
		var words, ends byteSet
		for c := range 256 {
			if isWord(byte(c)) {
				words.add(byte(c), byte(c))
			}
			if isLineEnd(byte(c)) {
				ends.add(byte(c), byte(c))
			}
		}
		sets[words], sets[ends] = true, true
	}
	var inValues byteSet
	for i := range m.prog.trie.nodes {
		if c := m.prog.trie.nodes[i].c; i > 0 {
			inValues.add(c, c)
		}
	}
	m.nclass = 1
	for c := range 256 {
		if inValues.has(byte(c)) {
			m.classes[c] = uint8(m.nclass)
			m.nclass++
		}
	}
	for set := range sets {
		m.refine(&set)
	}
	for g := range m.groups {
		for _, pc := range m.groups[g].starts {
			m.firstBytes(pc, uint64(1)<<g, map[uint32]bool{})
		}
	}
}

// refine splits the classes so that none has bytes in set and others.
func (m *Mask) refine(set *byteSet) {
	var in, out [256]bool
	for c := range 256 {
		if set.has(byte(c)) {
			in[m.classes[c]] = true
		} else {
			out[m.classes[c]] = true
		}
	}
	var moved [256]uint8
	for c := range 256 {
		if k := m.classes[c]; set.has(byte(c)) && in[k] && out[k] {
			if moved[k] == 0 {
				moved[k] = uint8(m.nclass)
				m.nclass++
			}
			m.classes[c] = moved[k]
		}
	}
}

func (m *Mask) firstBytes(pc uint32, g uint64, seen map[uint32]bool) {
	if seen[pc] {
		return
	}
	seen[pc] = true
	switch i := &m.prog.insts[pc]; i.op {
	case opByte:
		for c := range 256 {
			if i.set.has(byte(c)) {
				m.first[c] |= g
			}
		}
	case opSplit:
		m.firstBytes(i.out, g, seen)
		m.firstBytes(i.alt, g, seen)
	case opAssert:
		m.firstBytes(i.out, g, seen)
	case opTrie:
		for n := m.prog.trie.nodes[0].child; n != 0; n = m.prog.trie.nodes[n].sibling {
			m.first[m.prog.trie.nodes[n].c] |= g
		}
	}
}
