package cli

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestHomeDir(t *testing.T) {
	t.Setenv("HOME", "/some/where/")
	if home, err := homeDir(); err != nil || home != "/some/where" {
		t.Errorf("with HOME: %q, %v", home, err)
	}
	want := ""
	users, _ := os.ReadFile("/etc/passwd")
	for _, line := range strings.Split(string(users), "\n") {
		if f := strings.Split(line, ":"); len(f) > 5 && f[2] == strconv.Itoa(os.Getuid()) && want == "" {
			want = f[5]
		}
	}
	for _, unset := range []string{"", "relative"} {
		t.Setenv("HOME", unset)
		home, err := homeDir()
		if home != want || (err != nil) != (want == "") {
			t.Errorf("with HOME=%q: %q, %v, want %q", unset, home, err, want)
		}
	}
}

func TestUnifiedDiff(t *testing.T) {
	for _, tt := range []struct{ name, a, b, want string }{
		{"alike", "x\n", "x\n", ""},
		{"from nothing", "", "a\n", "@@ -0,0 +1,1 @@\n+a\n"},
		{"to nothing", "a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
		{"no final newline", "a\nb", "a\nc\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"},
		{"context", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nX\n6\n7\n8\n9\n", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+X\n 6\n 7\n 8\n"},
		{"two places", "a\nb\nc\nd\n", "b\nc\nd\ne\n", "@@ -1,4 +1,4 @@\n-a\n b\n c\n d\n+e\n"},
		{"twins", "a\na\n", "a\na\na\n", "@@ -1,2 +1,3 @@\n a\n a\n+a\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want != "" {
				want = "--- f\n+++ f\n" + want
			}
			if got := unifiedDiff("f", tt.a, tt.b); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
