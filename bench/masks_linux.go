package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// pems makes a project with a number of files that the default policy denies.
func (p *place) pems(n int) (string, error) {
	dir, err := p.project(fmt.Sprintf("masks%d", n))
	if err != nil {
		return "", err
	}
	for i := range n {
		file := filepath.Join(dir, fmt.Sprintf("certs%02d/%04d.pem", i/100, i))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(file, []byte("secret\n"), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// benchMasks is how the start grows with the number of denied files.
func benchMasks(p *place, w io.Writer) error {
	const rounds, bareRounds = 11, 3 // bwrap takes seconds for its own
	counts := []int{0, 1000, 2000, 3000}
	var native, bwrap, bare []*series
	for _, n := range counts {
		dir, err := p.pems(n)
		if err != nil {
			return err
		}
		native = append(native, again(fmt.Sprint(n), p.inside("native", dir, "--", "true")))
		bwrap = append(bwrap, again(fmt.Sprint(n), p.inside("bwrap", dir, "--", "true")))
		steps, err := p.plan(dir)
		if err != nil {
			return err
		}
		c := p.bareBwrap(frameAndMasks(steps), dir, true)
		if len(c.Args) > bwrapMaxArgs {
			continue
		}
		if c, err = byFile(p, c, n); err != nil {
			return err
		}
		bare = append(bare, again(fmt.Sprint(n), c))
	}
	if err := interleave(rounds, append(native, bwrap...)...); err != nil {
		return err
	}
	// Without a warm-up of its own each of these would still be far away.
	for range bareRounds {
		for _, s := range bare {
			if err := timed(s); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(w, "### Many denied files\n\n`true` in a project with that many denied files, medians of %d interleaved rounds (bare bwrap with as many `--ro-bind`: %d). In brackets, what they add to the start without any.\n\n", rounds, bareRounds)
	t := table{{"denied files", "engine native", "engine bwrap", "bare bwrap"}}
	for i, n := range counts {
		t.row(fmt.Sprint(n), grown(native, i), grown(bwrap, i), grown(bare, i))
	}
	t.print(w)
	return nil
}

// frameAndMasks leaves placeholders out: bare bwrap would leave them behind in
// the project that aigate is measured in.
func frameAndMasks(steps []step) (out []step) {
	for _, s := range steps {
		if s.View == "" {
			out = append(out, s)
		}
	}
	return out
}

// bwrapMaxArgs is bubblewrap's own limit (MAX_ARGS in its source).
const bwrapMaxArgs = 9000

func grown(s []*series, i int) string {
	switch {
	case i >= len(s):
		return "refuses: more than 9000 arguments"
	case i == 0:
		return ms(s[0].median())
	}
	return fmt.Sprintf("%s (+ %.0f)", ms(s[i].median()), s[i].median()-s[0].median())
}

// timed runs a series once, outside of interleave.
func timed(s *series) error {
	start := time.Now()
	if err := s.run(); err != nil {
		return err
	}
	s.add(time.Since(start))
	return nil
}

// byFile hands bwrap its thousands of arguments through a file, as they would
// not fit on a command line.
func byFile(p *place, c *exec.Cmd, n int) (*exec.Cmd, error) {
	file := filepath.Join(p.dir, fmt.Sprintf("args%d", n))
	flags := c.Args[1 : len(c.Args)-1]
	if err := os.WriteFile(file, []byte(strings.Join(flags, "\x00")+"\x00"), 0o644); err != nil {
		return nil, err
	}
	through := exec.Command("sh", "-c", `exec bwrap --args 9 true 9<"$0"`, file)
	through.Dir = c.Dir
	return through, nil
}
