package config

import "strings"

// quick parses the plain YAML that configurations are written in: block lists and mappings with
// simple keys, one scalar or bracketed list a line, comments. It gives exactly the nodes that the full parser gives,
// which a fuzz test compares, or says no and leaves the text to that one.
func quick(src string) (node, bool) {
	q := &quickParser{rest: src}
	q.next()
	root := q.block(0)
	if q.failed || !q.end {
		return node{}, false
	}
	return root, true
}

// A quickParser holds one line with something on it, ahead of what has been parsed.
type quickParser struct {
	rest   string
	line   int    // number of the current line
	indent int    // blanks before text
	text   string // of the current line, without indentation
	end    bool   // no more lines
	failed bool   // this is for the full parser
}

func (q *quickParser) fail() node {
	q.failed, q.end = true, true
	return node{}
}

// next goes to the next line that is neither blank nor a comment.
func (q *quickParser) next() {
	for {
		if q.rest == "" {
			q.end = true
			return
		}
		line, rest, _ := strings.Cut(q.rest, "\n")
		q.rest = rest
		q.line++
		for i := 0; i < len(line); i++ {
			if line[i] < ' ' || line[i] == 0x7f {
				q.fail() // tabs, control characters
				return
			}
		}
		q.text = strings.TrimLeft(line, " ")
		if q.text != "" && q.text[0] != '#' {
			q.indent = len(line) - len(q.text)
			return
		}
	}
}

// block parses the list or mapping that begins on the current line.
func (q *quickParser) block(least int) node {
	if q.end || q.indent < least {
		return node{}
	}
	if strings.HasPrefix(q.text, "- ") {
		return q.list()
	}
	return q.mapping()
}

func (q *quickParser) list() node {
	out := node{kind: list, line: q.line, col: q.indent + 1, items: make([]node, 0, 16)}
	at := q.indent
	for !q.end && q.indent == at && strings.HasPrefix(q.text, "- ") {
		// Behind the dash a mapping may begin, which is then indented by the dash too.
		item := strings.TrimLeft(q.text[2:], " ")
		q.indent += len(q.text) - len(item)
		q.text = item
		if _, _, ok := simpleKey(item); ok {
			out.items = append(out.items, q.mapping())
			continue
		}
		out.items = append(out.items, q.scalar(item, q.indent+1))
		q.next()
	}
	if !q.end && q.indent > at {
		return q.fail()
	}
	return out
}

func (q *quickParser) mapping() node {
	out := node{kind: mapping, line: q.line, col: q.indent + 1, pairs: make([]pair, 0, 12)}
	at := q.indent
	for !q.end && q.indent == at {
		name, value, ok := simpleKey(q.text)
		if !ok {
			return q.fail()
		}
		key := node{kind: text, text: name, line: q.line, col: at + 1}
		out.pairs = append(out.pairs, pair{key, q.value(key, value, at)})
	}
	if !q.end && q.indent > at {
		return q.fail()
	}
	return out
}

// value parses what stands behind a key: a scalar on its line, or a block below.
func (q *quickParser) value(key node, rest string, at int) node {
	if v := strings.TrimLeft(rest, " "); v != "" && v[0] != '#' {
		col := at + 1 + len(key.text) + 1 + len(rest) - len(v)
		out := q.scalar(v, col)
		q.next()
		return out
	} else if v != "" && len(v) == len(rest) {
		return q.fail() // key:#no
	}
	q.next()
	least := at + 1
	if !q.end && strings.HasPrefix(q.text, "- ") {
		least = at // a list may stand under its key unindented
	}
	if q.end || q.indent < least {
		return node{kind: null, line: key.line, col: key.col}
	}
	return q.block(least)
}

// simpleKey splits "key: value". The rest keeps its leading blank.
func simpleKey(s string) (key, rest string, ok bool) {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] == '_') {
		n++
	}
	if n == 0 || n == len(s) || s[n] != ':' || n+1 < len(s) && s[n+1] != ' ' || special(s[:n]) {
		return "", "", false
	}
	return s[:n], s[n+1:], true
}

// scalar parses a line's value: a text, a number, or a list in brackets.
func (q *quickParser) scalar(s string, col int) node {
	var out node
	var behind string
	if strings.HasPrefix(s, "[") {
		out, behind = q.flow(s, col)
	} else {
		out, behind = q.word(s, col)
	}
	if b := strings.TrimLeft(behind, " "); b != "" && (b[0] != '#' || len(b) == len(behind)) {
		return q.fail()
	}
	return out
}

// flow parses [a, "b"] and gives what stands behind it.
func (q *quickParser) flow(s string, col int) (out node, behind string) {
	out = node{kind: list, flow: true, line: q.line, col: col}
	rest := strings.TrimLeft(s[1:], " ")
	for !q.failed && !strings.HasPrefix(rest, "]") {
		item, behind := q.word(rest, col+len(s)-len(rest))
		if strings.IndexFunc(item.text, wide) >= 0 {
			return q.fail(), "" // columns behind it are not bytes
		}
		out.items = append(out.items, item)
		rest = strings.TrimLeft(behind, " ")
		if more, ok := strings.CutPrefix(rest, ","); ok {
			rest = strings.TrimLeft(more, " ")
		} else if !strings.HasPrefix(rest, "]") {
			return q.fail(), ""
		}
	}
	return out, strings.TrimPrefix(rest, "]")
}

// word parses one scalar and gives what stands behind it.
func (q *quickParser) word(s string, col int) (out node, behind string) {
	if s == "" {
		return q.fail(), ""
	}
	out = node{kind: text, line: q.line, col: col}
	if c := s[0]; c == '"' || c == '\'' {
		end := 1 + strings.IndexByte(s[1:], c)
		if end == 0 || strings.IndexByte(s[1:end], '\\') >= 0 {
			return q.fail(), ""
		}
		out.quoted, out.text = true, s[1:end]
		return out, s[end+1:]
	}
	n := 0
	for n < len(s) && plainByte(s[n]) {
		n++
	}
	out.text, out.kind = s[:n], plainKind(s[:n])
	if out.kind == other {
		return q.fail(), ""
	}
	return out, s[n:]
}

func plainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._/~*-", c) >= 0
}

func wide(r rune) bool { return r >= 0x80 }

// plainKind says what YAML makes of an unquoted word: other where this file does not want to know.
func plainKind(s string) kind {
	switch {
	case s == "" || special(s):
		return other
	case s[0] >= '1' && s[0] <= '9' && len(s) < 18 && strings.Trim(s, "0123456789") == "":
		return integer
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] == '/':
		return text
	case s[0] == '.' && len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' || strings.HasPrefix(s, "~/"):
		return text
	}
	return other
}

// special are the words that are not texts in some version of YAML.
func special(s string) bool {
	if len(s) > 5 {
		return false
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan", ".inf", ".nan":
		return true
	}
	return false
}
