package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A node is the little of YAML that a configuration uses, with positions. The decoder and the
// editor work on nodes alone; only this file knows the YAML library. Its parser takes half a
// millisecond for the default file, a tenth of a whole start, so quick.go reads the plain files
// that people write and leaves everything else, mistakes too, to the library.
type node struct {
	kind      kind
	quoted    bool
	lines     bool   // a scalar that runs over several lines
	flow      bool   // a list or mapping written in [] or {}
	line, col int    // from 1, col in characters; for null those of its key
	text      string // a scalar's value

	items []node // of a list
	pairs []pair // of a mapping
}

type pair struct {
	key, value node
}

type kind uint8

const (
	null kind = iota
	text
	integer
	float
	boolean
	list
	mapping
	other // alias, tag, anchor, ...: YAML that has no use here
)

func (k kind) String() string {
	return [...]string{"nothing", "a text", "a number", "a number with a fraction", "true or false",
		"a list", "a mapping", "special YAML"}[k]
}

// parse reads src into its root node; what is not YAML goes to d.errs.
func (d *decoder) parse(src []byte) node {
	if !d.setSource(src) {
		return node{}
	}
	if root, ok := quick(d.src); ok {
		return root
	}
	return d.parseFull()
}

// setSource keeps the text for error messages, with line ends as the parser counts them right.
func (d *decoder) setSource(src []byte) bool {
	s := strings.TrimPrefix(string(src), bom)
	if strings.Contains(s, "\r") {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	d.src = s
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\x00\r") {
		return true
	}
	at := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || r == 0 || r == '\r' })
	line := 1 + strings.Count(s[:at], "\n")
	col := 1 + utf8.RuneCountInString(s[strings.LastIndexByte(s[:at], '\n')+1:at])
	switch s[at] {
	case '\r':
		d.fail(line, col, "a carriage return stands alone here", "end lines with a line feed")
	default:
		d.fail(line, col, "this is not UTF-8 text", "save the file as UTF-8")
	}
	return false
}

func (d *decoder) parseFull() (root node) {
	// A parser that stumbles over a stranger's file must end in a sentence, not in a stack trace.
	defer func() {
		if r := recover(); r != nil {
			root = node{}
			d.fail(1, 1, "this is not valid YAML", "compare it with the output of `aigate init`")
		}
	}()
	tokens := d.tokens()
	if len(d.errs) > 0 {
		return node{}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return node{}
	}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			second := (&tree{lines: strings.Split(d.src, "\n")}).node(doc.Body)
			d.failAt(second, "a second YAML document begins here", "one file holds one document; remove the line ---")
			return node{}
		}
		if i == 0 && doc.Body != nil {
			root = (&tree{lines: strings.Split(d.src, "\n")}).node(doc.Body)
		}
	}
	return root
}

// The library's parser takes time and memory that grow with the square of the depth, and some of
// the size. No configuration needs more than this.
const (
	maxFullSize  = 128 << 10
	maxFlowDepth = 8
	maxIndent    = 64
)

// tokens gives the tokens of a file that the parser can be trusted with.
func (d *decoder) tokens() token.Tokens {
	if len(d.src) > maxFullSize {
		d.fail(1, 1, fmt.Sprintf("a file of more than %d bytes must keep to plain YAML", maxFullSize),
			`write one "- entry" or one "key: value" a line`)
		return nil
	}
	tokens := lexer.Tokenize(d.src)
	depth := 0
	for _, t := range tokens {
		column := 0
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			column = t.Position.Column
		case token.MappingValueType:
			if column = t.Position.Column; t.Prev != nil {
				column = t.Prev.Position.Column // the key
			}
		}
		if depth > maxFlowDepth || depth == 0 && column > maxIndent {
			d.fail(t.Position.Line, t.Position.Column, "this is nested too deep for a configuration", "")
			return nil
		}
	}
	return tokens
}

// syntax turns the library's complaint into ours.
func (d *decoder) syntax(err error) {
	var e interface {
		error
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &e) || e.GetToken() == nil || e.GetToken().Position == nil {
		d.fail(1, 1, "this is not valid YAML: "+err.Error(), "")
		return
	}
	at := e.GetToken().Position
	msg, hint := explain(e.GetMessage(), d.at(at.Line, at.Column))
	d.fail(at.Line, at.Column, msg, hint)
}

// explain has words for the mistakes that people make in such files; rest is the line from the
// place of the mistake on.
func explain(msg, rest string) (string, string) {
	for _, known := range []struct{ part, msg, hint string }{
		{"cannot start any token", "a tab cannot stand here", "indent with spaces"},
		{"sequence end token ']' not found", `this "[" is never closed`, `add a "]"`},
		{"',' or ']' must be specified", `a list in brackets goes on here without a ","`, `add the "]" that ends it, or a ","`},
		{"',' or '}' must be specified", `a mapping in braces goes on here without a ","`, `add the "}" that ends it, or a ","`},
		{"could not find flow mapping end token", `this "{" is never closed`, `add a "}"`},
		{"could not find flow map content", `this "{" is never closed`, `add a "}"`},
		{"could not find end character of double-quoted", "this quote is never closed", `add a " at the end`},
		{"could not find end character of single-quoted", "this quote is never closed", "add a ' at the end"},
		{"unexpected key name", "this is not `key: value`", "put a space after the colon"},
		{"found unknown escape character", "", `in double quotes write \\ for a backslash, or use single quotes`},
		{"mapping value is not allowed", "", `put a value that has ": " in it in quotes, and check the indentation`},
		{"value is not allowed", "", "check the indentation, and put a value that begins with a special character in quotes"},
	} {
		if strings.Contains(msg, known.part) {
			if known.msg == "" {
				known.msg = "this is not valid YAML: " + msg
			}
			return known.msg, known.hint
		}
	}
	if rest != "" && strings.ContainsRune("&*!@`%|>", rune(rest[0])) {
		return unquoted(rest)
	}
	return "this is not valid YAML: " + msg, ""
}

// unquoted is the commonest mistake of all: - *.pem and - !.env.example mean something else in YAML.
func unquoted(raw string) (msg, hint string) {
	raw, _, _ = strings.Cut(raw, " #")
	raw = strings.TrimSpace(raw)
	return fmt.Sprintf("%s needs quotes: YAML gives a leading %c a meaning of its own", raw, raw[0]),
		fmt.Sprintf("write %s", quote(raw))
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// A tree turns the library's nodes into ours; it holds the lines of the source.
type tree struct {
	lines []string
	line  int    // the one that runes is
	runes []rune // of a line
}

func (t *tree) node(n ast.Node) node {
	out := node{}
	out.line, out.col = t.place(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		out.kind = null
	case *ast.StringNode:
		out.kind, out.text = text, n.Value
		out.quoted = n.Token.Type != token.StringType
		out.lines = strings.Contains(strings.TrimSpace(n.Token.Origin), "\n")
	case *ast.LiteralNode:
		out.kind, out.quoted, out.lines, out.text = text, true, true, n.Value.Value
	case *ast.IntegerNode:
		out.kind, out.text = integer, n.Token.Value
	case *ast.FloatNode:
		out.kind, out.text = float, n.Token.Value
	case *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = float, n.GetToken().Value
	case *ast.BoolNode:
		out.kind, out.text = boolean, n.Token.Value
	case *ast.SequenceNode:
		out.kind, out.flow = list, n.IsFlowStyle
		for _, v := range n.Values {
			out.items = append(out.items, t.node(v))
		}
	case *ast.MappingNode:
		out.kind, out.flow = mapping, n.IsFlowStyle
		for _, v := range n.Values {
			out.pairs = append(out.pairs, t.pair(v))
		}
		if !out.flow && len(out.pairs) > 0 { // the token of a block mapping is a colon
			out.line, out.col = out.pairs[0].key.line, out.pairs[0].key.col
		}
	case *ast.MappingValueNode:
		p := t.pair(n)
		out.kind, out.pairs, out.line, out.col = mapping, []pair{p}, p.key.line, p.key.col
	default:
		out.kind = other
	}
	return out
}

func (t *tree) pair(n *ast.MappingValueNode) pair {
	p := pair{t.node(n.Key), node{}}
	if n.Value != nil {
		p.value = t.node(n.Value)
	}
	if p.value.kind == null {
		p.value.line, p.value.col = p.key.line, p.key.col
	}
	return p
}

// place is where a token stands. The library counts columns wrong where blanks follow a scalar, so
// the token is looked for in its line.
func (t *tree) place(tok *token.Token) (line, col int) {
	at := tok.Position
	if at.Line < 1 || at.Line > len(t.lines) {
		return at.Line, at.Column
	}
	if t.line != at.Line {
		t.line, t.runes = at.Line, []rune(t.lines[at.Line-1])
	}
	origin, _, _ := strings.Cut(strings.TrimSpace(tok.Origin), "\n")
	want := []rune(origin)
	const furthest = 64
	for c := min(at.Column, len(t.runes)); c > 0 && at.Column-c < furthest; c-- {
		if rest := t.runes[c-1:]; len(want) > 0 && len(rest) >= len(want) && slices.Equal(rest[:len(want)], want) {
			return at.Line, c
		}
	}
	return at.Line, at.Column
}
