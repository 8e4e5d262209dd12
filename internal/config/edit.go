package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Add puts values that are not there yet at the end of the list called key and gives those that it
// added. The file may be missing, and is then made. Everything else in it stays as it is, to the
// byte. A "!value" that would take one of them back is removed.
func Add(path, key string, values []string) (added []string, err error) {
	err = rewrite(path, func(src []byte) (out []byte, err error) {
		out, added, err = addBytes(path, src, key, values)
		return out, err
	})
	return added, err
}

// Remove takes values out of the list called key and gives those that were there.
func Remove(path, key string, values []string) (removed []string, err error) {
	err = rewrite(path, func(src []byte) (out []byte, err error) {
		out, removed, err = removeBytes(path, src, key, values)
		return out, err
	})
	return removed, err
}

// Set makes the list called key hold these values and no others. What stays keeps its place and
// its comment.
func Set(path, key string, values []string) error {
	return rewrite(path, func(src []byte) ([]byte, error) { return setBytes(path, src, key, values) })
}

// AddBytes is Add in memory.
func AddBytes(src []byte, key string, values []string) (out []byte, added []string, err error) {
	return addBytes("the configuration", src, key, values)
}

// RemoveBytes is Remove in memory.
func RemoveBytes(src []byte, key string, values []string) (out []byte, removed []string, err error) {
	return removeBytes("the configuration", src, key, values)
}

// SetBytes is Set in memory.
func SetBytes(src []byte, key string, values []string) (out []byte, err error) {
	return setBytes("the configuration", src, key, values)
}

func addBytes(name string, src []byte, key string, values []string) ([]byte, []string, error) {
	e, err := edit(name, src, key, values)
	if err != nil {
		return nil, nil, err
	}
	var add, drop, added []string
	for _, v := range values {
		if slices.Contains(added, v) {
			continue
		}
		opposite := !strings.HasPrefix(v, "!") && slices.Contains(e.old, "!"+v)
		if opposite {
			drop = append(drop, "!"+v)
		}
		if !slices.Contains(e.old, v) {
			add = append(add, v)
		} else if !opposite {
			continue
		}
		added = append(added, v)
	}
	if len(added) == 0 {
		return src, nil, nil
	}
	out, err := e.change(add, drop)
	return out, added, err
}

func removeBytes(name string, src []byte, key string, values []string) ([]byte, []string, error) {
	e, err := edit(name, src, key, nil) // what is there may go, whatever it is
	if err != nil {
		return nil, nil, err
	}
	var drop []string
	for _, v := range values {
		if slices.Contains(e.old, v) && !slices.Contains(drop, v) {
			drop = append(drop, v)
		}
	}
	if len(drop) == 0 {
		return src, nil, nil
	}
	out, err := e.change(nil, drop)
	return out, drop, err
}

func setBytes(name string, src []byte, key string, values []string) ([]byte, error) {
	e, err := edit(name, src, key, values)
	if err != nil {
		return nil, err
	}
	var add []string
	for _, v := range values {
		if !slices.Contains(e.old, v) && !slices.Contains(add, v) {
			add = append(add, v)
		}
	}
	drop := filter(e.old, func(v string) bool { return !slices.Contains(values, v) })
	if e.pair != nil && e.pair.value.kind != null && len(add)+len(drop) == 0 {
		return src, nil
	}
	return e.change(add, drop)
}

// An editor changes one list of one file's text.
type editor struct {
	name  string
	src   []byte
	key   string
	root  node
	pair  *pair // of the key, nil when it is missing
	whole *Config
	old   []string
	lines []int  // byte offsets at which lines begin
	eol   string // as the file ends its lines
}

// edit reads the file as strictly as Load does: one with mistakes is not touched.
func edit(name string, src []byte, key string, values []string) (*editor, error) {
	whole := &Config{}
	if whole.list(key) == nil {
		return nil, fmt.Errorf("%s is not a list that can be edited", key)
	}
	for _, v := range values {
		if err := Check(key, v); err != nil {
			return nil, err
		}
	}
	d := &decoder{file: name}
	e := &editor{name: name, src: src, key: key, root: d.parse(src), whole: whole, eol: "\n"}
	if len(d.errs) == 0 {
		d.root(e.root, whole)
	}
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	e.old = *whole.list(key)
	for i := range e.root.pairs {
		if e.root.pairs[i].key.text == key {
			e.pair = &e.root.pairs[i]
		}
	}
	e.lines = append(e.lines, 0)
	for i, c := range src {
		if c == '\n' {
			e.lines = append(e.lines, i+1)
		}
	}
	if strings.Contains(string(src), "\r\n") {
		e.eol = "\r\n"
	}
	return e, nil
}

// change puts entries behind the list and then takes entries out of it, in this order so that the
// list keeps its style, and reads the result again to be sure.
func (e *editor) change(add, drop []string) ([]byte, error) {
	want := filter(slices.Concat(e.old, add), func(v string) bool { return !slices.Contains(drop, v) })
	out, err := e.splice(e.adding(add))
	if err != nil {
		return nil, e.byHand()
	}
	if len(drop) > 0 {
		next, err := edit(e.name, out, e.key, nil)
		if err != nil {
			return nil, e.byHand()
		}
		if out, err = next.splice(next.dropping(drop)); err != nil {
			return nil, e.byHand()
		}
	}
	return out, e.verify(out, want)
}

// byHand is for lists such as no editor writes and no person should.
func (e *editor) byHand() error {
	return fmt.Errorf("%s: %s is written in a way that aigate cannot edit safely; please edit the file by hand", e.name, e.key)
}

// verify is what the promise rests on: the new text says want, and everything else as before.
func (e *editor) verify(out []byte, want []string) error {
	now, err := Parse(e.name, out)
	if err != nil {
		return e.byHand()
	}
	expected := *e.whole
	*expected.list(e.key) = want
	got := now.list(e.key)
	if *got == nil || !slices.Equal(*got, want) {
		return e.byHand()
	}
	*got = want // nil or empty, it is the same
	if !reflect.DeepEqual(&expected, now) {
		return e.byHand()
	}
	return nil
}

// offset turns a place of the parser's into a byte offset.
func (e *editor) offset(line, col int) int {
	at := e.lines[line-1]
	if line == 1 && bytes.HasPrefix(e.src, []byte(bom)) {
		at += len(bom)
	}
	for ; col > 1 && at < len(e.src) && e.src[at] != '\n'; col-- {
		_, n := utf8.DecodeRune(e.src[at:])
		at += n
	}
	return at
}

// lineStart and lineEnd bound the line that at is in, its line end included.
func (e *editor) lineStart(at int) int { return bytes.LastIndexByte(e.src[:at], '\n') + 1 }

func (e *editor) lineEnd(at int) int {
	if n := bytes.IndexByte(e.src[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(e.src)
}

// blank says that the text from one offset to another holds nothing, or a comment alone.
func (e *editor) blank(from, to int) bool {
	s := bytes.TrimSpace(e.src[from:to])
	return len(s) == 0 || s[0] == '#'
}

// behindKey is the offset behind the colon of the key.
func (e *editor) behindKey() int {
	at := e.offset(e.pair.key.line, e.pair.key.col)
	return at + bytes.IndexByte(e.src[at:], ':') + 1
}

// A span of the source is replaced by text.
type span struct {
	from, to int
	text     string
}

var errSplice = errors.New("spans overlap")

func (e *editor) splice(spans []span, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(spans, func(a, b span) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, s := range spans {
		if s.from < at || s.to < s.from || s.to > len(e.src) {
			return nil, errSplice
		}
		out = append(append(out, e.src[at:s.from]...), s.text...)
		at = s.to
	}
	return append(out, e.src[at:]...), nil
}

func (e *editor) adding(add []string) ([]span, error) {
	switch {
	case e.pair == nil:
		return e.newKey(add)
	case e.pair.value.kind == null:
		return e.fillNull(add), nil
	case len(add) == 0:
		return nil, nil
	case e.pair.value.flow:
		return e.flowAdd(add)
	}
	return e.blockAdd(add)
}

func (e *editor) dropping(drop []string) ([]span, error) {
	var cut []int
	for i, item := range e.pair.value.items {
		if slices.Contains(drop, item.text) {
			cut = append(cut, i)
		}
	}
	if e.pair.value.flow {
		return e.flowDrop(cut)
	}
	return e.blockDrop(cut), nil
}

// newKey writes the list at the end of the file.
func (e *editor) newKey(add []string) ([]span, error) {
	if e.root.flow {
		return nil, errSplice
	}
	indent := strings.Repeat(" ", max(e.root.col-1, 0))
	text := e.missingEnd(len(e.src)) + indent + e.key + ":"
	if len(add) == 0 {
		text += " []"
	}
	text += e.eol
	for _, v := range add {
		text += indent + "  - " + quote(v) + e.eol
	}
	return []span{{len(e.src), len(e.src), text}}, nil
}

// missingEnd is the line end that the text before an offset lacks.
func (e *editor) missingEnd(at int) string {
	if at > 0 && e.src[at-1] != '\n' {
		return e.eol
	}
	return ""
}

// fillNull writes a list behind "key:", in the place of a null or ~ that may stand there.
func (e *editor) fillNull(add []string) []span {
	from := e.behindKey()
	to := from
	rest := string(e.src[from:e.lineEnd(from)])
	for _, word := range []string{"null", "Null", "NULL", "~"} {
		if strings.HasPrefix(strings.TrimLeft(rest, " "), word) {
			to = from + strings.Index(rest, word) + len(word)
		}
	}
	if to > from || len(add) == 0 || e.root.flow {
		return []span{{from, to, " " + flowText(add)}}
	}
	indent := strings.Repeat(" ", e.pair.key.col-1)
	end := e.lineEnd(from)
	text := e.missingEnd(end)
	for _, v := range add {
		text += indent + "  - " + quote(v) + e.eol
	}
	return []span{{end, end, text}}
}

func flowText(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (e *editor) blockAdd(add []string) ([]span, error) {
	items := e.pair.value.items
	last := items[len(items)-1]
	at := e.offset(last.line, last.col)
	lead := string(e.src[e.lineStart(at):at]) // indentation, dash, blank
	if strings.Trim(lead, " ") != "-" {
		return nil, errSplice
	}
	end := e.lineEnd(at)
	text := e.missingEnd(end)
	for _, v := range add {
		text += lead + e.like(at, v) + e.eol
	}
	return []span{{end, end, text}}, nil
}

// blockDrop takes items out with their lines; comments on lines of their own stay.
func (e *editor) blockDrop(cut []int) []span {
	var spans []span
	for _, i := range cut {
		item := e.pair.value.items[i]
		from := e.lineStart(e.offset(item.line, item.col))
		spans = append(spans, span{from, e.lineEnd(from), ""})
	}
	if len(cut) == len(e.pair.value.items) {
		spans = append(spans, span{e.behindKey(), e.behindKey(), " []"})
	}
	return spans
}

// like quotes v the way the scalar at an offset is quoted, where v allows it.
func (e *editor) like(at int, v string) string {
	switch c := e.src[at]; {
	case c == '\'' && !strings.Contains(v, "'"):
		return "'" + v + "'"
	case c != '"' && c != '\'' && plain(v):
		return v
	}
	return quote(v)
}

// plain says that v is a text without quotes too.
func plain(v string) bool {
	for i := 0; i < len(v); i++ {
		if !plainByte(v[i]) {
			return false
		}
	}
	return plainKind(v) == text
}
