package match

import (
	"slices"
	"testing"
)

func TestAnchor(t *testing.T) {
	for _, tt := range []struct {
		pattern, dir string
		want         []string
	}{
		{"x.txt", "/p", []string{"/p/**/x.txt"}},
		{"!*.pem", "/p", []string{"!/p/**/*.pem"}},
		{"vault/", "/p", []string{"/p/**/vault/"}},
		{"a/b", "/p", []string{"/p/a/b"}},
		{"./Makefile", "/p", []string{"/p/./Makefile"}},
		{"**/k", "/p", []string{"/p/**/k"}},
		{".", "/p", []string{"/p/."}},
		{"{a,b/c,~/d,/e}", "/p", []string{"/p/**/a", "/p/b/c", "~/d", "/e"}},
		{"~x", "/p", []string{"/p/**/~x"}},
		{"x", "/odd [1]{a,b}", []string{`/odd \[1\]\{a,b\}/**/x`}},
	} {
		if got := Anchor(tt.pattern, tt.dir); !slices.Equal(got, tt.want) {
			t.Errorf("Anchor(%q, %q) = %q, want %q", tt.pattern, tt.dir, got, tt.want)
		}
	}
}

// TestAnchored: an anchored pattern means in any project what it meant in its own.
func TestAnchored(t *testing.T) {
	paths := []string{"/odd [1]/x", "/odd [1]/s/x", "/odd [1]/s/d/x", "/odd [1]/a/b", "/odd [1]/s/a/b", "/x", "/odd 1/x"}
	for _, pattern := range []string{"x", "x/", "a/b", "./x", "**/b", "{x,a/b}", "s/*/x", "*"} {
		own, err := Parse([]string{pattern}, "/home/u")
		if err != nil {
			t.Fatal(err)
		}
		there, err := Parse(Anchor(pattern, "/odd [1]"), "/home/u")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			_, want := own.MatchPath("/odd [1]", path, false)
			if _, got := there.MatchPath("/odd [1]/s", path, false); got != want {
				t.Errorf("%q names %s: %v, anchored %v", pattern, path, want, got)
			}
		}
	}
}
