package match

import (
	"strings"
	"unicode/utf8"
)

// Globs are matched here and not by a library: names are bytes (a library that
// compares runes takes \xfe for \xff, and then `!` gives back the wrong file),
// gitignore's []x] and [[:digit:]] are not what Go's glob packages read, and
// the walk asks one name at a time. The tests compare with doublestar where
// the two languages agree.

type segKind uint8

const (
	literal segKind = iota // text
	affix                  // text*tail: *.pem, .env.*, *
	glob                   // anything else, as tokens
	deep                   // **, any number of directories
)

// segment is what a pattern says of one name on the path.
type segment struct {
	kind       segKind
	text, tail string
	tokens     []token
}

type tokenKind uint8

const (
	plain tokenKind = iota // exactly text
	star
	single // ?
	class
)

type token struct {
	kind   tokenKind
	text   string
	negate bool
	ranges []span
}

type span struct{ lo, hi rune }

func (s *segment) match(name string) bool {
	switch s.kind {
	case literal:
		return name == s.text
	case affix:
		return len(name) >= len(s.text)+len(s.tail) &&
			strings.HasPrefix(name, s.text) && strings.HasSuffix(name, s.tail)
	case glob:
		return matchTokens(s.tokens, name)
	}
	return false
}

// ends gives the bytes that a matching name begins and ends with, 0 if that is
// not known.
func (s *segment) ends() (first, last byte) {
	head, tail := s.text, s.tail
	switch s.kind {
	case literal:
		tail = s.text
	case glob:
		head, tail = s.tokens[0].text, s.tokens[len(s.tokens)-1].text
	}
	if head != "" {
		first = head[0]
	}
	if tail != "" {
		last = tail[len(tail)-1]
	}
	return first, last
}

// matchTokens goes back to the last star only: what an earlier one swallowed
// can't matter, so hostile names cost no more than len(tokens)*len(name).
func matchTokens(tokens []token, name string) bool {
	t, resume, mark := 0, -1, ""
	for {
		switch {
		case t < len(tokens) && tokens[t].kind == star:
			t++
			resume, mark = t, name
			continue
		case t == len(tokens) && name == "":
			return true
		case t < len(tokens):
			if n, ok := tokens[t].eat(name); ok {
				t, name = t+1, name[n:]
				continue
			}
		}
		if resume < 0 || mark == "" {
			return false
		}
		_, n := decode(mark)
		mark = mark[n:]
		t, name = resume, mark
	}
}

// eat says how many bytes at the start of name the token matches.
func (t *token) eat(name string) (n int, ok bool) {
	if t.kind == plain {
		return len(t.text), strings.HasPrefix(name, t.text)
	}
	if name == "" {
		return 0, false
	}
	r, n := decode(name)
	if t.kind == single {
		return n, true
	}
	in := false
	for _, s := range t.ranges {
		in = in || s.lo <= r && r <= s.hi
	}
	return n, in != t.negate
}

// decode reads one character. A byte that is not UTF-8 becomes a surrogate of
// its own, which no text can hold, so that different bytes stay different.
func decode(s string) (r rune, n int) {
	r, n = utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return 0xDC00 | rune(s[0]), 1
	}
	return r, n
}

// parseSegment compiles one name of a pattern.
func parseSegment(text string) (seg segment, reason string) {
	if text == "**" {
		return segment{kind: deep}, ""
	}
	if !strings.ContainsAny(text, `?[\`) {
		if seg, ok := parseSimple(text); ok {
			return checkName(seg)
		}
	}
	var tokens []token
	var run []byte
	flush := func() {
		if len(run) > 0 {
			tokens = append(tokens, token{kind: plain, text: string(run)})
			run = nil
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			flush()
			if len(tokens) == 0 || tokens[len(tokens)-1].kind != star {
				tokens = append(tokens, token{kind: star})
			}
		case '?':
			flush()
			tokens = append(tokens, token{kind: single})
		case '[':
			flush()
			t, n, reason := parseClass(text[i:])
			if reason != "" {
				return seg, reason
			}
			tokens = append(tokens, t)
			i += n - 1
		case '\\':
			if i++; i == len(text) {
				return seg, "has a backslash with no character after it (write \\\\ for a backslash)"
			}
			run = append(run, text[i])
		default:
			run = append(run, c)
		}
	}
	flush()
	return simplify(tokens)
}

// parseSimple reads a name that holds no special character but stars, if they
// are in one place.
func parseSimple(text string) (seg segment, ok bool) {
	at := strings.IndexByte(text, '*')
	if at < 0 {
		return segment{kind: literal, text: text}, true
	}
	tail := strings.TrimLeft(text[at:], "*")
	return segment{kind: affix, text: text[:at], tail: tail}, strings.IndexByte(tail, '*') < 0
}

const nameTooLong = "holds a name longer than the 255 bytes a name can have"

// checkName refuses names that no file can have.
func checkName(seg segment) (segment, string) {
	switch {
	case seg.kind != literal:
	case len(seg.text) > nameMax:
		return seg, nameTooLong
	case seg.text == "." || seg.text == "..":
		return seg, "hides \".\" or \"..\" behind a backslash; no file has that name"
	}
	return seg, ""
}

// simplify picks the cheapest form that says the same.
func simplify(tokens []token) (seg segment, reason string) {
	if len(tokens) == 1 && tokens[0].kind == plain {
		return checkName(segment{kind: literal, text: tokens[0].text})
	}
	stars := 0
	for _, t := range tokens {
		switch t.kind {
		case star:
			stars++
		case single, class:
			return segment{kind: glob, tokens: tokens}, ""
		}
	}
	if stars > 1 {
		return segment{kind: glob, tokens: tokens}, ""
	}
	seg = segment{kind: affix}
	if tokens[0].kind == plain {
		seg.text = tokens[0].text
	}
	if last := tokens[len(tokens)-1]; last.kind == plain {
		seg.tail = last.text
	}
	return seg, ""
}

// posixClass gives the classes that gitignore knows, ASCII as there.
func posixClass(name string) []span {
	switch name {
	case "alnum":
		return []span{{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}
	case "alpha":
		return []span{{'A', 'Z'}, {'a', 'z'}}
	case "blank":
		return []span{{' ', ' '}, {'\t', '\t'}}
	case "cntrl":
		return []span{{0, 31}, {127, 127}}
	case "digit":
		return []span{{'0', '9'}}
	case "graph":
		return []span{{33, 126}}
	case "lower":
		return []span{{'a', 'z'}}
	case "print":
		return []span{{32, 126}}
	case "punct":
		return []span{{33, 47}, {58, 64}, {91, 96}, {123, 126}}
	case "space":
		return []span{{'\t', '\r'}, {' ', ' '}}
	case "upper":
		return []span{{'A', 'Z'}}
	case "xdigit":
		return []span{{'0', '9'}, {'A', 'F'}, {'a', 'f'}}
	}
	return nil
}

const unclosed = "has a [ without its ] (write \\[ for a bracket in a name)"

// parseClass reads a [class] at the start of text and says how long it is.
func parseClass(text string) (t token, n int, reason string) {
	t.kind = class
	i := 1
	if i < len(text) && (text[i] == '!' || text[i] == '^') {
		t.negate = true
		i++
	}
	for first := true; ; first = false {
		if i >= len(text) {
			return t, 0, unclosed
		}
		if text[i] == ']' && !first {
			return t, i + 1, ""
		}
		if strings.HasPrefix(text[i:], "[:") {
			name, _, ok := strings.Cut(text[i+2:], ":]")
			ranges := posixClass(name)
			if !ok || ranges == nil {
				return t, 0, "has an unknown class after [: (the classes are [:alpha:], [:digit:] and their like)"
			}
			t.ranges = append(t.ranges, ranges...)
			i += len(name) + 4
			continue
		}
		lo, size, ok := classRune(text[i:])
		if !ok {
			return t, 0, unclosed
		}
		hi := lo
		i += size
		if i+1 < len(text) && text[i] == '-' && text[i+1] != ']' {
			if hi, size, ok = classRune(text[i+1:]); !ok {
				return t, 0, unclosed
			}
			i += 1 + size
		}
		if hi < lo {
			return t, 0, "has a range in [] that runs backwards"
		}
		t.ranges = append(t.ranges, span{lo, hi})
	}
}

func classRune(text string) (r rune, n int, ok bool) {
	escaped, isEscape := strings.CutPrefix(text, "\\")
	if !isEscape {
		r, n = decode(text)
		return r, n, true
	}
	if escaped == "" {
		return 0, 0, false
	}
	r, n = decode(escaped)
	return r, n + 1, true
}
