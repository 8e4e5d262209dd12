package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Text writes a report for people. A finding can be written as soon as it is there.
type Text struct {
	W        io.Writer
	Colour   bool
	Managers []string // whose commands are shown; nil: those that the machine has
}

const (
	green, yellow, red, dim, plain = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
)

// mark is the word in front of a line, and its colour.
func mark(r Result) (word, colour string) {
	switch r {
	case OK:
		return "ok", green
	case Warn:
		return "warn", yellow
	case Fail:
		return "fail", red
	}
	return "--", dim
}

// Finding writes a line of the table.
func (t *Text) Finding(f Finding) {
	if f.quiet && f.Result == OK {
		return
	}
	word, colour := mark(f.Result)
	begin := t.colour(colour, word) + strings.Repeat(" ", 5-len(word))
	state := f.State
	if f.For != "" {
		state = fmt.Sprintf("%-8s — %s", f.State, f.For)
	}
	fmt.Fprintf(t.W, "  %s %-16s %s\n", begin, f.Name, state)
}

func (t *Text) colour(c, text string) string {
	if !t.Colour {
		return text
	}
	return c + text + plain
}

// Verdict writes what the table comes to: what is weaker and how to change it, then the mode.
func (t *Text) Verdict(r *Report) {
	if weaker := r.Weaker(); len(weaker) > 0 {
		fmt.Fprintf(t.W, "\nWhat is missing or weaker here, and what to do:\n")
		for _, f := range weaker {
			t.weaker(f)
		}
	}
	switch {
	case strings.Contains(r.Why, "\n"): // mistakes in a file, with their lines
		fmt.Fprintf(t.W, "\n`aigate run` refuses:\n%s\n", r.Why)
	case r.Why != "":
		fmt.Fprintln(t.W)
		t.wrap("", "`aigate run` refuses: "+r.Why)
	}
	colour := green
	if !r.Works {
		colour = red
	}
	fmt.Fprintf(t.W, "\nIsolation mode: %s\n", t.colour(colour, r.Mode))
}

func (t *Text) weaker(f Finding) {
	fmt.Fprintln(t.W)
	says := f.Name
	if f.Why != "" {
		says += ": " + f.Why
	} else {
		says += ": " + f.State
	}
	t.wrap("  ", says)
	if f.Without != "" {
		t.wrap("      ", f.Without)
	}
	for _, fix := range append(slices.Clone(f.Fix), t.install(f)...) {
		fmt.Fprintf(t.W, "      fix: %s\n", fix) // not wrapped: to be copied
	}
}

// install gives the commands of the package managers that are here, or of all.
func (t *Text) install(f Finding) (out []string) {
	show := t.Managers
	if show == nil {
		show = here()
	}
	for _, m := range show {
		if c, ok := f.Install[m]; ok {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		for _, m := range managers {
			if c, ok := f.Install[m.name]; ok {
				out = append(out, c)
			}
		}
	}
	return out
}

// wrap breaks a sentence into lines of at most 100 columns.
func (t *Text) wrap(indent, text string) {
	const width = 100
	line := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len([]rune(line))+1+len([]rune(word)) > width:
			fmt.Fprintln(t.W, line)
			line = indent + word
		default:
			line += " " + word
		}
	}
	fmt.Fprintln(t.W, line)
}
