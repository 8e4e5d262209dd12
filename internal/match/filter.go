package match

import "slices"

// What a walk asks of every name must cost next to nothing, so it asks only
// "might this be named?": of the names that match at any depth by nameFilter,
// of longer patterns by the cursors that are alive in the directory. Both look
// at patterns that deny and say yes too often rather than too seldom. A yes is
// then put to Set.decide, which knows order and take-backs.

// nameFilter holds the patterns that match a name at any depth.
type nameFilter struct {
	exact map[string]struct{}
	globs []*segment
	// Which bytes a matching name may begin or end with; any says that
	// this can't be told.
	first, last [256]bool
	any         bool
}

func (f *nameFilter) add(seg *segment) {
	if seg.kind == literal {
		if f.exact == nil {
			f.exact = make(map[string]struct{})
		}
		f.exact[seg.text] = struct{}{}
		f.first[seg.text[0]] = true
		return
	}
	f.globs = append(f.globs, seg)
	switch {
	case seg.kind == affix && seg.text != "":
		f.first[seg.text[0]] = true
	case seg.kind == affix && seg.tail != "":
		f.last[seg.tail[len(seg.tail)-1]] = true
	case seg.kind == glob && seg.tokens[0].kind == plain:
		f.first[seg.tokens[0].text[0]] = true
	default:
		f.any = true
	}
}

func (f *nameFilter) empty() bool { return f.exact == nil && f.globs == nil }

// might says whether a pattern matches the name; it is not empty.
func (f *nameFilter) might(name string) bool {
	if !f.first[name[0]] && !f.last[name[len(name)-1]] && !f.any {
		return false
	}
	if _, ok := f.exact[name]; ok {
		return true
	}
	for _, g := range f.globs {
		if g.match(name) {
			return true
		}
	}
	return false
}

// cursor is a rule that has matched the way to a directory up to segs[at].
// A rule at ** has a second cursor behind it, as ** may stand for nothing.
type cursor struct {
	rule *rule
	at   int
}

func start(live []cursor, r *rule, at int) []cursor {
	for ; ; at++ {
		c := cursor{r, at}
		if slices.Contains(live, c) {
			return live
		}
		live = append(live, c)
		if r.segs[at].kind != deep {
			return live
		}
	}
}

// accepts says whether a cursor's pattern ends with this name.
func accepts(live []cursor, name string) bool {
	for _, c := range live {
		if c.at == len(c.rule.segs)-1 && c.rule.segs[c.at].match(name) {
			return true
		}
	}
	return false
}

// advance gives the cursors for the directory of that name in one where live
// are alive. spelled leaves out those that are there by a ** alone.
func advance(live []cursor, name string, spelled bool) []cursor {
	var room [8]cursor
	next := room[:0]
	for _, c := range live {
		seg := &c.rule.segs[c.at]
		switch {
		case seg.kind == deep && !spelled:
			next = start(next, c.rule, c.at)
		case seg.kind != deep && c.at+1 < len(c.rule.segs) && seg.match(name):
			next = start(next, c.rule, c.at+1)
		}
	}
	if len(next) == 0 {
		return nil
	}
	if slices.Equal(next, live) {
		return live
	}
	return slices.Clone(next)
}
