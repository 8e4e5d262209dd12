// Package match is the pattern language of deny_read, deny_write and
// allow_write, and the walk that finds what the patterns name.
//
// # The language
//
// A list of patterns reads like a .gitignore at the top of the project:
//
//	.env  *.pem           a name or glob without a slash, at any depth of the project
//	secrets/              a trailing slash names directories only
//	deploy/prod.key       a slash inside ties the pattern to the project's top
//	./Makefile            so does a leading ./
//	**/fixtures/*.key     ** stands for any number of directories, also none
//	~/.ssh/  ~/.config/*/token  /etc/ssl/private/
//	                      ~/ and / lead to fixed places, wherever the project is
//	!.env.example         takes back what an earlier pattern named
//
// The last pattern that matches a path decides. As in gitignore, what lies in
// a matched directory is not looked at again, so nothing inside it can be
// taken back: write `~/.aws/*` and `!~/.aws/config`, not `~/.aws/` and
// `!~/.aws/config`. Set.Void lists take-backs that cannot work.
//
// In a name, * is any run of characters, ? is one character, [a-z] [!a-z]
// [^a-z] [[:digit:]] are one character of (or not of) a class, and \ takes the
// meaning from the character after it. Two things go beyond gitignore: names
// may hold any byte but / and NUL, UTF-8 or not, and {a,b} stands for either
// as it does in a shell, because `*.{pem,key}` that silently names nothing
// would be a secret read. Matching is case sensitive. There are no comments
// and no trimmed blanks: the list comes from YAML, not from lines.
//
// # Links
//
// A symlink is matched by its own name, and by a directory pattern when it
// leads to a directory. The walk does not descend into symlinked directories,
// except where a pattern spells the way through one (`config/prod.key` where
// config is a link): that file can be read by this path, so it is found.
//
// # What the walk promises
//
// What a pattern names when the walk starts, and the caller could read, is in
// Result.Found, or lies in a directory listed in Found or Result.Unreadable,
// or Walk returns an error. One exception is inherent: in a directory that
// belongs to somebody else and may be entered but not listed, only names that
// a pattern spells out can be tried. What changes during the walk is for a
// watcher: Options.OnDir is called before a directory is read, so a watch
// placed there misses nothing.
package match

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Set is a compiled, ordered list of patterns. It may be used concurrently.
type Set struct {
	patterns []string
	rules    []rule
	names    nameFilter

	// ways is what the last walk knows of the symlinks that lead to fixed
	// places; a Set that never walked compares paths as they are written.
	ways atomic.Pointer[ways]
}

// Found is one thing that a pattern names.
type Found struct {
	Path    string // absolute, as found: a symlink's own path, not what it leads to
	Dir     bool   // a directory, or a symlink that leads to one
	Symlink bool
	Pattern string // the pattern that named it, as it was written
}

// PatternError says which pattern is wrong and why, in words for its author.
type PatternError struct {
	Index   int // in the list that was parsed
	Pattern string
	Reason  string
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern %q %s", e.Pattern, e.Reason)
}

// Parse compiles a list of patterns. home is what ~ stands for. The error, if
// any, is a *PatternError.
func Parse(patterns []string, home string) (*Set, error) {
	p := newParser(patterns, home)
	for i, pattern := range patterns {
		first := len(p.rules)
		if reason := p.parse(pattern); reason != "" {
			return nil, &PatternError{Index: i, Pattern: pattern, Reason: reason}
		}
		for j := first; j < len(p.rules); j++ {
			p.rules[j].pattern = i
		}
	}
	s := &Set{patterns: slices.Clone(patterns), rules: p.rules}
	s.names.fill(s.rules)
	return s, nil
}

// Check says whether Parse would take the pattern, without knowing the home.
func Check(pattern string) error {
	if reason := newParser(nil, "/home").parse(pattern); reason != "" {
		return &PatternError{Pattern: pattern, Reason: reason}
	}
	return nil
}

// Patterns returns the patterns as they were given.
func (s *Set) Patterns() []string { return slices.Clone(s.patterns) }

// Void is a take-back without effect, and the pattern that makes it so.
type Void struct{ Pattern, Because string }

// Void lists the `!` patterns that cannot take anything back, because another
// pattern names a directory they lead through. Only ways that are spelled out
// are judged.
func (s *Set) Void(project string) []Void {
	var void []Void
	in := &scope{project: project}
	for i := range s.rules {
		r := &s.rules[i]
		if !r.takesBack || r.base == anyDepth {
			continue
		}
		way := r.way()
		for n := 1; n <= len(way); n++ {
			if n < len(way) && way[n] != '/' {
				continue
			}
			path := way[:n]
			if r.base == atProject {
				path = join(project, path)
			}
			if by, ok := s.decide(in, path, true); ok {
				void = append(void, Void{Pattern: s.patterns[r.pattern], Because: by})
				break
			}
		}
	}
	return void
}
