package match

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// denies is what Seatbelt makes of the expressions: see sandbox.Plan.Seatbelt.
func denies(t testing.TB, rules []Regex, path string, dir bool) bool {
	t.Helper()
	is := func(expr string) bool { return regexp.MustCompile(bytewise(expr)).MatchString(latin(path)) }
	back := func(r Regex, end string) bool {
		for _, b := range r.Back {
			if is("^"+b.Body+end) && (!b.DirOnly || dir || end == "/") {
				return true
			}
		}
		return false
	}
	for _, r := range rules {
		if is("^"+r.Body+"$") && (!r.DirOnly || dir) && !back(r, "$") || is("^"+r.Body+"/") && !back(r, "/") {
			return true
		}
	}
	return false
}

// bytewise and latin have Go's regexp compare bytes: each becomes a character.
func bytewise(expr string) string { return "(?s)" + latin(expr) }

func latin(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

func parseAda(t testing.TB, patterns ...string) *Set {
	t.Helper()
	s, err := Parse(patterns, "/Users/ada")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRegexes(t *testing.T) {
	for _, tt := range []struct {
		patterns string
		denied   string // "/" at the end: as a directory
		allowed  string
	}{
		{".env", "P/.env P/a/b/.env P/.env/x P/.ENV P/.Env P/a/.eNv/b O/.env", "P/.envx P/x.env /Users/ada/.env P P/.en P/env P2/.env Q/.env"},
		{"*.pem", "P/a.pem P/.pem P/x/Y.PEM P/a\n.pem P/a.pem/b", "P/a.pemx P/pem"},
		{"secrets/", "P/secrets/ P/secrets/a P/x/SECRETS/a/b", "P/secrets P/secretsx P/xsecrets/a"},
		{"deploy/prod.key", "P/deploy/prod.key P/Deploy/PROD.key", "P/x/deploy/prod.key O/deploy/prod.key P/deploy/prodxkey"},
		{"./Makefile", "P/Makefile", "P/a/Makefile"},
		{"**/f/*.key", "P/f/a.key P/x/y/f/a.key O/f/a.key", "P/f/g/a.key P/xf/a.key"},
		{"a/**", "P/a/b P/a/b/c", "P/a P/ab"},
		{"a/**/z", "P/a/z P/a/b/c/z P/a/b/z/y", "P/az P/a/bz"},
		{"~/.ssh/", "/Users/ada/.ssh/ /Users/ada/.ssh/id /Users/ada/.SSH/id", "/Users/ada/.ssh /Users/eve/.ssh/id P/.ssh/id"},
		{"~/.config/*/token", "/Users/ada/.config/x/token", "/Users/ada/.config/token /Users/ada/.config/x/y/token"},
		{".env.* !.env.example", "P/.env.local P/.env.example.x P/.env.local/.env.example", "P/.env.example P/a/.env.example"},
		{"secrets/ !.env.example", "P/secrets/.env.example P/secrets/x", "P/.env.example"},
		{"certs/ !test/certs/", "P/certs/a P/x/certs/a P/x/test/certs/a", "P/test/certs/a P/test/certs/"},
		{"*.pem !**/node_modules/**/*.pem", "P/a.pem P/node_modules.pem", "P/node_modules/x/a.pem P/node_modules/a.pem P/y/node_modules/x/z/a.pem"},
		{"*.{pem,key} !a.pem b.*", "P/x.pem P/x.key P/b.pem", "P/a.pem"},
		{"?.key", "P/a.key P/é.key P/日.key P/😀.key", "P/.key"},
		{"[ab].key", "P/a.key P/B.key", "P/c.key"},
		{"[!ab].key", "P/c.key P/é.key", "P/.key"},
		{"[é].key", "P/é.key", "P/.key"},
		{`a\*b`, "P/a*b P/A*B", "P/axb P/ab"},
		{"a(b)|c+d^e$f.g", "P/a(b)|c+d^e$f.g", "P/a(b) P/c+d^e$f.g P/ab P/a(b)|ccd^e$f.g P/a(b)|c+d^e$fxg"},
		{"{a}", "P/{a}", "P/a"},
		{"müller.key", "P/müller.key P/mu\u0308ller.key P/MÜLLER.KEY P/MU\u0308LLER.key", "P/muller.key"},
		{"mu\u0308ller.key", "P/m\u00fcller.key P/mu\u0308ller.key", "P/muller.key"},
		{"straße", "P/straße P/STRAẞE", "P/strase"},
	} {
		place := strings.NewReplacer("P/", "/Users/ada/a(b)+c/", "O/", "/Users/ada/outer/", "P2/", "/Users/ada/a(b)+c2/", "Q/", "/Users/ada/aab+c/").Replace
		rules := parseAda(t, strings.Fields(tt.patterns)...).Regexes("/Users/ada/a(b)+c", "/Users/ada/outer")
		for want, paths := range map[bool]string{true: tt.denied, false: tt.allowed} {
			for _, path := range strings.Split(paths, " ") {
				if path == "" || path == "P" {
					continue
				}
				dir := strings.HasSuffix(path, "/")
				if got := denies(t, rules, strings.TrimSuffix(place(path), "/"), dir); got != want {
					t.Errorf("%s: %q denied: %v", tt.patterns, path, got)
					for _, r := range rules {
						t.Logf("%s  but %d", r.Body, len(r.Back))
					}
				}
			}
		}
	}
}

// What Seatbelt's expressions do not know is in none of them.
func TestRegexSyntax(t *testing.T) {
	rules := parseAda(t, "*.{pem,key}", "[[:alpha:]é-ü]?**", "a{2}", "(?i)x", "~/.ssh/", "!b[!c]", "\U0001F600").Regexes("/p {1,2}(?:x)")
	for _, r := range rules {
		for _, text := range append([]string{r.Body}, r.Ways...) {
			for _, bad := range []string{"(?", "[:", `\d`, `\x`} {
				if strings.Contains(strings.ReplaceAll(strings.ReplaceAll(text, `\(\?`, ""), `\\`, ""), bad) {
					t.Errorf("%s: %q has %q", r.Pattern, text, bad)
				}
			}
			if strings.Contains(strings.ReplaceAll(text, `\{`, ""), "{") {
				t.Errorf("%s: %q counts", r.Pattern, text)
			}
		}
	}
}

func TestRegexWays(t *testing.T) {
	var got []string
	for _, r := range parseAda(t, "a/b/c", "d/*/e", "~/.x/y", ".env").Regexes("/p") {
		got = append(got, fmt.Sprintf("%s: %s", r.Pattern, strings.Join(r.Ways, " ")))
	}
	want := `a/b/c: /p/[Aa] /p/[Aa]/[Bb]
d/*/e: /p/[Dd]
~/.x/y: /[Uu][Ss][Ee][Rr][Ss]/[Aa][Dd][Aa] /[Uu][Ss][Ee][Rr][Ss]/[Aa][Dd][Aa]/\.[Xx]
.env: `
	if all := strings.Join(got, "\n"); all != want {
		t.Errorf("got\n%s\nwant\n%s", all, want)
	}
}

// FuzzRegexes: an expression never misses what its pattern names.
func FuzzRegexes(f *testing.F) {
	f.Add("*.pem", "a/b.pem")
	f.Add("secrets/\n!x", "secrets/x")
	f.Add("**/n[a-c]/é?\n.*", "q/nb/éü")
	f.Fuzz(func(t *testing.T, patterns, rel string) {
		list := strings.Split(patterns, "\n")
		if strings.Contains(patterns, "!") {
			return // TestRegexes says what they take back
		}
		s, err := Parse(list, "/Users/ada")
		path := "/p/" + rel
		if err != nil || strings.Contains(path, "//") || strings.Contains(path, "/./") || strings.Contains(path, "/../") ||
			strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..") || strings.ContainsRune(path, 0) {
			return
		}
		if strings.ToValidUTF8(patterns+rel, "") != patterns+rel {
			return // no name on a Mac
		}
		if by, ok := s.MatchPath("/p", path, true); ok && !denies(t, s.Regexes("/p"), path, true) {
			t.Fatalf("%q names %q, %+v does not", by, path, s.Regexes("/p"))
		}
	})
}
