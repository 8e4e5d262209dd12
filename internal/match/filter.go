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

func (f *nameFilter) fill(rules []rule) {
	names := 0
	for i := range rules {
		if r := &rules[i]; r.base == anyDepth && !r.takesBack && r.literal {
			names++
		}
	}
	f.exact = make(map[string]struct{}, names)
	for i := range rules {
		r := &rules[i]
		switch {
		case r.base != anyDepth || r.takesBack:
		case r.literal:
			f.exact[r.path] = struct{}{}
			f.first[r.path[0]] = true
		default:
			f.add(&r.segs[0])
		}
	}
}

func (f *nameFilter) add(seg *segment) {
	f.globs = append(f.globs, seg)
	switch first, last := seg.ends(); {
	case first != 0:
		f.first[first] = true
	case last != 0:
		f.last[last] = true
	default:
		f.any = true
	}
}

func (f *nameFilter) empty() bool { return len(f.exact) == 0 && len(f.globs) == 0 }

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

// cursor is a rule that has matched the way to a directory: up to segs[at], or
// up to path[at:] if it is literal. A rule at ** has a second cursor behind
// it, as ** may stand for nothing.
type cursor struct {
	rule *rule
	at   int
}

func start(live []cursor, r *rule, at int) []cursor {
	if r.literal {
		if at == 0 && r.base == atRoot {
			at = 1 // after the slash
		}
		return append(live, cursor{r, at})
	}
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
		if c.rule.literal {
			if c.rule.path[c.at:] == name {
				return true
			}
		} else if c.at == len(c.rule.segs)-1 && c.rule.segs[c.at].match(name) {
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
		next = c.advance(next, name, spelled)
	}
	if len(next) == 0 {
		return nil
	}
	if slices.Equal(next, live) {
		return live
	}
	return slices.Clone(next)
}

func (c cursor) advance(next []cursor, name string, spelled bool) []cursor {
	if c.rule.literal {
		rest := c.rule.path[c.at:]
		if len(rest) > len(name) && rest[len(name)] == '/' && rest[:len(name)] == name {
			next = append(next, cursor{c.rule, c.at + len(name) + 1})
		}
		return next
	}
	seg := &c.rule.segs[c.at]
	switch {
	case seg.kind == deep && !spelled:
		return start(next, c.rule, c.at)
	case seg.kind != deep && c.at+1 < len(c.rule.segs) && seg.match(name):
		return start(next, c.rule, c.at+1)
	}
	return next
}
