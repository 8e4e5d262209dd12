package match

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Regex is one pattern for a judge that knows regular expressions of paths and
// nothing else: macOS's Seatbelt. It takes POSIX extended syntax, but neither
// {n} nor (?…) nor classes of characters beyond ASCII, and it compares bytes.
//
// The usual volume there knows no case and no form of Unicode, and the path that
// is judged may be the one on the disk or the one that a program used. So an
// expression matches every case and form of a name. Where it cannot say exactly
// what the pattern says (? for one character of several bytes), it matches more;
// those in Back match less. Letters beyond ASCII that fold into it (the long s,
// the Kelvin sign, ligatures) are not among the cases: no such name can be made in
// the sandbox at all.
type Regex struct {
	Body    string   // the paths that the pattern names, but for the ^ before and the $ behind
	DirOnly bool     // only directories are named
	Fixed   string   // a place that is spelled out, "" for others: it needs no expression
	Ways    []string // directories that a path spells out, by which it would be moved
	Back    []Regex  // later patterns that take something back
	Pattern string
}

// Regexes gives the patterns that name something, in order. roots are those of
// Options.Roots.
func (s *Set) Regexes(project string, roots ...string) (out []Regex) {
	in := newScope(project, roots)
	ways := s.ways.Load()
	for i := range s.rules {
		if s.rules[i].takesBack {
			continue
		}
		for _, r := range s.spellings(ways, i) {
			x := r.regex(in, true)
			x.Pattern = s.patterns[r.pattern]
			for j := i + 1; j < len(s.rules); j++ {
				if !s.rules[j].takesBack || s.rules[i].apart(&s.rules[j]) {
					continue
				}
				for _, b := range s.spellings(ways, j) {
					if back := b.regex(in, false); back.Body != "" {
						back.Pattern = s.patterns[b.pattern]
						x.Back = append(x.Back, back)
					}
				}
			}
			out = append(out, x)
		}
	}
	return out
}

// apart says that no name can be meant by both rules, whatever its case. A
// profile would be ten times as long with what never matters.
func (r *rule) apart(o *rule) bool {
	differ := func(a, b byte) bool {
		return a != 0 && b != 0 && a < 128 && b < 128 && unicode.ToLower(rune(a)) != unicode.ToLower(rune(b))
	}
	return differ(r.first, o.first) || differ(r.last, o.last)
}

// spellings are a rule, and the rule as its place is without symlinks.
func (s *Set) spellings(ways *ways, i int) []*rule {
	out := []*rule{&s.rules[i]}
	if ways != nil && ways.alias(i) != nil {
		out = append(out, ways.alias(i))
	}
	return out
}

// RegexOf matches a name or path literally, in every case and form.
func RegexOf(text string) string { return spelled(text, true) }

// regex compiles a rule. wide says that in doubt it matches more; without, it is
// empty when nothing can be said.
func (r *rule) regex(in *scope, wide bool) Regex {
	x := Regex{DirOnly: r.dirOnly}
	head := ""
	segs := r.segs
	if r.literal {
		segs = literals(r.path)
		if r.base == atRoot {
			x.Fixed = r.path
		}
	}
	switch tops := in.tops(r); {
	case r.base == atRoot:
	case len(tops) == 1:
		head += tops[0]
	default:
		head += "(" + strings.Join(tops, "|") + ")"
	}
	if r.base == anyDepth {
		segs = append([]segment{{kind: deep}}, segs...)
	}
	body, spelledOut := head, true
	for n, seg := range segs {
		if seg.kind == deep {
			body, spelledOut = body+"(/[^/]+)*", false
			continue
		}
		text, ok := seg.regex(wide)
		if !ok {
			return Regex{}
		}
		body += "/" + text
		spelledOut = spelledOut && seg.kind == literal
		if spelledOut && n+1 < len(segs) && !(r.base == atRoot && n == 0) {
			x.Ways = append(x.Ways, body)
		}
	}
	x.Body = body
	return x
}

// tops are the directories that a rule begins in, written as expressions.
func (in *scope) tops(r *rule) []string {
	tops := []string{in.project}
	if r.floats() {
		tops = append(tops, in.roots...)
	}
	for i, t := range tops {
		tops[i] = spelled(strings.TrimSuffix(t, "/"), false)
	}
	return tops
}

func (s *segment) regex(wide bool) (string, bool) {
	switch s.kind {
	case literal:
		return spelled(s.text, wide), true
	case affix:
		if s.text == "" && s.tail == "" {
			return "[^/]+", true
		}
		return spelled(s.text, wide) + "[^/]*" + spelled(s.tail, wide), true
	}
	var b strings.Builder
	for i := range s.tokens {
		switch t := &s.tokens[i]; t.kind {
		case plain:
			b.WriteString(spelled(t.text, wide))
		case star:
			b.WriteString("[^/]*")
		case single:
			b.WriteString(character(wide))
		case class:
			text, ok := t.regex(wide)
			if !ok {
				return "", false
			}
			b.WriteString(text)
		}
	}
	return b.String(), true
}

// character is any one of UTF-8, or of the bytes that one can have.
func character(wide bool) string {
	if wide {
		return "[^/][^/]?[^/]?[^/]?"
	}
	return "[^/]"
}

// regex of a class: as it is if it holds some of ASCII, else any character.
func (t *token) regex(wide bool) (string, bool) {
	var in []byte
	for c := rune(1); c < 128; c++ {
		for _, s := range t.ranges {
			if s.lo <= c && c <= s.hi {
				in = append(in, byte(c))
				break
			}
		}
	}
	beyond := slices.ContainsFunc(t.ranges, func(s span) bool { return s.hi > 127 })
	if t.negate || beyond {
		return character(wide), wide
	}
	var all []string
	for _, c := range in {
		if c != '/' {
			all = append(all, spelled(string(c), wide))
		}
	}
	if len(all) == 0 {
		return "", false
	}
	return "(" + strings.Join(all, "|") + ")", true
}

// spelled writes text as an expression for itself, wide for every case and form
// of it.
func spelled(text string, wide bool) string {
	var b strings.Builder
	if !wide {
		for i := range len(text) {
			b.WriteString(escaped(text[i]))
		}
		return b.String()
	}
	var it norm.Iter
	it.InitString(norm.NFC, text)
	for !it.Done() {
		b.WriteString(cluster(string(it.Next())))
	}
	return b.String()
}

// cluster gives the forms of a character with its marks.
func cluster(c string) string {
	if len(c) == 1 {
		lower, upper := strings.ToLower(c), strings.ToUpper(c)
		if lower != upper && lower[0] < 128 {
			return "[" + upper + lower + "]"
		}
		return escaped(c[0])
	}
	forms := []string{c}
	r := []rune(c)
	for f := unicode.SimpleFold(r[0]); f != r[0]; f = unicode.SimpleFold(f) {
		forms = append(forms, string(f)+string(r[1:]))
	}
	for _, f := range slices.Clone(forms) {
		forms = append(forms, norm.NFC.String(f), norm.NFD.String(f))
	}
	slices.Sort(forms)
	forms = slices.Compact(forms)
	for i, f := range forms {
		forms[i] = spelled(f, false)
	}
	if len(forms) == 1 {
		return forms[0]
	}
	return "(" + strings.Join(forms, "|") + ")"
}

// escaped is one byte that stands for itself.
func escaped(c byte) string {
	if strings.IndexByte(`\.^$|?*+()[]{}`, c) >= 0 {
		return `\` + string(rune(c))
	}
	return string([]byte{c})
}
