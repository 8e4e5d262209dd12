package guard

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Rule is an entry of deny_exec: a program by name, glob or path, and the words
// of a sub-command, if it has any.
//
//	curl                 the program of that name, wherever it lies, and copies of it
//	python*              every program whose name fits
//	/opt/tool/bin/x      this file, and copies of it
//	kubectl delete       this sub-command, whatever options stand between
//	git push --force     with this option
type Rule struct {
	Text string
	name string // name, glob or path
	sub  []string
}

// RuleError says what is wrong with a rule, and what to write instead.
type RuleError struct{ Problem, Hint string }

func (e *RuleError) Error() string { return e.Problem + ": " + e.Hint }

// mostWords is how many words of a sub-command a rule may have.
const mostWords = 30

// ParseRule reads an entry.
func ParseRule(text string) (r Rule, err error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return r, &RuleError{"the exec rule is empty", `write a command such as "curl", or a sub-command such as "kubectl delete"`}
	}
	if len(words) > mostWords {
		return r, &RuleError{fmt.Sprintf("the exec rule %q has too many words", text), "name the command and its sub-command"}
	}
	for _, w := range words {
		if _, err := path.Match(w, ""); err != nil {
			return r, &RuleError{fmt.Sprintf("the exec rule %q has a bracket that is not closed", text), "in a name * stands for any characters, ? for one, [ab] for a or b"}
		}
	}
	if at := words[0]; strings.Contains(at, "/") && at[0] != '/' && !strings.HasPrefix(at, "~/") {
		return r, &RuleError{fmt.Sprintf("the exec rule %q is a path that depends on the folder", text), "write the name alone, or a path that begins with / or ~/"}
	}
	return Rule{Text: text, name: words[0], sub: words[1:]}, nil
}

// ParseRules reads a list; "~/" is replaced by home.
func ParseRules(texts []string, home string) (out []Rule, err error) {
	for _, t := range texts {
		r, err := ParseRule(t)
		if err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(r.name, "~/"); ok {
			if home == "" {
				continue
			}
			r.name = path.Join(home, rest)
		}
		out = append(out, r)
	}
	return out, nil
}

// Whole says that the rule denies the program and not one of its sub-commands.
func (r *Rule) Whole() bool { return len(r.sub) == 0 }

func (r *Rule) isPath() bool { return strings.HasPrefix(r.name, "/") }
func (r *Rule) isGlob() bool { return strings.ContainsAny(r.name, "*?[") }
func (r *Rule) base() string { return path.Base(r.name) }

// Regex is the rule's first word as a regular expression over paths without
// symlinks, for an engine that judges by them; quote does so with plain text.
func (r *Rule) Regex(quote func(string) string) string {
	var b strings.Builder
	b.WriteString("/")
	if r.isPath() {
		b.Reset()
		b.WriteString("^")
	}
	for rest := r.name; rest != ""; {
		i := strings.IndexAny(rest, `*?[\`)
		if i < 0 {
			i = len(rest)
		}
		b.WriteString(quote(rest[:i]))
		if rest = rest[i:]; rest == "" {
			break
		}
		n := 1
		switch rest[0] {
		case '*':
			b.WriteString("[^/]*")
		case '?':
			b.WriteString("[^/]")
		case '\\':
			n = 2
			b.WriteString(quote(rest[1:2]))
		case '[':
			n = strings.IndexByte(rest[1:], ']') + 2
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return b.String() + "$"
}

func (r *Rule) isOneOf(names []string) bool { return slices.Contains(names, r.name) }

// means says that the rule's first word is this program.
func (r *Rule) means(a *act) bool {
	of := a.names
	if r.isPath() {
		of = a.paths
	}
	for _, n := range of {
		if fits(r.name, n) {
			return true
		}
	}
	return r.isOneOf(a.is)
}

func (r *Rule) denies(a *act) bool {
	if r.means(a) && (len(r.sub) == 0 || r.wanted(a.args)) {
		return true
	}
	if len(r.sub) == 0 || r.isPath() {
		return false
	}
	// git-push is git's push, docker-compose is docker's compose, though the file is git's.
	for _, n := range a.names {
		if rest, ok := strings.CutPrefix(n, r.name+"-"); ok && fits(r.sub[0], rest) {
			return r.wanted(a.args.after(rest))
		}
	}
	return false
}

// fits compares a word of a rule, which may be a glob.
func fits(pattern, word string) bool {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return pattern == word
	}
	ok, err := path.Match(pattern, word)
	return err == nil && ok
}

// wanted says that the words of the sub-command are what these arguments ask for.
//
// Of a tool whose options are known, these are the first words that are no
// option and no option's value. An option that is not known may or may not take
// the next word for its value; the sub-command is found either way. Of another
// tool they are any words in that order: an innocent argument of that name is
// refused, too, which is the safe error.
//
// The states are sets of how many words of the sub-command have been met, a bit
// each: those in which the next word counts, and those in which it is a value.
func (r *Rule) wanted(args Args) bool {
	t := toolOf(r.base())
	sub := t.plain(r.sub)
	next, value := uint64(1), uint64(0)
	var letters [256]bool // of the short options so far: rm -r -f is rm -rf
	for i := 0; next|value != 0; i++ {
		word, ok := args(i)
		if !ok {
			return false
		}
		for k := 1; isShort(word) && k < len(word); k++ {
			letters[word[k]] = true
		}
		n, v := value, uint64(0)
		kind := t.kindOf(word)
		switch kind {
		case takesValue:
			v |= next
		case mayTakeValue:
			n, v = n|next, v|next
		case noValue:
			n |= next
		case noOption:
			if !t.known() || t.through(word) {
				n |= next
			}
		}
		for j, s := range sub {
			if next&(1<<j) == 0 {
				continue
			}
			option := strings.HasPrefix(s, "-")
			if option && kind == noOption {
				n |= 1 << j // it may stand anywhere behind
			}
			if option && fitsOption(s, word, &letters) || !option && fits(s, word) {
				n |= 1 << (j + 1)
			}
		}
		if n&(1<<len(sub)) != 0 {
			return true
		}
		next, value = n, v
	}
	return false
}

func isShort(word string) bool { return len(word) > 1 && word[0] == '-' && word[1] != '-' }

// fitsOption compares an option that a rule names: --force is --force=yes as
// well, and -rf is -fr and -rfv, and the last of -r and -f.
func fitsOption(option, word string, letters *[256]bool) bool {
	if strings.HasPrefix(option, "--") || len(option) > 4 {
		name, _, _ := strings.Cut(word, "=")
		return fits(option, word) || fits(option, name)
	}
	if !isShort(word) || !strings.ContainsAny(word[1:], option[1:]) {
		return false
	}
	for k := 1; k < len(option); k++ {
		if !letters[option[k]] {
			return false
		}
	}
	return true
}
