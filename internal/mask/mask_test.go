package mask

import (
	"math/rand"
	"strings"
	"testing"
)

func mustNew(t testing.TB, r Rules) *Mask {
	t.Helper()
	m, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func whole(m *Mask, in string) string {
	s := m.Stream()
	out := string(s.Next([]byte(in)))
	return out + string(s.End())
}

// pieces masks in at cuts of a random sequence.
func pieces(m *Mask, in string, rnd *rand.Rand, longest int) string {
	s := m.Stream()
	s.looked = rnd.Intn(2) * worthwhile // with the filter, and without
	var out strings.Builder
	for len(in) > 0 {
		n := min(len(in), 1+rnd.Intn(longest))
		p := []byte(in[:n])
		out.Write(s.Next(p))
		for i := range p { // nobody may look at it any more
			p[i] = 0xee
		}
		in = in[n:]
	}
	out.Write(s.End())
	return out.String()
}

const (
	r20 = "a1B2c3D4e5F6g7H8i9J0"
	r40 = r20 + r20
)

func TestPresets(t *testing.T) {
	all := mustNew(t, Rules{Presets: Presets()})
	for _, c := range []struct{ preset, in, want string }{
		{"openai", "key sk-" + r20 + r20 + " ok", "key sk-*** ok"},
		{"openai", "OPENAI_API_KEY=sk-proj-abc_DEF-" + r20, "OPENAI_API_KEY=sk-***"},
		{"openai", "sk-ant-api03-" + r20, "sk-ant-***"},
		{"openai", "task-runner-with-a-long-long-name", "task-runner-with-a-long-long-name"},
		{"openai", "sk-short", "sk-short"},
		{"openai", `{"k":"a\nsk-` + r20 + `\n"}`, `{"k":"a\nsk-***\n"}`},
		{"anthropic", "sk-ant-api03-" + r40 + "AA", "sk-ant-***"},
		{"aws_key", "id AKIAIOSFODNN7EXAMPLE.", "id AKIA***."},
		{"aws_key", "ASIAIOSFODNN7EXAMPLE", "ASIA***"},
		{"aws_key", "AKIA in a sentence", "AKIA in a sentence"},
		{"aws_secret", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n", "aws_secret_access_key = ***\n"},
		{"aws_secret", `"SecretAccessKey": "wJalrXUtnFEMI\/K7MDENG\/bPxRfiCYEXAMPLEKEY",`, `"SecretAccessKey": "***",`},
		{"aws_secret", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY=***"},
		{"aws_secret", "AWS Secret Access Key [None]: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS Secret Access Key [None]: ***"},
		{"github", "ghp_" + r40, "ghp_***"},
		{"github", "https://x:gho_" + r40 + "@github.com", "https://x:gho_***@github.com"},
		{"github", "github_pat_11ABCDEFG0_" + r40, "github_pat_***"},
		{"bearer", "Authorization: Bearer abcdef", "Authorization: Bearer ***"},
		{"bearer", "authorization: bearer " + r20 + "\r\n", "authorization: bearer ***\r\n"},
		{"bearer", "Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"},
		{"bearer", "Bearer abc.def.ghi", "Bearer ***"},
		{"bearer", "Bearer authentication is required", "Bearer authentication is required"},
		{"bearer", "Bearer " + r20 + "==, next", "Bearer ***, next"},
		{"slack", "xoxb-123456789012-abcDEF", "xoxb-***"},
		{"slack", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXX", "https://hooks.slack.com/services/***"},
		{"stripe", "sk_live_" + r20, "sk_live_***"},
		{"stripe", "rk_test_" + r20, "rk_test_***"},
		{"stripe", "task_test_somethinglong", "task_test_somethinglong"},
		{"gitlab", "glpat-" + r20, "glpat-***"},
		{"npm", "npm_" + r40, "npm_***"},
		{"npm", "//registry.npmjs.org/:_authToken=0b1c2d3e-aaaa-bbbb-cccc-0123456789ab", "//registry.npmjs.org/:_authToken=***"},
		{"npm", "npm_config_registry=https://registry.npmjs.org/", "npm_config_registry=https://registry.npmjs.org/"},
		{"pypi", "pypi-AgEIcHlwaS5vcmc" + r20, "pypi-***"},
		{"google", "AIzaSyA" + r20 + r20, "AIza***"},
		{"huggingface", "hf_" + r40, "hf_***"},
		{"jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4", "eyJ***"},
		{"jwt", "eyJhbGciOiJIUzI1NiJ9 alone", "eyJhbGciOiJIUzI1NiJ9 alone"},
		{"private_key", "-----BEGIN RSA PRIVATE KEY-----\r\nMIIEpAIBAAKCAQEA1234567890\r\nabc/+=\r\n-----END RSA PRIVATE KEY-----\r\nnext", "-----BEGIN RSA PRIVATE KEY----- ***\r\nnext"},
		{"private_key", `"-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234567890\n-----END PRIVATE KEY-----\n"`, `"-----BEGIN PRIVATE KEY----- ***\n"`},
		{"private_key", `strings.Contains(s, "-----BEGIN PRIVATE KEY-----") { return }`, `strings.Contains(s, "-----BEGIN PRIVATE KEY-----") { return }`},
		{"private_key", "key.pem:-----BEGIN PRIVATE KEY-----\nkey.pem:MIIEpAIBAAKCAQEA" + r40 + "\nkey.pem:abc\n{", "key.pem:-----BEGIN PRIVATE KEY----- ***{"},
		{"private_key", "\x1b[1;1H-----BEGIN PRIVATE KEY-----\x1b[2;1HMIIEpAIBAAKCAQEA1234567890\x1b[3;1Habcd\x1b[4;1H~", "\x1b[1;1H-----BEGIN PRIVATE KEY-----\x1b[2;1H***\x1b[3;1H***\x1b[4;1H~"},
		{"private_key", "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234567890\nuser@host:~$ ls\n", "-----BEGIN PRIVATE KEY----- ***@host:~$ ls\n"},
	} {
		one := mustNew(t, Rules{Presets: []string{c.preset}})
		if got := whole(one, c.in); got != c.want {
			t.Errorf("%s: %q\n gives %q\n want  %q", c.preset, c.in, got, c.want)
		}
		if got := whole(all, c.in); got != c.want {
			t.Errorf("all presets: %q\n gives %q\n want  %q", c.in, got, c.want)
		}
		if got := reference(Rules{Presets: []string{c.preset}}, c.in); got != c.want {
			t.Errorf("reference, %s: %q\n gives %q\n want  %q", c.preset, c.in, got, c.want)
		}
	}
}

// The same answer for every way of cutting.
func TestEveryCut(t *testing.T) {
	m := mustNew(t, everything)
	rnd := rand.New(rand.NewSource(1))
	for n := range 700 {
		in := sample(rnd)
		want := reference(everything, in)
		if got := whole(m, in); got != want {
			t.Fatalf("%d: %q\n gives %q\n want  %q", n, in, got, want)
		}
		for _, longest := range []int{1, 4, 4, 30, 1000, 1000} {
			if got := pieces(m, in, rnd, longest); got != want {
				t.Fatalf("%d: %q\n in pieces up to %d gives %q\n want  %q", n, in, longest, got, want)
			}
		}
	}
}

var everything = Rules{
	Presets: Presets(),
	Patterns: []Pattern{
		{Regex: `myapp-secret-[a-z0-9]+`},
		{Regex: `token-[a-zA-Z0-9]{16}`, ShowPrefix: 8},
		{Regex: `(?:password|secret|token)\s*[=:]\s*\S+`, CaseInsensitive: true},
		{Regex: `\bpin\b.{2,4}$`, ShowPrefix: 90},
		{Regex: `^ü[à-ï]+|é.é`},
	},
	Values: []string{"hunter2hunter2", "hunter3", "corr3ct horse"},
}

// fragments are what samples are put together from.
var fragments = []string{
	"sk-", "sk-ant-", "sk-proj-", r20, "a1b2c3d4", "AKIA", "IOSFODNN7EXAMPLE", "ghp_", "Bearer ", "bearer", "Authorization: ", "secret_access_key", " = ",
	"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "eyJ", ".", "-----BEGIN PRIVATE KEY-----", "\nMIIEpAIBAAKCAQEA1234567890", "-----END PRIVATE KEY-----", "-----",
	"\x1b[1m", "\x1b[0m", "\x1b[2;3H", "\x1b]0;", "\x07", "\x1b\\", "\x1b]8;;", "\x1b(B", "\x1b[", "\x1b", "\r\n", "\n", " ", `\n`, `"`, `\u0022`, "%3D", "x", "-", "_",
	"myapp-secret-", "token-", "token", "=", ":", "password: ", "PassWord", "pin", "üà", "éxé", "é", "\xff\xfe", "\xc3", "hunter2", "hunter3", "corr3ct ", "horse", "s", "k", "hf_", "npm_", "\x00",
}

func sample(rnd *rand.Rand) string {
	var b strings.Builder
	for range 1 + rnd.Intn(12) {
		f := fragments[rnd.Intn(len(fragments))]
		if rnd.Intn(8) == 0 {
			f = f[:rnd.Intn(len(f)+1)]
		}
		b.WriteString(f)
	}
	return b.String()
}

func FuzzCuts(f *testing.F) {
	rnd := rand.New(rand.NewSource(2))
	for range 50 {
		f.Add(sample(rnd), int64(1))
	}
	m := mustNew(f, everything)
	f.Fuzz(func(t *testing.T, in string, seed int64) {
		if len(in) > 150 {
			return
		}
		want := reference(everything, in)
		if got := whole(m, in); got != want {
			t.Fatalf("%q\n gives %q\n want  %q", in, got, want)
		}
		rnd := rand.New(rand.NewSource(seed))
		if got := pieces(m, in, rnd, 1+rnd.Intn(20)); got != want {
			t.Fatalf("%q\n in pieces gives %q\n want  %q", in, got, want)
		}
	})
}

// Without the filter there would be nothing to test of it.
func TestFilterIsUsed(t *testing.T) {
	for _, r := range []Rules{everything, {Presets: Presets()}, {Values: []string{"hunter2hunter2"}}} {
		if newFilter(mustNew(t, r)) == nil {
			t.Errorf("no filter for %d presets, %d patterns, %d values", len(r.Presets), len(r.Patterns), len(r.Values))
		}
	}
	for _, regex := range []string{`ab`, `\S+@\S+`} {
		if newFilter(mustNew(t, Rules{Patterns: []Pattern{{Regex: regex}}})) != nil {
			t.Errorf("a filter for %s", regex)
		}
	}
}
