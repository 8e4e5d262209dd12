package match

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// TestCompareWithFind measures the walk against fd and find, interleaved, on
// 200,000 files. It is a measurement and not a test:
//
//	AIGATE_COMPARE=1 go test -run CompareWithFind -v ./internal/match
func TestCompareWithFind(t *testing.T) {
	if os.Getenv("AIGATE_COMPARE") == "" {
		t.Skip("a measurement; set AIGATE_COMPARE=1")
	}
	root := bigTree(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := parseAt(t, "/nowhere", ".env")
	command := func(name string, args ...string) func() {
		return func() {
			cmd := exec.Command(name, args...)
			cmd.Env = append(os.Environ(), "AIGATE_WALK="+root, "AIGATE_PATTERNS=.env")
			out, err := cmd.Output()
			if err != nil || len(out) == 0 {
				t.Fatalf("%s: %v %q", name, err, out)
			}
		}
	}
	contenders := []struct {
		name string
		run  func()
	}{
		{"walk", func() { mustWalk(t, s, root, Options{}) }},
		{"walk, whole process", command(self, "-test.run=^$")},
		{"fdfind -H -I", command("fdfind", "-H", "-I", "-g", ".env", root)},
		{"find -name", command("find", root, "-name", ".env")},
	}
	times := make([][]time.Duration, len(contenders))
	for range 25 {
		for i, c := range contenders {
			begin := time.Now()
			c.run()
			times[i] = append(times[i], time.Since(begin))
		}
	}
	for i, c := range contenders {
		slices.Sort(times[i])
		t.Logf("%-20s median %6.1f ms, best %6.1f ms", c.name,
			times[i][len(times[i])/2].Seconds()*1e3, times[i][0].Seconds()*1e3)
	}
}
