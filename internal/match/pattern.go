package match

import (
	"path/filepath"
	"strings"
)

// base is where a rule's path starts.
type base uint8

const (
	anyDepth  base = iota // one name, anywhere below the project or a root
	atProject             // a path from the project's top
	atRoot                // an absolute path
)

// rule is one compiled pattern; a pattern with braces becomes several. Most
// patterns hold no glob at all, so those are kept as the path they spell: they
// are compared and looked up whole.
type rule struct {
	pattern   int // index into Set.patterns
	base      base
	takesBack bool
	dirOnly   bool
	literal   bool

	// first and last are the bytes that the last name must begin and end
	// with, 0 if it need not. Nearly all rules differ from nearly all paths in
	// one of them.
	first, last byte

	// path is what a literal rule names: a name (anyDepth), a path from the
	// project's top (atProject; empty for the project itself) or an absolute
	// path (atRoot). Other rules have in it the directory before the first
	// glob, written in the same way, and the whole way in segs.
	path string
	segs []segment
}

const (
	nameMax      = 255  // what a file system allows for one name
	pathMax      = 4095 // what the kernel allows for one path
	expansionMax = 256  // {a,b}{c,d}... grows fast
)

const tooLong = "is longer than a path can be"

// parser compiles a list. Its rules share what they are made of: a list of
// 200 patterns is read at every start, and need not be 2000 allocations.
type parser struct {
	home  string    // clean; empty when it is not known
	names []segment // those of home, when they were needed
	rules []rule
	segs  []segment
	text  strings.Builder // of the paths; it only grows, so parts of it stay valid
}

func newParser(patterns []string, home string) *parser {
	p := &parser{rules: make([]rule, 0, len(patterns))}
	if filepath.IsAbs(home) {
		p.home = filepath.Clean(home)
	}
	size := 0
	for _, pattern := range patterns {
		size += len(pattern)
		if strings.HasPrefix(pattern, "~") {
			size += len(p.home)
		}
	}
	p.text.Grow(size)
	return p
}

// parse compiles one pattern, or gives the reason why it can't be: the end of
// a sentence that begins with the pattern.
func (p *parser) parse(pattern string) (reason string) {
	body, takesBack := strings.CutPrefix(pattern, "!")
	switch {
	case pattern == "":
		return "is empty; remove it, or write \".\" for the project itself"
	case body == "":
		return "takes nothing back: write the pattern after the !"
	case strings.IndexByte(pattern, 0) >= 0:
		return "holds a NUL byte, which no file name can"
	case len(pattern) > pathMax:
		return tooLong
	}
	if reason := checkClasses(body); reason != "" {
		return reason
	}
	if strings.IndexByte(body, '{') < 0 {
		return p.add(body, takesBack)
	}
	spelled, ok := expandBraces(body)
	if !ok {
		return "stands for too many patterns: its braces multiply to more than 256"
	}
	for _, text := range spelled {
		if reason := p.add(text, takesBack); reason != "" {
			return reason
		}
	}
	return ""
}

// add compiles a pattern without ! and braces.
func (p *parser) add(text string, takesBack bool) (reason string) {
	r := rule{base: atProject, takesBack: takesBack}
	rest, home := text, false
	switch {
	case text == "":
		return "has an empty alternative in its braces"
	case text == "~" || strings.HasPrefix(text, "~/"):
		if p.home == "" {
			return "needs your home directory, which is not known"
		}
		r.base, rest, home = atRoot, text[1:], true
	case text[0] == '~' && strings.Contains(text, "/"):
		return "names another user's home; only ~/ is understood (for a file whose name begins with ~ write \\~)"
	case text[0] == '/':
		r.base = atRoot
	}
	r.dirOnly = strings.HasSuffix(rest, "/") || rest == "." || rest == "" || strings.HasSuffix(rest, "/.")
	if strings.ContainsAny(rest, `*?[\`) {
		reason = p.glob(&r, rest, home)
	} else {
		reason = p.plain(&r, rest, home)
	}
	if reason != "" {
		return reason
	}
	switch {
	case !r.literal || r.base == anyDepth:
	case r.path == "/":
		return "names the whole file system"
	case len(r.path) > pathMax || r.base == atProject && len(r.path) == pathMax:
		return tooLong
	}
	last := r.lastName()
	r.first, r.last = last.ends()
	p.rules = append(p.rules, r)
	return ""
}

const climbs = "climbs with \"..\": name the place itself, with ~/ or /"

// plain reads a pattern that holds nothing but names.
func (p *parser) plain(r *rule, text string, home bool) (reason string) {
	first := p.text.Len()
	if home && p.home != "/" {
		p.text.WriteString(p.home)
	}
	names := 0
	for name := range strings.SplitSeq(text, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			return climbs
		case len(name) > nameMax:
			return nameTooLong
		}
		p.write(r.base, name, names)
		names++
	}
	r.literal, r.path = true, p.written(r.base, first)
	if r.base == atProject && names == 1 && bare(text) {
		r.base = anyDepth
	}
	return ""
}

// glob reads any pattern, and brings it into the form that matching relies on:
// ** is never last (a/** names what is in a, which is a/**/*), there are no two
// in a row, and a single name that may lie anywhere is anyDepth.
func (p *parser) glob(r *rule, text string, home bool) (reason string) {
	first := len(p.segs)
	if home {
		p.segs = append(p.segs, p.homeNames()...)
	}
	for name := range strings.SplitSeq(text, "/") {
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			return climbs
		}
		seg, reason := parseSegment(name)
		if reason != "" {
			return reason
		}
		if seg.kind != deep || !endsDeep(p.segs[first:]) {
			p.segs = append(p.segs, seg)
		}
	}
	if endsDeep(p.segs[first:]) {
		p.segs = append(p.segs, segment{kind: affix})
	}
	r.segs = p.segs[first:len(p.segs):len(p.segs)]
	if r.base == atProject {
		if len(r.segs) == 2 && r.segs[0].kind == deep {
			r.base, r.segs = anyDepth, r.segs[1:]
		} else if len(r.segs) == 1 && bare(text) {
			r.base = anyDepth
		}
	}
	p.spell(r)
	return ""
}

// spell gives a rule its path.
func (p *parser) spell(r *rule) {
	first, prefix := p.text.Len(), r.literalPrefix()
	for i, seg := range r.segs[:prefix] {
		p.write(r.base, seg.text, i)
	}
	r.path = p.written(r.base, first)
	if prefix == len(r.segs) {
		r.literal, r.segs = true, nil
	}
}

// write appends a name, before which there are others, to the path.
func (p *parser) write(b base, name string, others int) {
	if b == atRoot || others > 0 {
		p.text.WriteByte('/')
	}
	p.text.WriteString(name)
}

// written is the path that was written since first.
func (p *parser) written(b base, first int) string {
	if b == atRoot && p.text.Len() == first {
		return "/"
	}
	return p.text.String()[first:]
}

func (p *parser) homeNames() []segment {
	if p.names == nil {
		p.names = literals(p.home)
	}
	return p.names
}

func endsDeep(segs []segment) bool { return len(segs) > 0 && segs[len(segs)-1].kind == deep }

// bare says whether a pattern has no slash but a trailing one.
func bare(text string) bool { return !strings.Contains(strings.TrimRight(text, "/"), "/") }

// literals turns a path into segments without reading globs into it.
func literals(path string) []segment {
	segs := make([]segment, 0, strings.Count(path, "/")+8) // for what is put behind
	for name := range strings.SplitSeq(path, "/") {
		if name != "" {
			segs = append(segs, segment{kind: literal, text: name})
		}
	}
	return segs
}

// floats says whether the rule also applies below extra roots.
func (r *rule) floats() bool {
	return r.base == anyDepth || r.base == atProject && !r.literal && r.segs[0].kind == deep
}

// literalPrefix counts the segments before the first glob.
func (r *rule) literalPrefix() int {
	for i := range r.segs {
		if r.segs[i].kind != literal {
			return i
		}
	}
	return len(r.segs)
}

// lastName is what the rule says of the last name of a path; of the project's,
// nothing.
func (r *rule) lastName() segment {
	if r.literal {
		return segment{kind: literal, text: r.path[strings.LastIndexByte(r.path, '/')+1:]}
	}
	return r.segs[len(r.segs)-1]
}

// way is the directory that leads to what the rule names, as far as it is
// spelled out. A literal's last name may be a symlink that is meant itself.
func (r *rule) way() string {
	switch {
	case !r.literal:
		return r.path
	case r.base == atRoot:
		return parent(r.path)
	}
	return r.path[:max(strings.LastIndexByte(r.path, '/'), 0)]
}

// expandBraces spells out {a,b} as a shell does: only braces that hold a comma
// count, they nest, and a backslash or a [class] hides them.
func expandBraces(text string) (spelled []string, ok bool) {
	open, commas, end := findBraces(text)
	if end < 0 {
		return []string{text}, true
	}
	tails, ok := expandBraces(text[end+1:])
	if !ok {
		return nil, false
	}
	cuts := append(append([]int{open}, commas...), end)
	for i := range len(cuts) - 1 {
		heads, ok := expandBraces(text[cuts[i]+1 : cuts[i+1]])
		if !ok || len(spelled)+len(heads)*len(tails) > expansionMax {
			return nil, false
		}
		for _, head := range heads {
			for _, tail := range tails {
				spelled = append(spelled, text[:open]+head+tail)
			}
		}
	}
	return spelled, true
}

// findBraces finds the first outermost {…,…}; end is -1 when there is none.
// An opening brace without its comma or its end is an ordinary character.
func findBraces(text string) (open int, commas []int, end int) {
	for open = 0; open < len(text); open++ {
		switch text[open] {
		case '\\':
			open++
			continue
		case '[':
			open = skipClass(text, open)
			continue
		case '{':
		default:
			continue
		}
		if commas, end = closeBraces(text, open); end >= 0 {
			return open, commas, end
		}
	}
	return 0, nil, -1
}

func closeBraces(text string, open int) (commas []int, end int) {
	depth := 0
	for i := open; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			i = skipClass(text, i)
		case '{':
			depth++
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		case '}':
			if depth--; depth == 0 {
				if len(commas) == 0 {
					return nil, -1
				}
				return commas, i
			}
		}
	}
	return nil, -1
}

// checkClasses makes sure that every [ has its ], so that skipClass need not.
func checkClasses(text string) (reason string) {
	if strings.IndexByte(text, '[') < 0 {
		return ""
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			_, n, reason := parseClass(text[i:])
			if reason != "" {
				return reason
			}
			i += n - 1
		}
	}
	return ""
}

// skipClass returns the index of the ] that ends the class at i.
func skipClass(text string, i int) int {
	_, n, _ := parseClass(text[i:])
	return i + max(n, 1) - 1
}
