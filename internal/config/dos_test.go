package config

import (
	"strings"
	"testing"
	"time"
)

// A project's file comes from strangers: none of up to a megabyte may take long to refuse or accept.
func TestLargeFilesStayCheap(t *testing.T) {
	const size = maxFullSize - 100
	fill := func(head, unit string) string { return head + strings.Repeat(unit, (size-len(head))/len(unit)) }
	for name, src := range map[string]string{
		"items":          fill("deny_read:\n", "  - \"abcdefgh/\"\n"),
		"flow on a line": fill("deny_read: [", "a,") + "]",
		"nested flow":    fill("deny_read: ", "["),
		"nested maps":    fill("deny_read: ", "{a: "),
		"nested dashes":  fill("deny_read:\n  ", "- "),
		"anchors":        fill("deny_read:\n", "  - *a\n"),
		"unknown keys":   fill("", "deny_reed: x\n"),
		"comments":       fill("", "# x\n"),
		"quotes":         fill("deny_read:\n", "  - 'a''b'\n"),
		"escapes":        fill("deny_read: \"", `\x41`) + `"`,
		"one long text":  fill("deny_read:\n  - ", "a"),
		"colons":         fill("a", ": "),
		"spaces":         fill("a:", " "),
		"newlines":       fill("a: \"", "\n") + `"`,
		"deeper":         deeper(size),
		"question":       fill("", "? "),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("x", []byte(src))
			t.Log(name, time.Since(start), err != nil)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func deeper(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-3000; i++ {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
