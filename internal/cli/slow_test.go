package cli

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// What is done in time is not spoken of.
func TestSlow(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	slowAfter(time.Hour, "quick")()
	done := slowAfter(0, "thinking")
	buf := make([]byte, 100)
	n, err := r.Read(buf)
	done()
	os.Stderr = stderr
	w.Close()
	rest, _ := io.ReadAll(r)
	if got := string(buf[:n]) + string(rest); err != nil || got != "[aigate] thinking …\n" || strings.Contains(got, "quick") {
		t.Errorf("%q, %v", got, err)
	}
}
