package config

import (
	"errors"
	"fmt"
	"math"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/guard"
	"github.com/AxeForging/aigate/internal/mask"
	"github.com/AxeForging/aigate/internal/match"
)

// A problem is what is wrong with one value, and what to write instead.
type problem struct{ msg, hint string }

func wrong(hint, format string, args ...any) *problem {
	return &problem{msg: fmt.Sprintf(format, args...), hint: hint}
}

// Check says whether value may stand in the list called key. The error is one line for a user.
func Check(key, value string) error { return checkEntry(key, value).line() }

// CheckRegex says whether expr may stand in mask_stdout.patterns. The error is one line for a user.
func CheckRegex(expr string) error { return checkRegex(expr).line() }

// line is nil when there is no problem.
func (p *problem) line() error {
	switch {
	case p == nil:
		return nil
	case p.hint != "":
		return fmt.Errorf("%s: %s", p.msg, p.hint)
	}
	return errors.New(p.msg)
}

func checkEntry(key, value string) *problem {
	if strings.ContainsAny(value, "\n\r\x00") {
		return wrong("", "a %s entry cannot hold a line break or a NUL", key)
	}
	switch key {
	case "deny_exec":
		return checkExec(value)
	case "deny_env":
		return checkEnv(value)
	case "allow_net":
		return checkNet(value)
	}
	return checkPattern(value)
}

// checkPattern asks the pattern language; see package match.
func checkPattern(s string) *problem {
	if s == "" {
		return wrong("write a name, or remove the line", "the pattern is empty")
	}
	if strings.TrimSpace(s) != s {
		return wrong("write "+quote(strings.TrimSpace(s)), "the pattern %q begins or ends with a blank", s)
	}
	if plainPattern(s) {
		return nil
	}
	var bad *match.PatternError
	if err := match.Check(s); errors.As(err, &bad) {
		return wrong("`aigate help config` shows the pattern language", "the pattern %q %s", s, bad.Reason)
	}
	return nil
}

// plainPattern knows the patterns that need no second look, nearly all: match.Check takes as long
// for the default file as everything else here together.
func plainPattern(s string) bool {
	s = strings.TrimPrefix(s, "!")
	s = strings.TrimPrefix(s, "~/")
	if s == "" || len(s) > 200 || strings.Contains(s, "**") || strings.Contains(s, "..") {
		return false
	}
	word := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
			word = true
		case c != '.' && c != '/' && c != '_' && c != '-' && c != '*' && c != ' ':
			return false
		}
	}
	return word
}

// checkExec takes a command, by name or path, with the words of a sub-command behind it.
func checkExec(s string) *problem {
	words := strings.Fields(s)
	switch {
	case len(words) == 0:
		return wrong(`write a command such as "curl", or a sub-command such as "kubectl delete"`, "the exec rule is empty")
	case strings.Join(words, " ") != s:
		return wrong("write "+quote(strings.Join(words, " ")), "the exec rule %q has blanks to spare", s)
	case strings.HasPrefix(s, "!"):
		return wrong("to allow a command remove its rule: `aigate allow exec "+strings.TrimPrefix(s, "!")+"`", "deny_exec takes nothing back, %q begins with !", s)
	case strings.ContainsAny(s, "|&;<>$`()\"'\\"):
		return wrong("name one command, such as "+quote(strings.Trim(words[0], "|&;<>$`()\"'\\")), "the exec rule %q is a shell expression", s)
	}
	var bad *guard.RuleError
	if _, err := guard.ParseRule(s); errors.As(err, &bad) {
		return &problem{bad.Problem, bad.Hint}
	}
	return nil
}

// checkEnv takes the name of a variable with * and ? in it, perhaps behind a !.
func checkEnv(s string) *problem {
	name := strings.TrimPrefix(s, "!")
	switch {
	case name == "":
		return wrong(`write a name such as "AWS_*"`, "the name of the variable is empty")
	case strings.HasPrefix(name, "$"):
		return wrong("write "+quote(strings.Trim(name, "${}")), "%q is the variable's value, deny_env takes its name", s)
	case strings.Contains(name, "="):
		bare, _, _ := strings.Cut(name, "=")
		return wrong("write "+quote(bare), "%q holds a value, deny_env takes names", s)
	case strings.ContainsAny(name, " \t!"):
		return wrong("write one name an entry", "%q is no name of a variable", s)
	case strings.ContainsAny(name, "[]"):
		return wrong("use * and ?", "%q has brackets, but names know only the wildcards * and ?", s)
	}
	return nil
}

// checkNet asks the gate, whose language it is.
func checkNet(s string) *problem {
	var bad *gate.RuleError
	if _, err := gate.ParseRule(s); errors.As(err, &bad) {
		return &problem{bad.Problem, bad.Hint}
	}
	return nil
}

// parseSize reads "4G", "512M", "1.5GiB" or a number of bytes. Units are powers of 1024.
func parseSize(s, what string, least float64) (int64, *problem) {
	const hint = `write a size such as "4G" or "512M", without a blank; leaving the key out is no limit`
	unit := strings.TrimLeft(s, "0123456789.")
	value, err := strconv.ParseFloat(strings.TrimSuffix(s, unit), 64)
	if err != nil {
		return 0, wrong(hint, "bad size %q", s)
	}
	shift := -1
	if unit = strings.ToUpper(unit); unit != "" {
		shift = strings.IndexByte("KMGT", unit[0])
	}
	if unit == "" || unit == "B" {
		shift = 0
	} else if rest := unit[1:]; shift < 0 || rest != "" && rest != "B" && rest != "IB" {
		return 0, wrong(hint, "bad size %q: unknown unit %q", s, unit)
	} else {
		shift = 10 * (shift + 1)
	}
	bytes := value * float64(int64(1)<<shift)
	switch {
	case bytes < least:
		return 0, wrong(hint, "a %s of %q is too small to start anything", what, s)
	case bytes >= math.MaxInt64:
		return 0, wrong(hint, "a %s of %q is more than there can be", what, s)
	}
	return int64(bytes), nil
}

// checkAccount takes what useradd would.
func checkAccount(s string) *problem {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') || i >= 32 {
			return wrong("use up to 32 letters, digits, - and _, a letter first", "%q is no account name", s)
		}
	}
	if s == "" {
		return wrong("write a name, or remove the line", "the account name is empty")
	}
	return nil
}

func checkRegex(expr string) *problem {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		if e, ok := err.(*syntax.Error); ok {
			return wrong("patterns are RE2: no lookaround, no backreferences; write \\ as \\\\ in double quotes", "bad regex: %s: %s", e.Code, e.Expr)
		}
		return wrong("", "bad regex: %s", err)
	}
	if mask.Size(re) > mask.MaxSize {
		return wrong(fmt.Sprintf("the limit is %d characters, repeated ones counted", mask.MaxSize), "the regex is too large")
	}
	if expr == "" || mask.Shortest(re) == 0 {
		return wrong("make it match at least one character: + instead of *", "the regex %s matches the empty string, so it would mask everywhere", expr)
	}
	return nil
}

// checkSizes bounds all patterns of a file together.
func (d *decoder) checkSizes(p MaskPattern) *problem {
	if re, err := syntax.Parse(p.Regex, syntax.Perl); err == nil {
		d.patterns += mask.Size(re)
	}
	if d.patterns > mask.MaxSize {
		return wrong(fmt.Sprintf("the limit is %d characters, repeated ones counted", mask.MaxSize), "the patterns up to this one are too large together")
	}
	return nil
}

// checkPrefix refuses a prefix that shows every match whole.
func checkPrefix(p MaskPattern) *problem {
	flags := syntax.Perl
	if p.CaseInsensitive {
		flags |= syntax.FoldCase
	}
	re, err := syntax.Parse(p.Regex, flags)
	if err != nil {
		return nil
	}
	if most := longest(re); p.ShowPrefix > 0 && most >= 0 && p.ShowPrefix >= most {
		return wrong(fmt.Sprintf("a match has at most %d bytes; show fewer", most), "show_prefix: %d would show the whole secret", p.ShowPrefix)
	}
	return nil
}

// longest is the length of the longest match in bytes, -1 when there is no end to it.
func longest(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return 4 * len(re.Rune)
		}
		return len(string(re.Rune))
	case syntax.OpCharClass:
		if n := len(re.Rune); n > 0 {
			return len(string(re.Rune[n-1]))
		}
		return 0
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 4
	case syntax.OpCapture, syntax.OpQuest:
		return longest(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus:
		return -1
	case syntax.OpRepeat:
		if n := longest(re.Sub[0]); re.Max >= 0 && n >= 0 {
			return re.Max * n
		}
		return -1
	case syntax.OpConcat, syntax.OpAlternate:
		sum := 0
		for _, sub := range re.Sub {
			n := longest(sub)
			switch {
			case n < 0:
				return -1
			case re.Op == syntax.OpConcat:
				sum += n
			default:
				sum = max(sum, n)
			}
		}
		return sum
	}
	return 0
}
