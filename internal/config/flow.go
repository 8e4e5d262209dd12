package config

import "bytes"

// Editing a list in brackets: [a, b], on one line or over several.

// A bound is where one item stands, and where the text behind its comma begins.
type bound struct{ start, end, next int }

// bounds measures the items of the list and finds its closing bracket. What is not where the
// parser says that it is, is refused.
func (e *editor) bounds() (items []bound, closing int, err error) {
	v := e.pair.value
	at := e.offset(v.line, v.col)
	if at >= len(e.src) || e.src[at] != '[' {
		return nil, 0, errSplice
	}
	closing = e.skipBlank(at + 1)
	for _, item := range v.items {
		b := bound{start: e.offset(item.line, item.col)}
		if b.start != closing || b.start >= len(e.src) {
			return nil, 0, errSplice
		}
		b.end = e.scalarEnd(b.start)
		b.next = e.skipBlank(b.end)
		if b.next < len(e.src) && e.src[b.next] == ',' {
			b.next++
		} else {
			b.next = b.end // no comma: the last one
		}
		closing = e.skipBlank(b.next)
		items = append(items, b)
	}
	if closing >= len(e.src) || e.src[closing] != ']' {
		return nil, 0, errSplice
	}
	return items, closing, nil
}

// skipBlank goes over blanks, line ends and comments.
func (e *editor) skipBlank(at int) int {
	for at < len(e.src) {
		switch e.src[at] {
		case '#':
			at = e.lineEnd(at)
		case ' ', '\t', '\n', '\r':
			at++
		default:
			return at
		}
	}
	return at
}

// scalarEnd is where the scalar that begins at an offset ends.
func (e *editor) scalarEnd(at int) int {
	s := e.src
	if c := s[at]; c == '"' || c == '\'' {
		for at++; at < len(s) && s[at] != c; at++ {
			if c == '"' && s[at] == '\\' {
				at++
			}
		}
		if at+1 < len(s) && c == '\'' && s[at+1] == c {
			return e.scalarEnd(at + 1) // '' is a quote inside
		}
		return min(at+1, len(s))
	}
	end := at
	for ; at < len(s); at++ {
		switch s[at] {
		case ',', '[', ']', '{', '}', '\n', '\r':
			return end
		case '#':
			if s[at-1] == ' ' {
				return end
			}
			end = at + 1
		case ' ':
		default:
			end = at + 1
		}
	}
	return end
}

// ownLine says that an item has a line to itself, but for a comment.
func (e *editor) ownLine(b bound, closing int) bool {
	return e.lineEnd(b.next) <= closing && e.blank(b.next, e.lineEnd(b.next)) && e.blank(e.lineStart(b.start), b.start)
}

func (e *editor) flowAdd(add []string) ([]span, error) {
	items, closing, err := e.bounds()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		open := e.offset(e.pair.value.line, e.pair.value.col)
		text := flowText(add)
		return []span{{open + 1, open + 1, text[1 : len(text)-1]}}, nil
	}
	last := items[len(items)-1]
	comma := last.next > last.end
	if !e.ownLine(last, closing) {
		text := ""
		for i, v := range add {
			if !comma || i > 0 {
				text += ","
			}
			text += " " + e.like(last.start, v)
		}
		if comma {
			text += ","
		}
		return []span{{last.next, last.next, text}}, nil
	}
	var spans []span
	if !comma {
		spans = append(spans, span{last.end, last.end, ","})
	}
	lead := string(e.src[e.lineStart(last.start):last.start])
	text := ""
	for i, v := range add {
		text += lead + e.like(last.start, v)
		if comma || i < len(add)-1 {
			text += ","
		}
		text += e.eol
	}
	end := e.lineEnd(last.next)
	return append(spans, span{end, end, text}), nil
}

func (e *editor) flowDrop(cut []int) ([]span, error) {
	items, closing, err := e.bounds()
	if err != nil {
		return nil, err
	}
	drop := make([]bool, len(items))
	for _, i := range cut {
		drop[i] = true
	}
	kept := len(items) - 1 // the last that stays
	for kept >= 0 && drop[kept] {
		kept--
	}
	last := items[len(items)-1]
	var spans []span
	if kept >= 0 && kept < len(items)-1 && last.next == last.end {
		// No comma trails the list, so the one behind what is now the last goes too.
		b := items[kept]
		if bytes.IndexByte(e.src[b.end:last.end], '\n') < 0 {
			spans, items = []span{{b.end, last.end, ""}}, items[:kept+1]
		} else {
			spans = []span{{b.end, b.next, ""}}
		}
	}
	for i, b := range items {
		switch {
		case !drop[i]:
		case e.ownLine(b, closing):
			spans = append(spans, span{e.lineStart(b.start), e.lineEnd(b.next), ""})
		default:
			to := b.next
			for to < closing && e.src[to] == ' ' && (i < kept || kept < 0) {
				to++
			}
			spans = append(spans, span{b.start, to, ""})
		}
	}
	return spans, nil
}
