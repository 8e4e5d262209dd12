package mask

import (
	"math"
	"regexp/syntax"
	"slices"
)

// An automaton is a program made deterministic as far as some text needed it: from every start alike, so a set of
// instructions that two attempts have come to is one state.
type automaton struct {
	m      *Mask
	states map[string]*state
	memory int // of them, roughly
	gen    int // states of an older one are made anew
	groups []*startStates
	tick   int // of the last byte, see state.tick

	list  []uint32 // scratch: instructions of the state that is being made
	seen  sparseSet
	bytes []byte
}

// What stands before the next byte, as the empty-width conditions need it.
const (
	afterLineEnd = iota
	afterWord
	afterOther
	befores
)

type startStates [befores]*state

type state struct {
	list   []uint32 // instructions that take a byte or wait for a condition
	before uint8
	gen    int
	tick   int // an attempt is in this state now

	match   bool // what this attempt has taken is secret
	block   bool // and so is the block that follows
	private bool // some of it tells something about a secret
	arms    *state
	next    []*state // by class; nil: not known yet
	ended   []bool   // by class: the text that was taken is secret when this class comes next; nil: never
}

// dead is where no attempt goes on.
var dead = &state{}

// maxMemory is of the states, in bytes; what is forgotten is made again.
const maxMemory = 2 << 20

func newAutomaton(m *Mask) *automaton {
	a := &automaton{m: m, seen: newSparseSet(len(m.prog.insts))}
	a.reset()
	return a
}

func (a *automaton) reset() {
	a.states = map[string]*state{}
	a.gen++
	a.groups = a.groups[:0]
	for _, g := range a.m.groups {
		s := new(startStates)
		for b := range s {
			s[b] = a.begin(g.starts, uint8(b))
		}
		a.groups = append(a.groups, s)
	}
}

// begin gives the state before the first byte.
func (a *automaton) begin(pcs []uint32, before uint8) *state {
	a.clear()
	for _, pc := range pcs {
		a.follow(pc, nil)
	}
	return a.intern(before, effects{})
}

// effects are what happens on the way into a state.
type effects struct {
	match, block, private bool
	arms                  []uint32
}

func (a *automaton) clear() {
	a.list = a.list[:0]
	a.seen.clear()
}

const trieBase = math.MaxUint32 / 2

// follow adds what can be reached from pc without a byte. Conditions are left to the next byte.
func (a *automaton) follow(pc uint32, e *effects) {
	if pc >= trieBase {
		a.list = append(a.list, pc)
		return
	}
	if !a.seen.add(pc) {
		return
	}
	switch i := &a.m.prog.insts[pc]; i.op {
	case opByte, opAssert:
		a.list = append(a.list, pc)
	case opTrie:
		a.list = append(a.list, trieBase+i.out)
	case opSplit:
		a.follow(i.out, e)
		a.follow(i.alt, e)
	case opMatch:
		e.match = true
	case opBlock:
		e.match, e.block = true, true
	case opArm:
		e.arms = append(e.arms, i.out)
	}
}

// intern gives the state of what is in a.list.
func (a *automaton) intern(before uint8, e effects) *state {
	if len(a.list) == 0 && !e.match && len(e.arms) == 0 {
		return dead
	}
	if !a.m.asserts {
		before = 0
	}
	slices.Sort(a.list)
	key := append(a.bytes[:0], before, byte(b2i(e.match)|b2i(e.block)<<1|b2i(e.private)<<2))
	for _, l := range [][]uint32{a.list, {math.MaxUint32}, e.arms} {
		for _, pc := range l {
			key = append(key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
		}
	}
	a.bytes = key
	if s := a.states[string(key)]; s != nil {
		return s
	}
	if a.memory += 200 + 2*len(key) + 8*a.m.nclass; a.memory > maxMemory {
		a.states, a.memory = map[string]*state{}, 0
		a.gen++
	}
	s := &state{list: slices.Clone(a.list), before: before, gen: a.gen, match: e.match, block: e.block, private: e.private}
	a.states[string(key)] = s
	if len(e.arms) > 0 {
		s.arms = a.begin(e.arms, before)
	}
	return s
}

// publicValue is how many bytes of a known value say nothing yet: the first key pressed would wait for the second.
const publicValue = 3

// step gives the state after byte c. s is a current one.
func (a *automaton) step(s *state, c byte) *state {
	class := a.m.classes[c]
	if s.next == nil {
		s.next = make([]*state, a.m.nclass)
	} else if n := s.next[class]; n != nil {
		return n
	}
	n := a.compute(s, c)
	s.next[class] = n
	return n
}

// start gives the state of an attempt of group g that begins here.
func (a *automaton) start(g int, before uint8) *state {
	s := a.current(a.groups[g][before])
	a.groups[g][before] = s
	return s
}

// current gives the state that is now what s was; what happened on the way there has happened.
func (a *automaton) current(s *state) *state {
	if s.gen == a.gen {
		return s
	}
	a.clear()
	a.list = append(a.list, s.list...)
	return a.intern(s.before, effects{private: s.private})
}

func (a *automaton) compute(s *state, c byte) *state {
	list, ended := a.satisfy(s, conditions(s.before, c))
	if ended {
		if s.ended == nil {
			s.ended = make([]bool, a.m.nclass)
		}
		s.ended[a.m.classes[c]] = true
	}
	e := effects{private: s.private}
	a.clear()
	for _, pc := range list {
		if pc >= trieBase {
			if to, ok := a.m.prog.trie.step(pc-trieBase, c); ok {
				e.match = e.match || a.m.prog.trie.nodes[to].end
				e.private = e.private || a.m.prog.trie.nodes[to].depth > publicValue
				if a.m.prog.trie.nodes[to].child != 0 {
					a.follow(trieBase+to, &e)
				}
			}
			continue
		}
		if i := &a.m.prog.insts[pc]; i.op == opByte && i.set.has(c) {
			e.private = e.private || i.tells
			a.follow(i.out, &e)
		}
	}
	return a.intern(after(c), e)
}

// satisfy gives the instructions of s, and those behind conditions that hold; ended says that one of these was a match.
func (a *automaton) satisfy(s *state, holds syntax.EmptyOp) (list []uint32, ended bool) {
	if !a.m.asserts {
		return s.list, false
	}
	a.clear()
	var e effects
	for _, pc := range s.list {
		a.follow(pc, &e)
	}
	for k := 0; k < len(a.list); k++ {
		if pc := a.list[k]; pc < trieBase {
			if i := &a.m.prog.insts[pc]; i.op == opAssert && holds&i.cond == i.cond {
				a.follow(i.out, &e)
			}
		}
	}
	return slices.Clone(a.list), e.match
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func isLineEnd(c byte) bool { return c == '\n' || c == '\r' }

func after(c byte) uint8 {
	switch {
	case isLineEnd(c):
		return afterLineEnd
	case isWord(c):
		return afterWord
	}
	return afterOther
}

// conditions are those that hold between what came before and byte c.
func conditions(before uint8, c byte) (holds syntax.EmptyOp) {
	if before == afterLineEnd {
		holds |= syntax.EmptyBeginLine
	}
	if isLineEnd(c) {
		holds |= syntax.EmptyEndLine
	}
	if (before == afterWord) != isWord(c) {
		return holds | syntax.EmptyWordBoundary
	}
	return holds | syntax.EmptyNoWordBoundary
}

// A sparseSet is a set of small numbers that is emptied at once.
type sparseSet struct {
	sparse, dense []uint32
}

func newSparseSet(n int) sparseSet { return sparseSet{make([]uint32, n), make([]uint32, 0, n)} }

func (s *sparseSet) clear() { s.dense = s.dense[:0] }

func (s *sparseSet) add(n uint32) bool {
	if k := s.sparse[n]; int(k) < len(s.dense) && s.dense[k] == n {
		return false
	}
	s.sparse[n] = uint32(len(s.dense))
	s.dense = append(s.dense, n)
	return true
}
