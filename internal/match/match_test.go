package match

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

const (
	home    = "/home/me"
	project = "/home/me/work/app"
)

func mustParse(t testing.TB, patterns ...string) *Set {
	t.Helper()
	s, err := Parse(patterns, home)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The language, a line a rule. A path that ends in / is a directory; one that
// doesn't begin with / is in the project.
func TestMatchPath(t *testing.T) {
	tests := []struct {
		patterns string // separated by blanks, unless list is set
		list     []string
		yes, no  []string
	}{
		{patterns: ".env", yes: []string{".env", "a/b/.env", ".git/.env", ".env/", ".env/inner", "/home/me/work/app/.env"},
			no: []string{".ENV", ".env2", "x.env", "/home/me/.env", "/home/me/work/app2/.env", "/.env"}},
		{patterns: "*.pem", yes: []string{"a.pem", ".pem", "x/y/a.pem", "a.pem/"}, no: []string{"a.pem.txt", "apem", "a.PEM"}},
		{patterns: ".env.*", yes: []string{".env.local", "a/.env."}, no: []string{".env", ".envrc"}},
		{patterns: "id_*.pub", yes: []string{"id_.pub", "id_rsa.pub"}, no: []string{"id_pub", "id.pub"}},
		{patterns: "aXYa*aXYa", yes: []string{"aXYaaXYa"}, no: []string{"aXYa", "aXYaXYa"}},
		{patterns: "secrets/", yes: []string{"secrets/", "a/secrets/", "secrets/key", "a/secrets/b/c"}, no: []string{"secrets", "a/secrets", "secrets2/"}},
		{patterns: "deploy/prod.key", yes: []string{"deploy/prod.key", "deploy/prod.key/"}, no: []string{"a/deploy/prod.key", "prod.key", "/deploy/prod.key"}},
		{patterns: "./Makefile", yes: []string{"Makefile"}, no: []string{"a/Makefile"}},
		{patterns: "./Makefile/", yes: []string{"Makefile/"}, no: []string{"Makefile"}},
		{patterns: "a//b/./c", yes: []string{"a/b/c"}, no: []string{"a/b", "b/c"}},
		{patterns: "a/.", yes: []string{"a/"}, no: []string{"a", "b/a/"}},
		{patterns: ".", yes: []string{"/home/me/work/app/", "x"}, no: []string{"/home/me/work/", "/home/me/work/app2"}},
		{patterns: "a/*/c", yes: []string{"a/b/c"}, no: []string{"a/c", "a/b/b/c", "x/a/b/c"}},
		{patterns: "a/**/c", yes: []string{"a/c", "a/b/c", "a/b/b/c", "a/c/c"}, no: []string{"a/cc", "x/a/c", "ac"}},
		{patterns: "a/**", yes: []string{"a/b", "a/b/c"}, no: []string{"a/", "a", "ab"}},
		{patterns: "a/**/", yes: []string{"a/b/", "a/b/c"}, no: []string{"a/", "a/b"}},
		{patterns: "**/x", yes: []string{"x", "a/x", "a/b/x"}, no: []string{"a/xx"}},
		{patterns: "**/a/b", yes: []string{"a/b", "x/a/b", "a/a/b", "x/y/a/b"}, no: []string{"a/x/b", "b"}},
		{patterns: "a/**/b/**/c", yes: []string{"a/b/c", "a/x/b/y/b/z/c", "a/b/b/c"}, no: []string{"a/c", "a/c/b"}},
		{patterns: "**", yes: []string{"x", "a/b"}, no: []string{"/home/me/work/app/", "/etc"}},
		{patterns: "a**b", yes: []string{"ab", "axxb", "x/ab"}, no: []string{"a/b", "abc"}},
		{patterns: "*", yes: []string{"x", ".x", "a/b"}, no: []string{"/home/me/x"}},
		{patterns: "~/.ssh/", yes: []string{"/home/me/.ssh/", "/home/me/.ssh/id"}, no: []string{"/home/me/.ssh", ".ssh/", "/home/you/.ssh/"}},
		{patterns: "~/.npmrc", yes: []string{"/home/me/.npmrc"}, no: []string{".npmrc"}},
		{patterns: "~", yes: []string{"/home/me/", "x", "/home/me/y"}, no: []string{"/home/", "/home/me2"}},
		{patterns: "/etc/foo*", yes: []string{"/etc/foo", "/etc/foobar", "/etc/foo/x"}, no: []string{"/etc/fo", "etc/foo", "/x/etc/foo"}},
		{patterns: "/home/*/.aws/", yes: []string{"/home/me/.aws/x", "/home/you/.aws/"}, no: []string{"/home/.aws/", "/home/a/b/.aws/"}},
		{patterns: "/srv/**/key", yes: []string{"/srv/key", "/srv/a/b/key"}, no: []string{"/key", "/srv/keys"}},
		{patterns: "/home/me/work/app/a/b", yes: []string{"a/b"}, no: []string{"b"}},
		{patterns: "~/work/", yes: []string{"/home/me/work/", "/home/me/work/app/", "x"}, no: []string{"/home/me/worker/"}},

		{patterns: ".env.* !.env.example", yes: []string{".env.local"}, no: []string{".env.example", "a/.env.example"}},
		{patterns: "!.env.example .env.*", yes: []string{".env.example"}},
		{patterns: "*.key !pub.key a/pub.key", yes: []string{"x.key", "a/pub.key"}, no: []string{"pub.key", "b/pub.key"}},
		{patterns: "secrets/ !secrets/open", yes: []string{"secrets/open"}},
		{patterns: "secrets/* !secrets/open", yes: []string{"secrets/shut"}, no: []string{"secrets/open", "secrets/"}},
		{patterns: "secrets !secrets/", yes: []string{"secrets"}, no: []string{"secrets/"}},
		{patterns: "~/.ssh/ !.ssh/", yes: []string{"/home/me/.ssh/"}},
		{patterns: "~/.ssh/ !~/.ssh/", no: []string{"/home/me/.ssh/"}},
		{patterns: "*.pem !~/work/app/ca.pem", yes: []string{"a/ca.pem"}, no: []string{"ca.pem"}},
		{patterns: "\\!a !!a", no: []string{"!a"}},
		{patterns: "\\!a", yes: []string{"!a"}, no: []string{"a"}},

		{patterns: "?.k", yes: []string{"a.k", "é.k", "\xff.k"}, no: []string{".k", "ab.k"}},
		{patterns: "[a-c]x", yes: []string{"ax", "cx"}, no: []string{"dx", "x", "[a-c]x"}},
		{patterns: "[!a-c]x [^y]z", yes: []string{"dx", "\xffx", "az"}, no: []string{"ax", "x", "yz"}},
		{patterns: "[]x]k [!]]q", yes: []string{"]k", "xk", "aq"}, no: []string{"k", "]q"}},
		{patterns: "[[:digit:]_][[:upper:]]", yes: []string{"1A", "_Z"}, no: []string{"aA", "1a", ":A"}},
		{patterns: "[a-]k [\\]\\-]q [é]", yes: []string{"-k", "ak", "]q", "-q", "é"}, no: []string{"bk", "\\q", "e"}},
		{patterns: "*[0-9]*.bak", yes: []string{"db1.bak", "1.bak"}, no: []string{"db.bak"}},
		{patterns: "*.{pem,key}", yes: []string{"a.pem", "a.key"}, no: []string{"a.", "a.{pem,key}"}},
		{patterns: "{a,b/{c,d}}/x", yes: []string{"a/x", "b/c/x", "b/d/x"}, no: []string{"b/x", "x/a/x"}},
		{patterns: "~/{.aws,.ssh}/", yes: []string{"/home/me/.aws/", "/home/me/.ssh/k"}, no: []string{"/home/me/.a/"}},
		{patterns: "*.p !{a,b}.p", yes: []string{"c.p"}, no: []string{"a.p", "b.p"}},
		{patterns: "{x} \\{a,b} {y", yes: []string{"{x}", "{a,b}", "{y"}, no: []string{"x", "a", "y"}},
		{patterns: "[{]a,b} k{,.old}", yes: []string{"{a,b}", "k", "k.old"}, no: []string{"a"}},
		{patterns: "{[,],b}x {c,[!}]}y", yes: []string{",x", "bx", "cy", "ay"}, no: []string{"x", "}y"}},

		{list: []string{"a b"}, yes: []string{"a b"}, no: []string{"a", "b"}},
		{list: []string{" a "}, yes: []string{" a "}, no: []string{"a"}},
		{list: []string{"a\nb"}, yes: []string{"a\nb"}, no: []string{"a", "b"}},
		{list: []string{"$(id)`\"'"}, yes: []string{"$(id)`\"'"}},
		{list: []string{"#a"}, yes: []string{"#a"}},
		{list: []string{`\*\?\[x\\`}, yes: []string{`*?[x\`}, no: []string{`aab[x\`}},
		{list: []string{`~x`, `\~/y`}, yes: []string{"~x", "~/y"}, no: []string{"/home/me/y"}},
		{list: []string{"\xff\xfe"}, yes: []string{"\xff\xfe", "d/\xff\xfe"}, no: []string{"\xff\xff", "\uFFFD\uFFFD"}},
		{list: []string{"[\xff]"}, yes: []string{"\xff"}, no: []string{"\xfe", "\uFFFD"}},
		{list: []string{strings.Repeat("n", 255)}, yes: []string{strings.Repeat("n", 255)}, no: []string{strings.Repeat("n", 254)}},
		{list: []string{"*"}, yes: []string{strings.Repeat("\xff", 255)}},
		{list: nil, patterns: "", no: []string{"x", "/"}},
	}
	for _, test := range tests {
		list := test.list
		if list == nil {
			list = strings.Fields(test.patterns)
		}
		s := mustParse(t, list...)
		for _, want := range []bool{true, false} {
			paths := test.no
			if want {
				paths = test.yes
			}
			for _, p := range paths {
				path, isDir := strings.CutSuffix(p, "/")
				if !strings.HasPrefix(p, "/") {
					path = project + "/" + path
				}
				if pattern, ok := s.MatchPath(project, path, isDir); ok != want {
					t.Errorf("%q: MatchPath(%q, dir=%v) = %q, %v", list, path, isDir, pattern, ok)
				}
				filterSees(t, list, path[strings.LastIndexByte(path, '/')+1:])
			}
		}
	}
}

// filterSees puts each pattern alone to the walk's cheap filter.
func filterSees(t *testing.T, patterns []string, name string) {
	t.Helper()
	for _, pattern := range patterns {
		s := mustParse(t, pattern)
		if _, ok := s.decide(newScope(project, nil), project+"/"+name, true); ok && name != "" && !filtered(s, name) {
			t.Errorf("%q: the filter misses %q", pattern, name)
		}
	}
}

func TestMatchPathBounds(t *testing.T) {
	s := mustParse(t, "*", "~/x", "**/a/b")
	for _, path := range []string{"", ".", "x", "../x", "/", "//"} {
		if pattern, ok := s.MatchPath(project, path, true); ok {
			t.Errorf("MatchPath(%q) = %q", path, pattern)
		}
	}
	if _, ok := s.MatchPath(project, project+"/a/../../../x/", false); !ok {
		t.Error("an unclean path is not matched")
	}
	if _, ok := s.MatchPath("/", "/etc", true); !ok {
		t.Error("a project that is / has no names")
	}
	if _, ok := s.MatchPath(project, "/repo/y/a/b", false, "/other", "/repo"); !ok {
		t.Error("patterns that float don't apply to roots")
	}
	anchored := mustParse(t, "a/b")
	if _, ok := anchored.MatchPath(project, "/repo/a/b", false, "/repo"); ok {
		t.Error("a path from the project's top applies to roots")
	}
}

func TestPatternReported(t *testing.T) {
	s := mustParse(t, "*.{pem,key}", "!x", "secrets/")
	for path, want := range map[string]string{"a.key": "*.{pem,key}", "secrets/a.key": "secrets/"} {
		if got, _ := s.MatchPath(project, project+"/"+path, false); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := s.Patterns(); strings.Join(got, " ") != "*.{pem,key} !x secrets/" {
		t.Errorf("Patterns() = %q", got)
	}
}

func TestBadPatterns(t *testing.T) {
	tests := map[string]string{ // pattern: what the reason must say
		"":                                "empty",
		"!":                               "after the !",
		"[a":                              "[ without its ]",
		"a[":                              "[ without its ]",
		"[]":                              "[ without its ]",
		"[a/b]":                           "[ without its ]",
		"{a,[b}":                          "[ without its ]",
		"[\\":                             "[ without its ]",
		"[a-":                             "[ without its ]",
		"[[:nope:]]":                      "unknown class",
		"[z-a]":                           "backwards",
		"a\\":                             "backslash",
		"a\\/b":                           "backslash",
		"a\x00b":                          "NUL",
		"~you/":                           "another user",
		"~you/x":                          "another user",
		"..":                              "..",
		"a/../b":                          "..",
		"~/../x":                          "..",
		"!/a/..":                          "..",
		"\\.\\.":                          "..",
		"{a,..}/b":                        "..",
		"/":                               "whole file system",
		"//.":                             "whole file system",
		"{,a}":                            "empty alternative",
		strings.Repeat("n", 256):          "255",
		"/" + strings.Repeat("n/", 3000):  "longer than a path",
		strings.Repeat("{a,b}", 9):        "too many",
		strings.Repeat("{a,b}", 64) + "c": "too many",
	}
	for pattern, want := range tests {
		err := Check(pattern)
		var bad *PatternError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, want) || bad.Pattern != pattern {
			t.Errorf("Check(%.40q) = %v, want a reason with %q", pattern, err, want)
		}
		if _, err := Parse([]string{"ok", pattern}, home); !errors.As(err, &bad) || bad.Index != 1 {
			t.Errorf("Parse(%.40q) = %v, want an error for index 1", pattern, err)
		}
	}
	if _, err := Parse([]string{"~/x"}, ""); err == nil || !strings.Contains(err.Error(), "home directory") {
		t.Errorf("no home: %v", err)
	}
	if _, err := Parse([]string{"~/" + strings.Repeat("n", 200)}, "/"+strings.Repeat("h/", 2000)); err == nil {
		t.Error("a path that the home makes too long is taken")
	}
	s, err := Parse([]string{"~/x"}, "/h*me/[me]")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.MatchPath(project, "/h*me/[me]/x", false); !ok {
		t.Error("globs are read into the home")
	}
}

func TestVoid(t *testing.T) {
	s := mustParse(t, "~/.ssh/", "!~/.ssh/known_hosts", "secrets/", "!a/secrets/x/*", "a/*", "!a/b", ".env", "!.env")
	want := []Void{{"!~/.ssh/known_hosts", "~/.ssh/"}, {"!a/secrets/x/*", "a/*"}}
	got := s.Void(project)
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("Void() = %q, want %q", got, want)
	}
}

// Where the languages agree, doublestar is the judge.
func FuzzAgainstDoublestar(f *testing.F) {
	for _, seed := range [][2]string{{"a*b", "axb"}, {"[a-c]?", "bz"}, {"*.{pem,key}", "a.key"}, {"*a*b*", "ab"}, {"é?", "éx"}, {"a/**/b", "a/x/b"}, {"**/x/*", "a/x/y"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !agreed(pattern) || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\\") || badPath(name) || badPath(pattern) {
			t.Skip()
		}
		if !strings.Contains(pattern, "/") {
			pattern = "./" + pattern
		}
		s, err := Parse([]string{pattern}, home)
		if err != nil {
			t.Skip()
		}
		want, err := doublestar.Match(strings.TrimPrefix(pattern, "./"), name)
		if err != nil {
			t.Skip()
		}
		if _, got := s.decide(newScope("/p", nil), "/p/"+name, false); got != want {
			t.Errorf("%q, %q: %v, doublestar says %v", pattern, name, got, want)
		}
	})
}

// agreed says whether both read the pattern the same way: doublestar knows no
// [:digit:] and no []x], escapes differently in classes, takes a/** for a too,
// and braces without a comma for nothing.
func agreed(pattern string) bool {
	return utf8.ValidString(pattern) && !strings.ContainsAny(pattern, "\\!{}~\x00^\uFFFD") &&
		!strings.Contains(pattern, "[:") && !strings.Contains(pattern, "[]") &&
		!strings.Contains(pattern, "-") && !strings.Contains(pattern, "[/") && !strings.HasSuffix(pattern, "**")
}

func badPath(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." {
			return true
		}
	}
	return false
}

// FuzzMatchPath looks for panics, for a cheap filter that says no where the
// full judgement says yes, and for hangs.
func FuzzMatchPath(f *testing.F) {
	f.Add("*.{a,b}\n!x\n~/y/", "/home/me/work/app/z.a", true)
	f.Add("**/a/**/b\n/x/[[:digit:]]*\n[]a]", "/home/me/work/app/a/b", false)
	f.Add("{{{{,,\n[!a-z]\\\\", "/\xff", false)
	f.Fuzz(func(t *testing.T, patterns, path string, isDir bool) {
		s, err := Parse(strings.Split(patterns, "\n"), home)
		if err != nil {
			return
		}
		s.MatchPath(project, path, isDir)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if name == "" || !strings.HasPrefix(path, "/") {
			return
		}
		if _, ok := s.decide(newScope(project, nil), project+"/"+name, isDir); ok && !filtered(s, name) {
			t.Errorf("%q: the filter misses %q", patterns, name)
		}
	})
}

// filtered asks what a walk asks at the project's top.
func filtered(s *Set, name string) bool {
	var live []cursor
	for i := range s.rules {
		r := &s.rules[i]
		switch {
		case r.takesBack || r.base == anyDepth || r.literal && r.path == "":
		case r.base == atProject:
			live = start(live, r, 0)
		case r.base == atRoot:
			up := start(nil, r, 0)
			for _, dir := range []string{"home", "me", "work", "app"} {
				up = advance(up, dir, false)
			}
			live = append(live, up...)
		}
	}
	return s.names.might(name) || accepts(live, name)
}
