package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func words(s string) []string { return strings.Fields(s) }

func TestAddBytes(t *testing.T) {
	for _, tt := range []struct{ name, src, add, want string }{
		{"block list, quotes as above", "deny_read:\n  - \".env\"\ndeny_exec: []\n", "a b", "deny_read:\n  - \".env\"\n  - \"a\"\n  - \"b\"\ndeny_exec: []\n"},
		{"single quotes", "deny_read:\n  - '.env'\n", "a", "deny_read:\n  - '.env'\n  - 'a'\n"},
		{"no quotes, where that can be", "deny_read:\n- .env\n", "a *.pem !b", "deny_read:\n- .env\n- a\n- \"*.pem\"\n- \"!b\"\n"},
		{"comments around", "# top\ndeny_read: # the list\n  # first\n  - .env # why\n  # last\n\n# end\n", "a",
			"# top\ndeny_read: # the list\n  # first\n  - .env # why\n  - a\n  # last\n\n# end\n"},
		{"no final newline", "deny_read:\n  - a", "b", "deny_read:\n  - a\n  - b\n"},
		{"CRLF", "group: g\r\ndeny_read:\r\n  - a # x\r\n  - c\r\nuser: u\r\n", "b", "group: g\r\ndeny_read:\r\n  - a # x\r\n  - c\r\n  - b\r\nuser: u\r\n"},
		{"duplicate", "deny_read:\n  - a\n", "a a", "deny_read:\n  - a\n"},
		{"one of two is there", "deny_read:\n  - a\n", "a b b", "deny_read:\n  - a\n  - b\n"},
		{"taken back before", "deny_read:\n  - \".env*\"\n  - \"!.env.x\"\n", ".env.x", "deny_read:\n  - \".env*\"\n  - \".env.x\"\n"},
		{"missing key", "group: g # x\n", "a", "group: g # x\ndeny_read:\n  - \"a\"\n"},
		{"missing key, no final newline", "group: g", "a", "group: g\ndeny_read:\n  - \"a\"\n"},
		{"missing key, CRLF", "group: g\r\n", "a", "group: g\r\ndeny_read:\r\n  - \"a\"\r\n"},
		{"missing key, all indented", "  group: g\n", "a", "  group: g\n  deny_read:\n    - \"a\"\n"},
		{"missing key behind a mapping", "resource_limits:\n  max_pids: 7\n", "a", "resource_limits:\n  max_pids: 7\ndeny_read:\n  - \"a\"\n"},
		{"empty file", "", "a", "deny_read:\n  - \"a\"\n"},
		{"comments alone", "# nothing yet\n", "a", "# nothing yet\ndeny_read:\n  - \"a\"\n"},
		{"empty list", "deny_read: [] # none\nuser: u\n", "a b", "deny_read: [\"a\", \"b\"] # none\nuser: u\n"},
		{"empty list with a blank", "deny_read: [ ]\n", "a", "deny_read: [\"a\" ]\n"},
		{"null", "deny_read:\nuser: u\n", "a", "deny_read:\n  - \"a\"\nuser: u\n"},
		{"null, commented out", "deny_read: # old\n  # - b\nuser: u\n", "a", "deny_read: # old\n  - \"a\"\n  # - b\nuser: u\n"},
		{"null at the end", "deny_read:", "a", "deny_read:\n  - \"a\"\n"},
		{"null in words", "deny_read: null # x\n", "a", "deny_read: [\"a\"] # x\n"},
		{"tilde", "deny_read: ~\n", "a", "deny_read: [\"a\"]\n"},
		{"flow", "deny_read: [.env, \"x\"] # c\n", "a", "deny_read: [.env, \"x\", \"a\"] # c\n"},
		{"flow, trailing comma", "deny_read: [a, b,]\n", "c d", "deny_read: [a, b, c, d,]\n"},
		{"flow over lines", "deny_read: [\n  \"a\", # A\n  \"b\" # B\n]\n", "c", "deny_read: [\n  \"a\", # A\n  \"b\", # B\n  \"c\"\n]\n"},
		{"flow over lines, trailing comma", "deny_read: [\n  'a',\n  'b', # B\n  # end\n]\n", "c d", "deny_read: [\n  'a',\n  'b', # B\n  'c',\n  'd',\n  # end\n]\n"},
		{"flow that wraps", "deny_read: [a,\n  b]\n", "c", "deny_read: [a,\n  b, c]\n"},
		{"JSON", "{\"deny_read\": [\"a\"], \"group\": \"g\"}", "b", "{\"deny_read\": [\"a\", \"b\"], \"group\": \"g\"}"},
		{"letters beyond ASCII", "# ü\ndeny_read: [\"ä\", 'ö'] # ü\n", "ß", "# ü\ndeny_read: [\"ä\", 'ö', 'ß'] # ü\n"},
		{"byte order mark", "\ufeffdeny_read:\n  - a\n", "b", "\ufeffdeny_read:\n  - a\n  - b\n"},
		{"quotes and backslashes", "deny_read: []\n", `a"b c\\d`, "deny_read: [\"a\\\"b\", \"c\\\\\\\\d\"]\n"},
		{"document marker", "---\ndeny_read:\n  - a\n", "b", "---\ndeny_read:\n  - a\n  - b\n"},
		{"trailing blanks", "deny_read:   \n  -   a   \n\n\nuser: u\n", "b", "deny_read:   \n  -   a   \n  -   b\n\n\nuser: u\n"},
		{"value like a number", "deny_read:\n  - a\n", "123 true null ~", "deny_read:\n  - a\n  - \"123\"\n  - \"true\"\n  - \"null\"\n  - \"~\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, _, err := AddBytes([]byte(tt.src), "deny_read", words(tt.add))
			if err != nil || string(out) != tt.want {
				t.Errorf("got  %q, %v\nwant %q", out, err, tt.want)
			}
		})
	}
}

func TestRemoveBytes(t *testing.T) {
	for _, tt := range []struct{ name, src, remove, want string }{
		{"one of three", "deny_read:\n  - a\n  - b # why b\n  - c\n", "b", "deny_read:\n  - a\n  - c\n"},
		{"comments stay", "deny_read:\n  # A\n  - a\n  # B\n  - b\n  # end\nuser: u\n", "a b", "deny_read: []\n  # A\n  # B\n  # end\nuser: u\n"},
		{"the last one", "deny_read: # list\n  - a", "a", "deny_read: [] # list\n"},
		{"every copy", "deny_read:\n  - a\n  - b\n  - \"a\"\n", "a", "deny_read:\n  - b\n"},
		{"not there", "deny_read:\n  - a\n", "b", "deny_read:\n  - a\n"},
		{"no such key", "user: u\n", "b", "user: u\n"},
		{"CRLF", "deny_read:\r\n  - a # x\r\n  - b\r\n", "b", "deny_read:\r\n  - a # x\r\n"},
		{"flow, first", "deny_read: [a, b, c]\n", "a", "deny_read: [b, c]\n"},
		{"flow, middle", "deny_read: [a, b, c]\n", "b", "deny_read: [a, c]\n"},
		{"flow, last", "deny_read: [a, b, c] # x\n", "c", "deny_read: [a, b] # x\n"},
		{"flow, last two", "deny_read: [a, b, c]\n", "b c", "deny_read: [a]\n"},
		{"flow, all", "deny_read: [a, b]\n", "a b", "deny_read: []\n"},
		{"flow, trailing comma", "deny_read: [a, b,]\n", "b", "deny_read: [a, ]\n"},
		{"flow over lines", "deny_read: [\n  \"a\", # A\n  \"b\" # B\n]\n", "a", "deny_read: [\n  \"b\" # B\n]\n"},
		{"flow over lines, last", "deny_read: [\n  \"a\", # A\n  \"b\" # B\n]\n", "b", "deny_read: [\n  \"a\" # A\n]\n"},
		{"flow with brackets in it", "deny_read: [\"x[,]y\", 'a''],b', \"c\\\"]d\", e]\n", "e", "deny_read: [\"x[,]y\", 'a''],b', \"c\\\"]d\"]\n"},
		{"JSON", "{\"deny_read\": [\"a\"], \"group\": \"g\"}", "a", "{\"deny_read\": [], \"group\": \"g\"}"},
		{"unindented list", "deny_read:\n- a\n- b\nuser: u\n", "a", "deny_read:\n- b\nuser: u\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, _, err := RemoveBytes([]byte(tt.src), "deny_read", words(tt.remove))
			if err != nil || string(out) != tt.want {
				t.Errorf("got  %q, %v\nwant %q", out, err, tt.want)
			}
		})
	}
}

func TestSetBytes(t *testing.T) {
	for _, tt := range []struct{ name, src, set, want string }{
		{"none", "allow_net:\n  - a\n  - b # B\n", "", "allow_net: []\n"},
		{"none where the key is missing", "user: u\n", "", "user: u\nallow_net: []\n"},
		{"none where it is null", "allow_net: # x\n", "", "allow_net: [] # x\n"},
		{"none where it is none", "allow_net: []\n", "", "allow_net: []\n"},
		{"others", "allow_net:\n  - a.com\n  - b.com # B\n", "c.com", "allow_net:\n  - c.com\n"},
		{"one stays with its comment", "allow_net:\n  - a.com\n  - b.com # B\n", "b.com c.com", "allow_net:\n  - b.com # B\n  - c.com\n"},
		{"flow", "allow_net: [a.com, b.com]\n", "c.com", "allow_net: [c.com]\n"},
		{"missing", "user: u\n", "c.com d.com", "user: u\nallow_net:\n  - \"c.com\"\n  - \"d.com\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := SetBytes([]byte(tt.src), "allow_net", words(tt.set))
			if err != nil || string(out) != tt.want {
				t.Errorf("got  %q, %v\nwant %q", out, err, tt.want)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	for _, tt := range []struct{ name, src, key, value, want string }{
		{"a file with a mistake", "deny_raed: []\n", "deny_read", "a", `unknown key "deny_raed"`},
		{"a bad pattern", "", "deny_read", "a[", "pattern"},
		{"a URL", "", "allow_net", "https://a.com/x", `write "a.com"`},
		{"a key that is no list", "", "group", "a", "not a list"},
		{"a new key in JSON", "{\"group\": \"g\"}", "deny_read", "a", "by hand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out, _, err := AddBytes([]byte(tt.src), tt.key, []string{tt.value}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

// FuzzEdit adds and removes in whatever loads: the other keys keep their meaning, and what is not
// the list keeps its bytes.
func FuzzEdit(f *testing.F) {
	f.Add(defaultFile, "x", "*.pem")
	for _, s := range []string{"deny_read: [a,\n b, # c\n 'd']\nuser: u\n", "deny_read:\r\n- a\r\n# x\r\n- \"b\"\r\n", "deny_read:\n", "{deny_read: [a, b], user: u}", "\ufeffdeny_read: ~ # x",
		"deny_read :  [ ]\n", "\"deny_read\": ['a' , \"b\" ,]\n", "deny_read:\n  - # x\n    a\n  -\n    b\n", "deny_read:\n\n  [a\n  ]\n", "deny_read:\n  []\n", "---\ndeny_read:\n - a\n...\n", "user: u\n..."} {
		f.Add(s, "x y", "a")
	}
	f.Fuzz(func(t *testing.T, src, add, remove string) {
		before, err := Parse("x", []byte(src))
		if err != nil {
			return
		}
		if out, added, err := AddBytes([]byte(src), "deny_read", []string{add}); err == nil && len(added) > 0 {
			after := mustParse(t, out)
			if !slices.Contains(after.DenyRead, add) {
				t.Fatalf("%q + %q = %q", src, add, out)
			}
			sameElsewhere(t, before, after)
			if !subsequence(src, string(out)) && !slices.Contains(before.DenyRead, "!"+add) && !strings.ContainsAny(src, "~") && !strings.Contains(strings.ToLower(src), "null") {
				t.Fatalf("%q + %q = %q lost text", src, add, out)
			}
		}
		if out, removed, err := RemoveBytes([]byte(src), "deny_read", []string{remove}); err == nil && len(removed) > 0 {
			after := mustParse(t, out)
			if slices.Contains(after.DenyRead, remove) {
				t.Fatalf("%q - %q = %q", src, remove, out)
			}
			sameElsewhere(t, before, after)
		}
		if out, err := SetBytes([]byte(src), "allow_net", nil); err == nil {
			if after := mustParse(t, out); after.AllowNet == nil || len(after.AllowNet) > 0 {
				t.Fatalf("%q without network = %q", src, out)
			}
		}
	})
}

func mustParse(t *testing.T, src []byte) *Config {
	t.Helper()
	c, err := Parse("edited", src)
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	return c
}

func sameElsewhere(t *testing.T, a, b *Config) {
	t.Helper()
	x, y := *a, *b
	x.DenyRead, y.DenyRead = nil, nil
	if !reflect.DeepEqual(x, y) {
		t.Fatalf("%+v\nbecame %+v", x, y)
	}
}

// subsequence says that all of a is in b, in order.
func subsequence(a, b string) bool {
	for i := 0; i < len(b) && a != ""; i++ {
		if a[0] == b[i] {
			a = a[1:]
		}
	}
	return a == ""
}

func TestRewriteKeepsModeAndSymlink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "link.yaml")
	os.WriteFile(real, []byte("deny_read: []\n"), 0o640)
	os.Chmod(real, 0o640)
	os.Symlink("real.yaml", link)
	if _, err := Add(link, "deny_read", words("a")); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Lstat(link)
	if info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link became a file")
	}
	info, _ = os.Stat(real)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	if got, _ := os.ReadFile(real); string(got) != "deny_read: [\"a\"]\n" {
		t.Errorf("%q", got)
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("litter: %v", names)
	}
}

func TestAddMakesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".aigate.yaml")
	if _, err := Add(path, "deny_read", words("a")); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || !slices.Equal(c.DenyRead, words("a")) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestFailedEditLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	os.WriteFile(path, []byte("deny_read: [\n"), 0o600)
	var e *Error
	if _, err := Add(path, "deny_read", words("a")); !errors.As(err, &e) || e.File != path || e.Line != 1 {
		t.Errorf("%v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "deny_read: [\n" {
		t.Errorf("%q", got)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("litter: %v", names)
	}
}

// TestParallelEdits starts this test program many times over, each adding an entry of its own.
func TestParallelEdits(t *testing.T) {
	if path := os.Getenv("CONFIG_TEST_ADD_TO"); path != "" {
		if _, err := Add(path, "deny_read", []string{os.Getenv("CONFIG_TEST_ENTRY")}); err != nil {
			t.Fatal(err)
		}
		return
	}
	const writers = 20
	path := filepath.Join(t.TempDir(), "config.yaml")
	os.WriteFile(path, DefaultFile(), 0o600)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cmd := exec.Command(os.Args[0], "-test.run=^TestParallelEdits$")
			cmd.Env = append(os.Environ(), "CONFIG_TEST_ADD_TO="+path, fmt.Sprintf("CONFIG_TEST_ENTRY=file-%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}()
	}
	wg.Wait()
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		if !slices.Contains(c.DenyRead, fmt.Sprintf("file-%d", i)) {
			t.Errorf("file-%d was lost", i)
		}
	}
}

// TestSweep: an edit removes what killed ones left behind, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{".config.yaml.123", ".config.yaml.kept", ".config.yaml.", ".other.yaml.123", ".config.yaml.456", "config.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name != ".config.yaml.456" { // an edit that is under way elsewhere
			os.Chtimes(filepath.Join(dir, name), old, old)
		}
	}
	if _, err := Add(path, "deny_read", []string{"x"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{".config.yaml.", ".config.yaml.456", ".config.yaml.kept", ".other.yaml.123", "config.yaml"}
	if !slices.Equal(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
}
