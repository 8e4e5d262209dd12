package mask

import (
	"bytes"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildLog is what a build prints.
func buildLog(size int, secret bool) []byte {
	rnd := rand.New(rand.NewSource(3))
	words := strings.Fields("compiling linking src internal package module github.com/spf13/cobra node_modules task disk index.js build/output.o warning: unused variable in function checking dependencies for target release [optimized] installed test passed ok 0.123s error git fetch --verbose --no-cache key value batch search service https://registry.npmjs.org/left-pad")
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "2026-11-24T%02d:%02d:%02dZ ", rnd.Intn(24), rnd.Intn(60), rnd.Intn(60))
		for range 4 + rnd.Intn(8) {
			b.WriteString(words[rnd.Intn(len(words))])
			b.WriteByte(' ')
		}
		if secret {
			b.WriteString("token ghp_a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()[:size]
}

func benchmark(b *testing.B, r Rules, log []byte) {
	m := mustNew(b, r)
	s := m.Stream()
	b.SetBytes(int64(len(log)))
	begin := cpu()
	defer func() { b.ReportMetric(float64(b.N)*float64(len(log))/1e6/(cpu()-begin).Seconds(), "MB/cpu-s") }()
	for b.Loop() {
		for p := log; len(p) > 0; {
			n := min(len(p), 64<<10)
			s.Next(p[:n])
			p = p[n:]
		}
	}
}

func BenchmarkLog(b *testing.B)       { benchmark(b, Rules{Presets: Presets()}, buildLog(8<<20, false)) }
func BenchmarkEveryLine(b *testing.B) { benchmark(b, Rules{Presets: Presets()}, buildLog(8<<20, true)) }
func BenchmarkPattern(b *testing.B) {
	benchmark(b, Rules{Presets: Presets(), Patterns: everything.Patterns[:3]}, buildLog(8<<20, false))
}

func BenchmarkRegexp(b *testing.B) {
	re := regexp.MustCompile(strings.Join(Expressions(), "|"))
	log := buildLog(1<<20, false)
	b.SetBytes(int64(len(log)))
	begin := cpu()
	defer func() { b.ReportMetric(float64(b.N)*float64(len(log))/1e6/(cpu()-begin).Seconds(), "MB/cpu-s") }()
	for b.Loop() {
		for line := range bytes.Lines(log) {
			re.ReplaceAll(line, []byte("***"))
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		mustNew(b, Rules{Presets: Presets()})
	}
}

func BenchmarkNewFive(b *testing.B) {
	for b.Loop() {
		mustNew(b, Rules{Presets: Presets()[:5]})
	}
}
func BenchmarkFilter(b *testing.B) {
	m := mustNew(b, Rules{Presets: Presets()})
	for b.Loop() {
		newFilter(m)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
