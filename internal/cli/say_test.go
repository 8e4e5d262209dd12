package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// TestHostileNames: no name begins a line of aigate's, none reaches the terminal as more than text.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{
		"a\n[aigate] forged", "a\r[aigate] forged", "\x1b[2J", "\x1b]0;t\x07", "\u009b2J", "\u202etxt.exe", "\u2028x", "\xff\xfe", "\u200f", "a\tb\x00",
	} {
		path := &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		for what, got := range map[string]string{
			"name":         line("made: %s", name),
			"quoted":       line("made: %q", name),
			"path error":   line("failed: %v", path),
			"other error":  line("failed: %v", fmt.Errorf("protect %s: no", name)),
			"in a message": told(errors.New("x " + name)),
			"wrapped":      told(fmt.Errorf("look: %w", path)),
		} {
			for i, one := range strings.Split(got, "\n") {
				if i > 0 && strings.HasPrefix(one, "[aigate]") || !plain(strings.ReplaceAll(one, "\t", "")) {
					t.Errorf("%s %q: said %q", what, name, got)
				}
			}
		}
		if got := line("made: %s", name); strings.Contains(got, "\n") {
			t.Errorf("%q: said in two lines: %q", name, got)
		}
	}
	for _, text := range []string{"/home/ada/naïve 文/x", "two\n  lines of ours"} {
		if got := told(errors.New(text)); got != text {
			t.Errorf("told %q as %q", text, got)
		}
	}
}
