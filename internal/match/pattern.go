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

// rule is one compiled pattern; a pattern with braces becomes several.
type rule struct {
	pattern   int // index into Set.patterns
	base      base
	takesBack bool
	dirOnly   bool
	segs      []segment
}

const (
	nameMax      = 255  // what a file system allows for one name
	pathMax      = 4095 // what the kernel allows for one path
	expansionMax = 256  // {a,b}{c,d}... grows fast
)

const tooLong = "is longer than a path can be"

// parsePattern compiles one pattern, or gives the reason why it can't be: the
// end of a sentence that begins with the pattern.
func parsePattern(pattern, home string) (rules []rule, reason string) {
	body, takesBack := strings.CutPrefix(pattern, "!")
	switch {
	case pattern == "":
		return nil, "is empty; remove it, or write \".\" for the project itself"
	case body == "":
		return nil, "takes nothing back: write the pattern after the !"
	case strings.IndexByte(pattern, 0) >= 0:
		return nil, "holds a NUL byte, which no file name can"
	case len(pattern) > pathMax:
		return nil, tooLong
	}
	if reason := checkClasses(body); reason != "" {
		return nil, reason
	}
	spelled, ok := expandBraces(body)
	if !ok {
		return nil, "stands for too many patterns: its braces multiply to more than 256"
	}
	for _, text := range spelled {
		r, reason := parseRule(text, home)
		if reason != "" {
			return nil, reason
		}
		r.takesBack = takesBack
		rules = append(rules, r)
	}
	return rules, ""
}

// parseRule compiles a pattern without ! and braces.
func parseRule(text, home string) (r rule, reason string) {
	r.base = atProject
	rest := text
	switch {
	case text == "":
		return r, "has an empty alternative in its braces"
	case text == "~" || strings.HasPrefix(text, "~/"):
		if !filepath.IsAbs(home) {
			return r, "needs your home directory, which is not known"
		}
		r.base, rest = atRoot, text[1:]
		r.segs = literals(home)
	case text[0] == '~' && strings.Contains(text, "/"):
		return r, "names another user's home; only ~/ is understood (for a file whose name begins with ~ write \\~)"
	case text[0] == '/':
		r.base = atRoot
	}
	r.dirOnly = strings.HasSuffix(rest, "/") || rest == "." || rest == "" || strings.HasSuffix(rest, "/.")
	for name := range strings.SplitSeq(rest, "/") {
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			return r, "climbs with \"..\": name the place itself, with ~/ or /"
		}
		seg, reason := parseSegment(name)
		if reason != "" {
			return r, reason
		}
		r.add(seg)
	}
	if r.base == atRoot && len(r.segs) == 0 {
		return r, "names the whole file system"
	}
	r.finish(rest)
	if r.base != anyDepth && r.literalPrefix() == len(r.segs) && len(r.literalPath(&scope{}, len(r.segs))) > pathMax {
		return r, tooLong
	}
	return r, ""
}

// literals turns a path into segments without reading globs into it.
func literals(path string) []segment {
	var segs []segment
	for name := range strings.SplitSeq(filepath.Clean(path), "/") {
		if name != "" {
			segs = append(segs, segment{kind: literal, text: name})
		}
	}
	return segs
}

// add appends a segment; a second ** in a row says nothing new.
func (r *rule) add(seg segment) {
	if seg.kind == deep && len(r.segs) > 0 && r.segs[len(r.segs)-1].kind == deep {
		return
	}
	r.segs = append(r.segs, seg)
}

// finish brings the rule into the form that matching relies on: ** is never
// last (a/** names what is in a, which is a/**/*), and a single name that may
// lie anywhere is anyDepth.
func (r *rule) finish(text string) {
	if n := len(r.segs); n > 0 && r.segs[n-1].kind == deep {
		r.segs = append(r.segs, segment{kind: affix})
	}
	if r.base != atProject {
		return
	}
	bare := len(r.segs) == 1 && !strings.Contains(strings.TrimRight(text, "/"), "/")
	if bare {
		r.base = anyDepth
	} else if len(r.segs) == 2 && r.segs[0].kind == deep {
		r.base, r.segs = anyDepth, r.segs[1:]
	}
}

// floats says whether the rule also applies below extra roots.
func (r *rule) floats() bool {
	return r.base == anyDepth || r.base == atProject && len(r.segs) > 0 && r.segs[0].kind == deep
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

// literalPath is the absolute path that the first n segments, all literal, spell.
func (r *rule) literalPath(in *scope, n int) string {
	path := "/"
	if r.base == atProject {
		path = in.project
	}
	for _, seg := range r.segs[:n] {
		path = join(path, seg.text)
	}
	return path
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
