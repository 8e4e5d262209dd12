package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is one mistake in a file, told so that the user can mend it.
type Error struct {
	File      string
	Line, Col int    // from 1, Col in characters; 0 when the file as a whole is meant
	Msg       string // what is wrong
	Source    string // the line
	Hint      string // what to do

	cause error
}

// Errors is everything that is wrong with a file, in its order. errors.As finds the first *Error.
type Errors []*Error

func (e *Error) Unwrap() error { return e.cause }

// Error gives several lines: the place and the mistake, the line with a caret, the hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(printable(e.File))
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	b.WriteString(": " + printable(e.Msg))
	if e.Line > 0 {
		line, pad := excerpt(e.Source, e.Col)
		number := fmt.Sprintf("%4d | ", e.Line)
		fmt.Fprintf(&b, "\n%s%s\n%s%s^", number, line, strings.Repeat(" ", len(number)-2)+"| ", pad)
	}
	if e.Hint != "" {
		b.WriteString("\nhint: " + printable(e.Hint))
	}
	return b.String()
}

func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "\n")
}

func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

func fileError(path string, cause error, hint string) *Error {
	return &Error{File: path, Msg: cause.Error(), Hint: hint, cause: cause}
}

// excerpt cuts a long line down to the part around the column, and gives the blank that puts a
// caret under it.
func excerpt(line string, col int) (text, pad string) {
	const before, width = 60, 100
	runes := []rune(line)
	at := min(max(col-1, 0), len(runes))
	prefix := ""
	if at > before {
		runes, at, prefix = runes[at-before:], before, "…"
	}
	if len(runes) > width {
		runes = append(runes[:width:width], '…')
	}
	var p strings.Builder
	p.WriteString(strings.Repeat(" ", utf8.RuneCountInString(prefix)))
	for _, r := range runes[:at] {
		if r == '\t' {
			p.WriteByte('\t') // the terminal widens both lines alike
		} else {
			p.WriteByte(' ')
		}
	}
	return prefix + printable(string(runes)), p.String()
}

// printable keeps a file from a stranger's repository from driving the terminal that shows it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
