package mask

import (
	"bytes"
	"math/rand"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		p        Pattern
		in, want string
	}{
		{Pattern{Regex: `myapp-secret-[a-z0-9]+`}, "x myapp-secret-abc1 y", "x *** y"},
		{Pattern{Regex: `token-[a-zA-Z0-9]{16}`, ShowPrefix: 8}, "token-ABCDEFGHIJKLMNOP", "token-AB***"},
		{Pattern{Regex: `(?:password|secret|token)\s*[=:]\s*\S+`, CaseInsensitive: true}, "PASSWORD = x\r\nTokEn:y z", "***\r\n*** z"},
		{Pattern{Regex: `[a-z]{3,}`, ShowPrefix: 8}, "ab abcdefghijk", "ab ab***"},
		{Pattern{Regex: `secret=\S+`, ShowPrefix: 10}, "secret=ab", "secret=***"},
		{Pattern{Regex: `a.*b`}, "xa1b2b3\nb", "x***3\nb"},
		{Pattern{Regex: `^key$`}, "key\nkey2\r\nkey", "***\nkey2\r\n***"},
		{Pattern{Regex: `\bpin\b`}, "pin spin pin", "*** spin ***"},
		{Pattern{Regex: `ü+`}, "xüüÜ", "x***Ü"},
		{Pattern{Regex: `ü+`, CaseInsensitive: true}, "xüüÜ", "x***"},
		{Pattern{Regex: `pw=\S+`}, "pw=a\xff\xfeb c", "*** c"},
		{Pattern{Regex: `pw=\S+`}, "pw=a\x1b[31mb\x1b[0m c", "***\x1b[31m\x1b[0m c"},
		{Pattern{Regex: `pw=\S+`}, "pw=a\x1b[2;1Hbc", "***\x1b[2;1Hbc"},
		{Pattern{Regex: `pw=\S+`}, "\x1b]8;;http://x/?pw=a\x07text\x1b]8;;\x07", "\x1b]8;;http://x/?***\x07text\x1b]8;;\x07"},
		{Pattern{Regex: `pw=\S+`}, "pw=a\x1b]8;;http://x/\x1b\\b c", "***\x1b]8;;http://x/\x1b\\ c"},
	} {
		m := mustNew(t, Rules{Patterns: []Pattern{c.p}})
		if got := whole(m, c.in); got != c.want {
			t.Errorf("%+v: %q gives %q, want %q", c.p, c.in, got, c.want)
		}
		if got := reference(Rules{Patterns: []Pattern{c.p}}, c.in); got != c.want {
			t.Errorf("reference, %+v: %q gives %q, want %q", c.p, c.in, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, r := range []Rules{
		{Presets: []string{"opnai"}},
		{Patterns: []Pattern{{Regex: `(`}}},
		{Patterns: []Pattern{{Regex: `a*`}}},
		{Patterns: []Pattern{{Regex: `\b`}}},
		{Patterns: []Pattern{{Regex: ``}}},
	} {
		if _, err := New(r); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}

// What leaves when, one step a line: what comes and what leaves; "…" is a silence, "." the end.
func TestHeld(t *testing.T) {
	rules := Rules{
		Presets:  []string{"openai", "bearer", "jwt"},
		Patterns: []Pattern{{Regex: `(?:password|secret)\s*[=:]\s*\S+`, CaseInsensitive: true}},
		Values:   []string{"hunter2hunter2"},
	}
	for _, steps := range [][]string{
		{"Password: ", "", "…", "Password: ", "x", "***", "yz", "", " .", " ."},
		{"$ ", "$ ", "l", "l", "s", "", "…", "s", "\r\n", "\r\n"},
		{"sk-", "sk-", "a", "", "…", "", "b", "", "\n", "ab\n"},
		{"sk-" + r20[:16], "sk-***", r20, "", "\n", "\n"},
		{"sk-" + r20[:15], "sk-", ".", r20[:15]},
		{"Bearer ", "Bearer ", "a1B2c3D", "", "4", "***"},
		{"hu", "", "…", "hu", "nter2hunter2", "***", "x", "x"},
		{"hunt", "", "…", "", "er", "", "e", "huntere"},
		{"\x1b[", "\x1b[", "31m", "31m"},
		{"\xe2", "\xe2", "\x82", "\x82"},
		{"eyJ", "eyJ", "hbGciOiJIUzI1NiJ9", "", "…", "", " ", "hbGciOiJIUzI1NiJ9 "},
	} {
		s := mustNew(t, rules).Stream()
		for i := 0; i < len(steps); i += 2 {
			var got string
			switch steps[i] {
			case "…":
				if waiting := s.Waiting(); waiting != (steps[i+1] != "") {
					t.Errorf("%q: at step %d Waiting is %v", steps, i, waiting)
				}
				got = string(s.Idle())
			case ".":
				got = string(s.End())
			default:
				got = string(s.Next([]byte(steps[i])))
			}
			if got != steps[i+1] {
				t.Errorf("%q: step %d gives %q, want %q", steps, i, got, steps[i+1])
			}
		}
	}
}

// Binary data and text in whatever encoding pass byte for byte.
func TestNothingMatches(t *testing.T) {
	rnd := rand.New(rand.NewSource(4))
	data := make([]byte, 300_000)
	rnd.Read(data)
	m := mustNew(t, Rules{Presets: Presets()})
	if got := pieces(m, string(data), rnd, 5000); got != string(data) {
		t.Error("random bytes were changed")
	}
}

// One line of 10 MiB with a secret at its end, one with secrets only, one that may always become one: the memory stays.
func TestLongLines(t *testing.T) {
	m := mustNew(t, Rules{Presets: Presets(), Patterns: []Pattern{{Regex: `begin.*end`}, {Regex: `x[^;]*;`}}})
	for name, c := range map[string]struct{ fill, last, want string }{
		"secret at the end": {strings.Repeat("0123456789", 100), " sk-" + r40, "sk-***"},
		"all secret":        {strings.Repeat("a1", 500), "", ""},
		"may become one":    {strings.Repeat("begin", 200), "", "begin"},
		"two that may":      {strings.Repeat("xbegin ", 200), "end", "***"},
	} {
		s := m.Stream()
		if name == "all secret" {
			s.Next([]byte("ghp_"))
		}
		most, last := 0, ""
		for range 10 << 10 {
			b := s.Next([]byte(c.fill))
			most = max(most, len(s.hold))
			last = string(b)
		}
		last += string(s.Next([]byte(c.last)))
		last += string(s.End())
		if most > window+len(c.fill) {
			t.Errorf("%s: %d bytes held", name, most)
		}
		if !strings.HasSuffix(last, c.want) || name == "all secret" && last != "" {
			t.Errorf("%s: ends in %q, want %q", name, last[max(0, len(last)-100):], c.want)
		}
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if mem.HeapAlloc > 30<<20 {
		t.Errorf("%d bytes of heap", mem.HeapAlloc)
	}
}

// Of a match longer than the window its last part is masked, however the text is cut.
func TestWindow(t *testing.T) {
	r := Rules{Patterns: []Pattern{{Regex: `begin[^;]*;`}}}
	in := "begin" + strings.Repeat("0123456789", window/8) + ";after"
	want := in[:len(in)-len("after")-window] + "***after"
	m := mustNew(t, r)
	for _, longest := range []int{100, 10_000, 1 << 20} {
		if got := pieces(m, in, rand.New(rand.NewSource(5)), longest); got != want {
			t.Errorf("pieces up to %d: %d bytes, want %d", longest, len(got), len(want))
		}
	}
}

// A pattern with more states than are kept: whether it matches depends on the thirteenth byte from the end.
func TestManyStates(t *testing.T) {
	m := mustNew(t, Rules{Patterns: []Pattern{{Regex: `[ab]*a[ab]{12}c`}}})
	rnd := rand.New(rand.NewSource(6))
	s := m.Stream()
	var got, want strings.Builder
	for range 40 {
		b := make([]byte, 1000)
		for i := range b {
			b[i] = "ab"[rnd.Intn(2)]
		}
		b[len(b)-1] = 'c'
		got.Write(s.Next(b))
		if b[len(b)-14] == 'a' {
			want.WriteString(stars)
		} else {
			want.Write(b)
		}
		got.Write(s.Next([]byte(".")))
		want.WriteString(".")
	}
	got.Write(s.End())
	if got.String() != want.String() {
		t.Error("wrong")
	}
	if s.a.gen < 3 {
		t.Errorf("nothing was forgotten: %d states", len(s.a.states))
	}
}

// TestDecodedPassword: a program has the password of a URL without its percent signs, and prints it in forms of its own.
func TestDecodedPassword(t *testing.T) {
	values := Known(nil, [][]byte{[]byte("DB=postgres://app:Hunter2%40x%2fY@db.internal/app\n")}, nil)
	m := mustNew(t, Rules{Values: values})
	for _, in := range []string{"Hunter2@x/Y", "Hunter2%40x%2fY", `Hunter2\u0040x\/Y`, "Hunter2&#64;x&#x2F;Y"} {
		if got := whole(m, "is "+in+" ok"); strings.Contains(got, "unter2") || !strings.HasSuffix(got, " ok") {
			t.Errorf("%s gives %q", in, got)
		}
	}
}

func TestKnown(t *testing.T) {
	env := []string{"GITHUB_TOKEN=tok-en-with+plus/1", "SSH_AUTH_SOCK=/tmp/ssh-XXXX/agent.1", "DATABASE_URL=postgres://shop:s3cr3t-pw!@db.local/shop"}
	file := `# settings
PORT=3000
APP_NAME=my-shop-frontend
URL=http://localhost:3000
export API_KEY="quoted value 1"  # comment
JWT_SECRET='single#quoted'
WORD=correct-horse
PASSWORD=correct-horse-battery
HOST = db.internal.example
SHORT=abc1234
FLAG=true
MULTI_SECRET="first line here
second line here"
RANDOM_THING=a8f5f167f44f4964e6c998dee827110c
DUPLICATE=a8f5f167f44f4964e6c998dee827110c
`
	got := Known(env, [][]byte{[]byte(file)}, []string{"shop"})
	want := []string{"tok-en-with+plus/1", "s3cr3t-pw!", "postgres://shop:s3cr3t-pw!@db.local/shop", "quoted value 1", "single#quoted",
		"correct-horse-battery", "first line here", "second line here", "a8f5f167f44f4964e6c998dee827110c"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
	m := mustNew(t, Rules{Values: got})
	for in, want := range map[string]string{
		"GITHUB_TOKEN=tok-en-with+plus/1 x":            "GITHUB_TOKEN=*** x",
		"?t=tok-en-with%2Bplus%2F1&":                   "?t=***&",
		"?t=tok-en-with%2bplus/1&":                     "?t=***&",
		`"tok-en-with\u002bplus\/1"`:                   `"***"`,
		"?k=quoted%20value+1":                          "?k=***",
		"postgres://shop:s3cr3t-pw!@other":             "postgres://shop:***@other",
		"abc1234 true 3000 my-shop-frontend localhost": "abc1234 true 3000 my-shop-frontend localhost",
	} {
		if got := whole(m, in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

// Wherever a value stands in text that is then encoded, what comes from it alone is masked.
func TestBase64(t *testing.T) {
	const value = "a8f5f167>?44f4964"
	m := mustNew(t, Rules{Values: []string{value}})
	for shift := range 7 {
		plain := "abcdefg"[:shift] + value + "xyz"
		for _, e := range []interface{ EncodeToString([]byte) string }{stdEncoding, urlEncoding} {
			got := whole(m, e.EncodeToString([]byte(plain)))
			left := strings.Replace(got, "***", "", 1)
			if most := len(plain) - len(value) + 3; !strings.Contains(got, "***") || len(left)*6/8 > most+1 {
				t.Errorf("shift %d: %q", shift, got)
			}
		}
	}
}

// safeBuffer is a bytes.Buffer for two goroutines.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func TestWriter(t *testing.T) {
	var out safeBuffer
	w := NewWriter(func() *Mask { return mustNew(t, Rules{Patterns: []Pattern{{Regex: `password: \S+`}}}) }, &out)
	w.Write([]byte("password: "))
	for out.String() != "password: " {
		time.Sleep(time.Millisecond)
	}
	w.Write([]byte("x"))
	w.Write([]byte("yz and more passw"))
	w.Close()
	if got, want := out.String(), "password: *** and more passw"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
