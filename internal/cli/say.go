package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/AxeForging/aigate/internal/config"
)

// What aigate says holds names of files, of commands and of hosts, and those may be the payload's. A
// line feed in one would begin a line that looks like ours, an escape sequence would act on the
// terminal. This file is where all of it passes.

// say is a line of aigate's own. Its arguments are quoted where they would be more than text in it.
func say(format string, args ...any) {
	fmt.Fprintln(os.Stderr, "[aigate] "+line(format, args...))
}

// line formats with arguments that cannot leave the line.
func line(format string, args ...any) string {
	safe := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			safe[i] = printable(a)
		case error:
			safe[i] = told(a)
		case fmt.Stringer:
			safe[i] = printable(a.String())
		default: // numbers, and words of ours
			safe[i] = a
		}
	}
	return ownLines(fmt.Sprintf(format, safe...))
}

// report writes an error and gives its exit status.
func report(w io.Writer, err error) int {
	var status exitStatus
	if err == nil {
		return 0
	} else if errors.As(err, &status) {
		return int(status)
	}
	var all config.Errors
	if errors.As(err, &all) {
		for _, one := range all {
			fmt.Fprintf(w, "[aigate] %s\n", ownLines(one.Error()))
		}
		return 1
	}
	text := strings.TrimSpace(told(err))
	if strings.HasPrefix(text, "unknown command") {
		text += "\nsee `aigate --help`; to run a command in the sandbox: aigate run -- command"
	}
	fmt.Fprintf(w, "[aigate] %s\n", text)
	var own statusError
	if errors.As(err, &own) {
		return own.status
	}
	return 1
}

// told is the text of an error, which may have several lines of our own.
func told(err error) string {
	text := err.Error()
	var at *fs.PathError
	if errors.As(err, &at) && at.Path != "" {
		text = strings.ReplaceAll(text, at.Path, printable(at.Path))
	}
	return ownLines(text)
}

// ownLines is a text of several lines as a terminal may get it. None but the first looks like the
// beginning of something that aigate says.
func ownLines(s string) string {
	all := strings.Split(s, "\n")
	for i, one := range all {
		if strings.HasPrefix(strings.TrimSpace(one), "[aigate]") && i > 0 {
			one = "  | " + one
		}
		all[i] = escaped(one)
	}
	return strings.Join(all, "\n")
}

// printable is s as a terminal may get it; names of files can hold anything.
func printable(s string) string {
	if plain(s) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// escaped is printable in the middle of a text of ours: without quotes, and with its tabs.
func escaped(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		if r == '\t' || strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteToASCII(s[i : i+size])
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// plain says that nothing in s is more than a character of text: no control character, no mark that
// turns the direction of writing, no broken UTF-8.
func plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) < 0
}
