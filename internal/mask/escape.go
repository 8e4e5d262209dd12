package mask

// Sequences for the terminal, ECMA-48 and xterm's ctlseqs, are not text: colour in the middle of a secret does not
// hide it. What moves the cursor ends a line of text, since what is written then stands elsewhere on the screen. What
// a control string holds (a window's title, a link's address) is a text of its own.

type escState uint8

const (
	noEscape  escState = iota
	escape             // ESC
	escShort           // ESC and an intermediate byte, as in ESC ( B
	escCSI             // ESC [
	escString          // ESC ] and others: the bytes are text, up to the terminator
)

const (
	esc  = 0x1b
	bell = 0x07
	can  = 0x18
	sub  = 0x1a
)

// maxSequence is where what began like a sequence of parameters is none.
const maxSequence = 256

// escaped takes byte i when it belongs to a sequence. In a control string most do not.
func (s *Stream) escaped(c byte, i int) bool {
	switch s.esc {
	case noEscape:
		if c != esc {
			return false
		}
		s.beginSequence(i)
	case escString:
		switch {
		case c == bell:
			s.skip(i)
			s.endString(i + 1)
		case c == esc:
			s.beginSequence(i)
		case isLineEnd(c) || c == can || c == sub:
			s.endString(i)
			s.ctx.lineEnd(s)
			return false
		default:
			return false
		}
	case escape:
		return s.afterESC(c, i)
	case escShort, escCSI:
		return s.parameter(c, i)
	}
	return true
}

func (s *Stream) beginSequence(i int) {
	s.esc, s.escLength = escape, 0
	s.skip(i)
}

func (s *Stream) afterESC(c byte, i int) bool {
	switch {
	case c == esc:
	case c == '[':
		s.esc = escCSI
	case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_':
		if s.ctx == &s.str { // the last one was not terminated
			s.endString(i)
		}
		s.skip(i)
		s.beginString(i)
		return true
	case c == '\\' && s.ctx == &s.str:
		s.skip(i)
		s.endString(i + 1)
		return true
	case c >= 0x20 && c <= 0x2f:
		s.esc = escShort
	case c >= 0x30 && c <= 0x7e:
		s.endSequence(i, c == 'D' || c == 'E' || c == 'M' || c == '8' || c == 'c')
	default:
		s.ground()
		return s.escaped(c, i)
	}
	s.skip(i)
	return true
}

func (s *Stream) parameter(c byte, i int) bool {
	s.escLength++
	switch {
	case s.escLength > maxSequence || c < 0x20 || c > 0x7e:
		s.ground()
		return s.escaped(c, i)
	case c <= 0x2f || c <= 0x3f && s.esc == escCSI:
	default:
		s.endSequence(i, s.esc == escCSI && !stays(c))
	}
	s.skip(i)
	return true
}

// stays says that a CSI sequence with this last byte leaves the cursor where it is.
func stays(final byte) bool {
	switch final {
	case 'm', 'h', 'l', 'K', 'J', 'X', 'P', '@', 'n', 'c', 'q', 't', 'p', 'y', 'v', 'w', 'x', 'z', '~':
		return true
	}
	return false
}

// ground goes back to text, or to that of the control string that the sequence stood in.
func (s *Stream) ground() {
	s.esc = noEscape
	if s.ctx == &s.str {
		s.esc = escString
	}
}

func (s *Stream) endSequence(i int, moves bool) {
	s.ground()
	if moves {
		s.ctx.lineEnd(s)
		s.moved = i
	}
}

// beginString sets the text around the string aside.
func (s *Stream) beginString(i int) {
	s.str = context{attempts: s.str.attempts[:0], secret: s.str.secret, before: afterLineEnd}
	s.ctx, s.esc, s.strStart = &s.str, escString, max(0, s.escs[len(s.escs)-1].from)
}

// endString goes on with the text around it; what lies between start and end was no part of that.
func (s *Stream) endString(end int) {
	s.ctx.lineEnd(s)
	s.str.attempts = s.str.attempts[:0]
	s.ctx, s.esc = &s.text, noEscape
	for len(s.escs) > 0 && s.escs[len(s.escs)-1].from >= s.strStart {
		s.escs = s.escs[:len(s.escs)-1]
	}
	if end > s.strStart {
		s.escs = append(s.escs, span{from: s.strStart, to: end})
	}
}

// skip notes that byte i is no text.
func (s *Stream) skip(i int) {
	if s.ctx == &s.str {
		s.strEscs = append(s.strEscs, span{from: i, to: i + 1})
	}
	if n := len(s.escs); n > 0 && s.escs[n-1].to == i && !s.escs[n-1].moves {
		s.escs[n-1].to = i + 1
	} else {
		s.escs = append(s.escs, span{from: i, to: i + 1})
	}
	if s.moved == i {
		s.escs[len(s.escs)-1].moves = true
		s.moved = -1
	}
}

// wordMayBegin says that a word may begin behind text that ends like before: not in the middle of another. The last
// letter may be the end of an escape of JSON, C, a URL or a terminal: `\nsk-…`, `\u0022sk-…`, `%3Dsk-…`, `\e[1msk-…`.
func wordMayBegin(before []byte) bool {
	n := len(before)
	if n == 0 || !isAlnum(before[n-1]) {
		return true
	}
	last := before[n-1]
	back := func(k int) byte { // the k-th byte from the end, from 1
		if k > n {
			return 0
		}
		return before[n-k]
	}
	switch back(2) {
	case '\\':
		if last >= '0' && last <= '7' || contains("abefnrtv", last) {
			return true
		}
	case '(', ')': // ESC ( B
		if back(3) == esc {
			return true
		}
	}
	hex := 0
	for hex < 4 && isHex(back(hex+1)) {
		hex++
	}
	switch {
	case hex >= 2 && (back(3) == '%' || back(3) == 'x' && back(4) == '\\'), hex == 4 && back(5) == 'u' && back(6) == '\\',
		isOctal(back(1)) && isOctal(back(2)) && (back(3) == '\\' || isOctal(back(3)) && back(4) == '\\'):
		return true
	}
	k := 2
	for isDigit(back(k)) || back(k) == ';' || back(k) == '?' {
		k++
	}
	return !isDigit(last) && back(k) == '[' && (k > 2 || back(k+1) == esc)
}

// lookBack is how much of the text before it wordMayBegin looks at.
const lookBack = 24

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

func isAlnum(c byte) bool { return c != '_' && isWord(c) }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isOctal(c byte) bool { return c >= '0' && c <= '7' }
func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
