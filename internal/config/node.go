package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A node is the little of YAML that a configuration uses, with positions. The decoder and the
// editor work on nodes alone; only this file knows the YAML library.
type node struct {
	kind      kind
	text      string // a scalar's value; what stands there for other
	quoted    bool
	lines     bool // a scalar that runs over several lines
	line, col int  // from 1, col in characters

	items   []node // of a list
	pairs   []pair // of a mapping
	flow    bool   // written in [] or {}
	endLine int    // where a flow list or mapping is closed
	endCol  int
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
	s := strings.TrimPrefix(string(src), "\ufeff")
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
	file, err := parser.Parse(lexer.Tokenize(d.src), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return node{}
	}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			t := doc.Body.GetToken()
			d.fail(t.Position.Line, t.Position.Column, "a second YAML document begins here", "one file holds one document; remove the line ---")
			return node{}
		}
		if i == 0 && doc.Body != nil {
			root = fromAST(doc.Body)
		}
	}
	return root
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

func fromAST(n ast.Node) node {
	at := n.GetToken().Position
	out := node{line: at.Line, col: at.Column, text: n.GetToken().Value}
	switch n := n.(type) {
	case *ast.NullNode:
		out.kind = null
	case *ast.StringNode:
		out.kind = text
		out.quoted = n.Token.Type != token.StringType
		out.lines = strings.Contains(strings.TrimSpace(n.Token.Origin), "\n")
		out.text = n.Value
	case *ast.LiteralNode:
		out.kind, out.quoted, out.lines, out.text = text, true, true, n.Value.Value
	case *ast.IntegerNode:
		out.kind = integer
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind = float
	case *ast.BoolNode:
		out.kind = boolean
	case *ast.SequenceNode:
		out.kind, out.flow = list, n.IsFlowStyle
		for _, v := range n.Values {
			out.items = append(out.items, fromAST(v))
		}
		if n.IsFlowStyle && n.End != nil {
			out.endLine, out.endCol = n.End.Position.Line, n.End.Position.Column
		}
	case *ast.MappingNode:
		out.kind, out.flow = mapping, n.IsFlowStyle
		for _, v := range n.Values {
			out.pairs = append(out.pairs, pair{fromAST(v.Key), fromAST(v.Value)})
		}
		if n.IsFlowStyle && n.End != nil {
			out.endLine, out.endCol = n.End.Position.Line, n.End.Position.Column
		} else if len(out.pairs) > 0 {
			out.line, out.col = out.pairs[0].key.line, out.pairs[0].key.col // the token is the colon
		}
	case *ast.MappingValueNode:
		out.kind = mapping
		out.pairs = []pair{{fromAST(n.Key), fromAST(n.Value)}}
		out.line, out.col = out.pairs[0].key.line, out.pairs[0].key.col
	default:
		out.kind = other
	}
	return out
}
