package mask

import (
	"encoding/base64"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reference is what a Stream must come to, written down from the package comment with no thought of speed: every rule
// is tried at every byte of the whole text, by walking through its syntax.
func reference(r Rules, in string) string {
	p := parts(in)
	for _, t := range p.texts {
		for _, name := range r.Presets {
			for _, s := range findPreset(name).secrets {
				t.secret(in, s)
			}
		}
		for _, pat := range r.Patterns {
			re, err := pat.parse()
			if err != nil {
				panic(err)
			}
			show := min(pat.ShowPrefix, Shortest(re)-1)
			for start := range t.bytes {
				for end := range t.ends(re, start, false) {
					t.mark(start+show, end)
				}
			}
		}
		for _, v := range r.Values {
			for start := range t.bytes {
				if strings.HasPrefix(t.string()[start:], v) {
					t.mark(start, start+len(v))
				}
			}
		}
	}
	return p.render(in)
}

// part is what a byte of the input is.
type part struct {
	seq, moves bool // belongs to a sequence of the terminal
	str        bool // text in a control string
	secret     bool
}

type parted struct {
	bytes []part
	texts []*text
}

// text is a run of text without the sequences in it; '\n' at -1 stands for a line's end that is no byte.
type text struct {
	parts *parted
	bytes []byte
	at    []int
}

func (t *text) add(c byte, at int) { t.bytes, t.at = append(t.bytes, c), append(t.at, at) }
func (t *text) string() string     { return string(t.bytes) }

// mark makes bytes of the text secret, and what stands between them with them.
func (t *text) mark(from, to int) {
	for k := from; k < to; k++ {
		if t.at[k] >= max(0, t.at[to-1]+1-window) {
			t.parts.bytes[t.at[k]].secret = true
		}
	}
}

func parts(in string) *parted {
	p := &parted{bytes: make([]part, len(in))}
	main := &text{parts: p}
	p.texts = append(p.texts, main)
	cur := main
	leave := func() {
		if cur != main {
			cur = main
		}
	}
	for i := 0; i < len(in); {
		c := in[i]
		if c != esc {
			if cur != main {
				switch {
				case c == bell:
					p.bytes[i].seq = true
					leave()
					i++
					continue
				case isLineEnd(c) || c == can || c == sub:
					leave()
					main.add('\n', -1)
				default:
					p.bytes[i].str = true
				}
			}
			cur.add(c, i)
			i++
			continue
		}
		end, kind := sequence(in, i)
		for k := i; k < end; k++ {
			p.bytes[k].seq = true
		}
		switch {
		case kind == "string":
			leave()
			cur = &text{parts: p}
			p.texts = append(p.texts, cur)
		case kind == "end":
			leave()
		case kind == "moves":
			cur.add('\n', -1)
			for k := i; k < end; k++ {
				p.bytes[k].moves = true
			}
		}
		i = end
	}
	return p
}

// sequence gives the end of what begins with the ESC at i, whole or not.
func sequence(in string, i int) (int, string) {
	k := i + 1
	for k < len(in) && in[k] == esc {
		k++
	}
	if k == len(in) {
		return k, ""
	}
	csi := in[k] == '['
	switch c := in[k]; {
	case strings.IndexByte("]PX^_", c) >= 0:
		return k + 1, "string"
	case c == '\\':
		return k + 1, "end"
	case csi || c >= 0x20 && c <= 0x2f:
		for n := 1; ; n++ {
			k++
			if k == len(in) {
				return k, ""
			}
			c := in[k]
			if n > maxSequence || c < 0x20 || c > 0x7e {
				return k, ""
			}
			if c <= 0x2f || csi && c <= 0x3f {
				continue
			}
			if csi && !strings.ContainsRune("mhlKJXP@ncqtpyvwxz~", rune(c)) {
				return k + 1, "moves"
			}
			return k + 1, ""
		}
	case strings.IndexByte("DEM8c", c) >= 0:
		return k + 1, "moves"
	case c >= 0x30 && c <= 0x7e:
		return k + 1, ""
	}
	return k, ""
}

func (p *parted) render(in string) string {
	var out strings.Builder
	masked, strMasked := false, false
	for i := 0; i < len(in); i++ {
		b := p.bytes[i]
		switch {
		case b.seq || b.str && !b.secret:
			out.WriteByte(in[i])
			masked = masked && !b.moves
			strMasked = false
		case b.str:
			if !strMasked {
				out.WriteString(stars)
			}
			strMasked = true
		case !b.secret:
			out.WriteByte(in[i])
			masked, strMasked = false, false
		default:
			if !masked {
				if strings.HasSuffix(in[:i], dashes) {
					out.WriteByte(' ')
				}
				out.WriteString(stars)
			}
			masked = true
		}
	}
	return out.String()
}

// secret applies one of a preset's.
func (t *text) secret(in string, s secret) {
	shown, hidden := mustParse(s.shown), mustParse(s.hidden)
	for start := range t.bytes {
		if t.at[start] < 0 || s.edge && !wordMayBegin([]byte(in[:t.at[start]])) {
			continue
		}
		for armed := range t.ends(shown, start, false) {
			for end := range t.ends(hidden, armed, s.block) {
				t.mark(armed, end)
				if s.block {
					t.blockFrom(end)
				}
			}
		}
	}
}

func (t *text) blockFrom(start int) {
	rest := t.string()[start:min(len(t.bytes), start+maxBlock)]
	if k := strings.Index(rest, blockEnd); k >= 0 {
		if d := strings.Index(rest[k+len(blockEnd):], "-----"); d >= 0 {
			rest = rest[:k+len(blockEnd)+d+5]
		}
	}
	for k := range len(rest) {
		if t.at[start+k] < 0 {
			continue
		}
		if c := rest[k]; !isAlnum(c) && c < 0x80 && !strings.ContainsRune("+/= \t\r\n\"'\\,:;.()<>|_-", rune(c)) {
			return
		}
		t.mark(start+k, start+k+1)
	}
}

type places map[int]bool

// ends gives where matches of re end that begin at start.
func (t *text) ends(re *syntax.Regexp, start int, lines bool) places {
	return t.walk(re, places{start: true}, lines)
}

func (t *text) walk(re *syntax.Regexp, from places, lines bool) places {
	out := places{}
	join := func(p places) (grew bool) {
		for k := range p {
			grew = grew || !out[k]
			out[k] = true
		}
		return grew
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return from
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			from = t.char(from, lines, func(c rune) bool { return c == r || re.Flags&syntax.FoldCase != 0 && folds(c, r) }, false)
		}
		return from
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		ranges := re.Rune
		if re.Op != syntax.OpCharClass {
			ranges = []rune{0, unicode.MaxRune}
		}
		in := func(c rune) bool {
			for k := 0; k < len(ranges); k += 2 {
				if ranges[k] <= c && c <= ranges[k+1] {
					return true
				}
			}
			return false
		}
		n := len(ranges)
		return t.char(from, lines, in, n > 0 && ranges[n-2] <= 0x80 && ranges[n-1] == unicode.MaxRune)
	case syntax.OpCapture:
		return t.walk(re.Sub[0], from, lines)
	case syntax.OpStar, syntax.OpPlus:
		if re.Op == syntax.OpStar {
			join(from)
		}
		for join(t.walk(re.Sub[0], from, lines)) {
			from = places{}
			for k := range out {
				from[k] = true
			}
		}
		return out
	case syntax.OpQuest:
		join(from)
		join(t.walk(re.Sub[0], from, lines))
		return out
	case syntax.OpRepeat:
		for range re.Min {
			from = t.walk(re.Sub[0], from, lines)
		}
		if re.Max < 0 {
			return t.walk(&syntax.Regexp{Op: syntax.OpStar, Sub: re.Sub}, from, lines)
		}
		join(from)
		for range re.Max - re.Min {
			from = t.walk(re.Sub[0], from, lines)
			join(from)
		}
		return out
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			from = t.walk(sub, from, lines)
		}
		return from
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			join(t.walk(sub, from, lines))
		}
		return out
	case syntax.OpNoMatch:
		return out
	}
	for k := range from {
		before, next := byte('\n'), byte('\n')
		if k > 0 {
			before = t.bytes[k-1]
		}
		if k < len(t.bytes) {
			next = t.bytes[k]
		}
		var ok bool
		switch re.Op {
		case syntax.OpBeginLine, syntax.OpBeginText:
			ok = isLineEnd(before)
		case syntax.OpEndLine, syntax.OpEndText:
			ok = isLineEnd(next)
		case syntax.OpWordBoundary:
			ok = isWord(before) != isWord(next)
		case syntax.OpNoWordBoundary:
			ok = isWord(before) == isWord(next)
		}
		if ok {
			out[k] = true
		}
	}
	return out
}

// char takes one character. Where all beyond ASCII will do, so does each of their bytes.
func (t *text) char(from places, lines bool, in func(rune) bool, anyByte bool) places {
	out := places{}
	for k := range from {
		if k >= len(t.bytes) || isLineEnd(t.bytes[k]) && !lines {
			continue
		}
		if c := t.bytes[k]; c < utf8.RuneSelf {
			if in(rune(c)) {
				out[k+1] = true
			}
			continue
		}
		if anyByte {
			out[k+1] = true
		}
		if r, n := utf8.DecodeRune(t.bytes[k:]); r != utf8.RuneError || n == 3 {
			if in(r) {
				out[k+n] = true
			}
		}
	}
	return out
}

func folds(a, b rune) bool {
	for f := unicode.SimpleFold(a); f != a; f = unicode.SimpleFold(f) {
		if f == b {
			return true
		}
	}
	return false
}

var (
	stdEncoding = base64.StdEncoding
	urlEncoding = base64.RawURLEncoding
)
