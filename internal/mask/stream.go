package mask

// A Stream masks one output, whatever pieces that comes in. It is for one goroutine at a time.
type Stream struct {
	m *Mask
	a *automaton

	buf  []byte // what is looked at now: hold and the piece that has come
	hold []byte // what has come and not left
	out  []byte

	text, str context // the text, and that of a control string within it
	ctx       *context
	esc       escState
	escLength int
	strStart  int
	moved     int
	escs      []span // bytes that are no text, control strings as a whole among them
	strEscs   []span // bytes that are no text of a control string either

	masked    bool // the last of the text that left was secret
	strMasked bool // the same of a control string
	left      [lookBack]byte
	nleft     int
	looked    int // bytes so far, up to some number
}

// A context is a run of text.
type context struct {
	attempts []attempt
	armed    []attempt // of this byte
	secret   []span    // apart, in order
	before   uint8
	end      int // behind the last byte that attempts have taken
	block    block
}

// An attempt is a place from which rules have matched so far.
type attempt struct {
	state *state
	from  int // where the secret would begin; never: not here, or not known yet
	show  int // bytes to come before that
}

// A span is a part of buf. What has left lies before 0.
type span struct {
	from, to int
	moves    bool // no text: the cursor is elsewhere now
}

// window is the longest text that is held back: of a longer match the last part is masked.
const window = 64 << 10

// Stream begins a new output.
func (m *Mask) Stream() *Stream {
	s := &Stream{m: m, a: newAutomaton(m), moved: -1}
	s.ctx = &s.text
	return s
}

// Next takes a piece of the output and gives what may leave now. That is valid up to the next call, and may be a part
// of p itself.
func (s *Stream) Next(p []byte) []byte {
	s.buf = p
	begin := len(s.hold)
	if begin > 0 {
		s.hold = append(s.hold, p...)
		s.buf = s.hold
	}
	s.look(begin)
	return s.release(s.decided(false))
}

// Idle is for when nothing has come for a while. It gives what holds nothing of a secret yet, only what may introduce
// one.
func (s *Stream) Idle() []byte {
	s.buf = s.hold
	return s.release(s.decided(true))
}

// Waiting says that Idle would give something.
func (s *Stream) Waiting() bool {
	s.buf = s.hold
	return len(s.hold) > 0 && s.decided(true) > 0
}

// End gives what is left at the end of the output.
func (s *Stream) End() []byte {
	s.buf = s.hold
	if s.ctx == &s.str {
		s.endString(len(s.buf))
	}
	s.ctx.lineEnd(s)
	return s.release(len(s.buf))
}

// look goes through buf from begin on.
func (s *Stream) look(begin int) {
	filter := s.fast(len(s.buf) - begin)
	if filter == nil {
		for i := begin; i < len(s.buf); i++ {
			s.byte(i)
		}
		return
	}
	for i := begin; i < len(s.buf); {
		if !s.idle() {
			if to := s.goOn(filter, i); to > i {
				i = to
				continue
			}
			s.byte(i)
			i++
			continue
		}
		pair := filter.next(s.buf, i)
		if from := min(pair, len(s.buf)-2) - before; from > i {
			i = from
			s.text.before = after(s.buf[i-1])
		}
		i = s.tryAll(filter, i, min(pair+2, len(s.buf)))
	}
}

// tryAll goes on up to a byte that begins something, or to the end.
func (s *Stream) tryAll(f *filter, i, end int) int {
	passed := false
	for ; i < end; i++ {
		c := s.buf[i]
		if i+1 < len(s.buf) && !f.starts[uint16(c)|uint16(s.buf[i+1])<<8] && c != esc {
			passed = true
			continue
		}
		if passed {
			s.text.before = after(s.buf[i-1])
			passed = false
		}
		if s.byte(i); !s.idle() {
			return i + 1
		}
	}
	if passed {
		s.text.before = after(s.buf[i-1])
	}
	return i
}

// mostGoneOn is less than the window, so that marks at its ends leave no gap.
const mostGoneOn = window / 4

// goOn takes bytes as byte does, as long as they are in the middle of a single attempt, and nothing else begins or
// ends: most of a token. It gives the first byte that it did not take.
func (s *Stream) goOn(f *filter, i int) int {
	x := s.ctx
	if s.esc != noEscape || x != &s.text || len(x.attempts) != 1 || len(x.armed) > 0 || x.block.left > 0 {
		return i
	}
	t := &x.attempts[0]
	state, begin, matched := t.state, i, -1
	if t.show > 0 || state.gen != s.a.gen {
		return i
	}
	for end := min(len(s.buf)-1, i+mostGoneOn); i < end; i++ {
		c := s.buf[i]
		if c == esc || state.next == nil || s.m.first[c] != 0 && f.starts[uint16(c)|uint16(s.buf[i+1])<<8] {
			break
		}
		class := s.m.classes[c]
		next := state.next[class]
		if next == nil || next.block || next.arms != nil || len(next.list) == 0 || state.ended != nil && state.ended[class] {
			break // dead has no list
		}
		if state = next; next.match {
			matched = i + 1
		}
	}
	if i == begin {
		return i
	}
	t.state = state
	if matched > 0 {
		x.mark(span{from: s.reach(t.from, matched), to: matched})
	}
	x.end, x.before = i, after(s.buf[i-1])
	return i
}

func (s *Stream) byte(i int) {
	c := s.buf[i]
	if (s.esc != noEscape || c == esc) && s.escaped(c, i) {
		return
	}
	s.ctx.take(s, c, i)
}

// idle says that nothing has begun.
func (s *Stream) idle() bool {
	return s.esc == noEscape && len(s.text.attempts) == 0 && s.text.block.left == 0
}

// take takes the next byte of the text.
func (x *context) take(s *Stream, c byte, i int) {
	if x.block.left > 0 && x.block.goesOn(c) {
		x.mark(span{from: i, to: i + 1})
	}
	first := s.m.first[c]
	if first == 0 && len(x.attempts) == 0 {
		x.before = after(c)
		return
	}
	s.a.tick++
	x.end = i + 1
	going := x.attempts[:0]
	for _, t := range x.attempts {
		if x.advance(s, &t, c, i) {
			going = append(going, t)
		}
	}
	for g := 0; first != 0; g, first = g+1, first>>1 {
		if first&1 == 0 {
			continue
		}
		group := &s.m.groups[g]
		if group.edge && !s.wordMayBegin(i) {
			continue
		}
		t := attempt{state: s.a.start(g, x.before), from: i}
		if group.show > 0 {
			t.from, t.show = never, group.show
		}
		if x.advance(s, &t, c, i) {
			going = append(going, t)
		}
	}
	for _, t := range x.armed {
		if t.state.tick != s.a.tick {
			t.state.tick = s.a.tick
			going = append(going, t)
		}
	}
	x.attempts, x.armed = going, x.armed[:0]
	x.before = after(c)
}

// advance takes c for one attempt and says whether that goes on. Of attempts that have come to the same state the one
// that began first is enough: it ends where the others do.
func (x *context) advance(s *Stream, t *attempt, c byte, i int) bool {
	old := s.a.current(t.state)
	t.state = s.a.step(old, c)
	if old.ended != nil && old.ended[s.m.classes[c]] {
		x.mark(span{from: s.reach(t.from, i), to: i})
	}
	n := t.state
	if n == dead || n.tick == s.a.tick {
		return false
	}
	n.tick = s.a.tick
	if t.show > 0 {
		if t.show--; t.show == 0 {
			t.from = i + 1
		}
	}
	if n.match {
		x.mark(span{from: s.reach(t.from, i+1), to: i + 1})
	}
	if n.block {
		x.block = block{left: maxBlock}
	}
	if n.arms != nil {
		x.armed = append(x.armed, attempt{state: n.arms, from: i + 1})
	}
	return len(n.list) > 0
}

// reach is where a secret begins that ends at end.
func (s *Stream) reach(from, end int) int { return max(from, end-window) }

// mark makes a part of the text secret.
func (x *context) mark(m span) {
	m.from = max(m.from, 0)
	if m.from >= m.to {
		return
	}
	for n := len(x.secret); n > 0 && x.secret[n-1].from >= m.from; n-- {
		m.to = max(m.to, x.secret[n-1].to)
		x.secret = x.secret[:n-1]
	}
	if n := len(x.secret); n > 0 && x.secret[n-1].to >= m.from {
		x.secret[n-1].to = max(x.secret[n-1].to, m.to)
		return
	}
	x.secret = append(x.secret, m)
}

// lineEnd is a line's end that is no byte.
func (x *context) lineEnd(s *Stream) {
	s.a.tick++
	going := x.attempts[:0]
	for _, t := range x.attempts {
		old := s.a.current(t.state)
		if t.state = s.a.step(old, '\n'); old.ended != nil && old.ended[s.m.classes['\n']] {
			x.mark(span{from: s.reach(t.from, x.end), to: x.end})
		}
		if t.state.tick != s.a.tick && len(t.state.list) > 0 {
			t.state.tick = s.a.tick
			going = append(going, t)
		}
	}
	x.attempts = going
	x.before = afterLineEnd
}

// wordMayBegin asks what stands before byte i.
func (s *Stream) wordMayBegin(i int) bool {
	if i >= lookBack {
		return wordMayBegin(s.buf[i-lookBack : i])
	}
	var before [lookBack]byte
	n := copy(before[:], s.left[max(0, s.nleft-(lookBack-i)):s.nleft])
	n += copy(before[n:], s.buf[:i])
	return wordMayBegin(before[:n])
}

// A PEM block is secret up to its end, to a byte that can't be in it, or to its limit.
type block struct {
	left   int // bytes up to the limit; 0: none
	end    int // bytes of "-----END" so far
	dashes int // behind it
}

const (
	maxBlock = 64 << 10
	blockEnd = "-----END"
)

// goesOn says that c belongs to the block.
func (b *block) goesOn(c byte) bool {
	b.left--
	if !isAlnum(c) && c < 0x80 && !contains("+/= \t\r\n\"'\\,:;.()<>|_-", c) {
		b.left = 0
		return false
	}
	switch {
	case b.end == len(blockEnd):
		if c != '-' {
			b.dashes = 0
		} else if b.dashes++; b.dashes == 5 {
			b.left = 0
		}
	case c == blockEnd[b.end]:
		b.end++
	case c == '-':
		b.end = min(b.end, 5)
		if b.end < 5 {
			b.end = 1
		}
	default:
		b.end = 0
	}
	return true
}
