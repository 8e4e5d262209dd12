package config

import (
	"reflect"
	"testing"

	"github.com/AxeForging/aigate/internal/match"
)

// FuzzQuick holds the quick parser to the full one: what it takes, it takes alike.
func FuzzQuick(f *testing.F) {
	f.Add(string(DefaultFile()))
	for _, s := range []string{
		"deny_read:\n- a\n- \"b\" # c\n", "a: 1 # x\nb:\n  c: '2'\n\n  # y\nd: []\n", "m:\n  - regex: \"x+\"\n    show_prefix: 8\n  - regex: y\n",
		"a:\n  b:\n    - c\nd:\n", "a:\n  - b\n   - c\n", "a: b\n  c: d\n", "a:\n - b\n c: d\n", "a: b c\n", "a: 'it''s'\n", "- a\n", "a\n", "a: .5\n", "a: ~\n",
		"a:\n  - - b\n", "a: x#y\n", "a: \"x\"#y\n", "a:#y\n", "a: -\n", "a: ---\n", "a: b: c\n", "---\na: b\n", "a: b\n...\n", "a:\n\n  # z\n  b: c\n d: e\n",
		"a: 0x10\nb: 1e3\nc: 1_000\nd: 08\ne: 12:30\n", "a: 2001-01-01\n", "a: <<\n", "a:\n    - b\n  - c\n", "  a: b\nc: d\n", "a: [b, 'c' , \"d\",] # x\n", "a: [ ]\n", "a: [b c]\n", "a: [b,,c]\n", "a: [b]c\n", "a: [\"ä\", b]\n", "a: [,]\n", "a: [b\n", "- [a]\n", "a: [[b]]\n", "a: [\"b\"c]\n", "a: [b ,c]\n",
		"a: b\na: c\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := &decoder{}
		if !d.setSource([]byte(s)) {
			return
		}
		fast, ok := quick(d.src)
		if !ok {
			return
		}
		slow := d.parseFull()
		if len(d.errs) > 0 {
			t.Fatalf("quick took %q, the full parser says %v", s, d.errs)
		}
		if !reflect.DeepEqual(tidy(fast), tidy(slow)) {
			t.Fatalf("%q\nquick %+v\nfull  %+v", s, fast, slow)
		}
	})
}

// tidy makes nil and empty slices alike.
func tidy(n node) node {
	var items []node
	for _, i := range n.items {
		items = append(items, tidy(i))
	}
	var pairs []pair
	for _, p := range n.pairs {
		pairs = append(pairs, pair{tidy(p.key), tidy(p.value)})
	}
	n.items, n.pairs = items, pairs
	return n
}

func TestQuickTakesTheDefaultFile(t *testing.T) {
	if _, ok := quick(defaultFile); !ok {
		t.Error("the default file is not plain enough for the quick parser")
	}
}

// FuzzPlainPattern holds the short cut past match.Check to what that says.
func FuzzPlainPattern(f *testing.F) {
	for _, p := range []string{".env", "!.env.*", "~/.ssh/", "*.pem", "/etc/shadow", "a/../b", "**/x", "!~/a b", "x/***", "-", "//a", "~/", "a//b"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if plainPattern(p) {
			if err := match.Check(p); err != nil {
				t.Errorf("%q: %v", p, err)
			}
		}
	})
}
