package mask

import (
	"math/rand"
	"strings"
	"testing"
)

// randomRegex is a small pattern over a small alphabet.
func randomRegex(rnd *rand.Rand, depth int) string {
	pick := func(s ...string) string { return s[rnd.Intn(len(s))] }
	if depth == 0 || rnd.Intn(3) == 0 {
		return pick("a", "b", "ab", "abc", "é", "[ab]", "[^a]", ".", `\S`, `\w`, `\s`, "[à-ï]", "(?i:a)", `\b`, `\B`, "^", "$", "[a-c]", `\d`, "cab", "k")
	}
	sub := func() string { return "(?:" + randomRegex(rnd, depth-1) + ")" }
	switch rnd.Intn(6) {
	case 0:
		return sub() + pick("*", "+", "?", "{2}", "{1,3}", "{2,}", "+?")
	case 1:
		return sub() + "|" + sub()
	default:
		return sub() + sub()
	}
}

// Any pattern gives what the reference gives, with others beside it, however the text is cut, with a filter or without.
func TestRandomPatterns(t *testing.T) {
	rnd := rand.New(rand.NewSource(7))
	letters := strings.Split("a b c é à k K K 1 _ \n \r \xff \x1b[1m \x1b[H", " ")
	tried := 0
	for n := range 4000 {
		var r Rules
		for range 1 + rnd.Intn(3) {
			r.Patterns = append(r.Patterns, Pattern{Regex: randomRegex(rnd, 3), ShowPrefix: rnd.Intn(4), CaseInsensitive: rnd.Intn(4) == 0})
		}
		m, err := New(r)
		if err != nil {
			continue // matches the empty text
		}
		tried++
		var in strings.Builder
		for range rnd.Intn(25) {
			in.WriteString(letters[rnd.Intn(len(letters))])
			if rnd.Intn(6) == 0 {
				in.WriteString(" ")
			}
		}
		want := reference(r, in.String())
		for range 3 {
			if got := pieces(m, in.String(), rnd, 1+rnd.Intn(10)); got != want {
				t.Fatalf("%d: %+v: %q\n gives %q\n want  %q", n, r.Patterns, in.String(), got, want)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d of the patterns can be used", tried)
	}
}

// FuzzKnown: whatever a denied file holds, its values can be masked, and are.
func FuzzKnown(f *testing.F) {
	f.Add("A_KEY=hunter2hunter2\n", "B_TOKEN=x'y\"z&w abc")
	f.Add("export K=\"a\\\"b\nc d e f g h\" # x\nJ='", "U=postgres://a:b/c@d")
	f.Fuzz(func(t *testing.T, file, env string) {
		values := Known([]string{env}, [][]byte{[]byte(file)}, []string{"home"})
		if len(file)+len(env) > 500 || len(values) == 0 {
			return
		}
		m, err := New(Rules{Values: values})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x1b") { // not on one line
				continue
			}
			if got := whole(m, "x "+v+" y"); strings.Contains(got, v) {
				t.Errorf("%q gives %q", v, got)
			}
		}
	})
}
