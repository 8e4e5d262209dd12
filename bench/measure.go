package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A series is one thing that is measured again and again.
type series struct {
	name string
	run  func() error
	took time.Duration // what run says it took, if not all of its time
	ms   []float64     // what each run took
}

// interleave runs every series once a round, in an order that turns, so that
// what else goes on in the machine hits all of them alike. The first rounds
// warm the caches up and do not count.
func interleave(rounds int, all ...*series) error {
	const warm = 3
	for round := -warm; round < rounds; round++ {
		for i := range all {
			s := all[(i+round+warm)%len(all)]
			start := time.Now()
			s.took = 0
			if err := s.run(); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if s.took == 0 {
				s.took = time.Since(start)
			}
			if round >= 0 {
				s.add(s.took)
			}
		}
	}
	return nil
}

func (s *series) add(d time.Duration) { s.ms = append(s.ms, float64(d.Nanoseconds())/1e6) }

// quantile gives the value below which the share q of the sample lies: the
// sample is small, so it is one of its values and no interpolation.
func quantile(sample []float64, q float64) float64 {
	if len(sample) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(sample))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s *series) median() float64 { return quantile(s.ms, 0.5) }
func (s *series) p10() float64    { return quantile(s.ms, 0.1) }

// table is printed as Markdown with its columns aligned, to be read as it is.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t table) print(w io.Writer) {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string, fill string) {
		for i, cell := range row {
			pad := strings.Repeat(fill, widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(w, "| %s%s ", cell, pad) // names to the left, figures to the right
			} else {
				fmt.Fprintf(w, "| %s%s ", pad, cell)
			}
		}
		fmt.Fprintln(w, "|")
	}
	line(t[0], " ")
	rule := make([]string, len(widths))
	for i := 1; i < len(rule); i++ {
		rule[i] = ":"
	}
	line(rule, "-")
	for _, row := range t[1:] {
		line(row, " ")
	}
	fmt.Fprintln(w)
}

func ms(v float64) string       { return fmt.Sprintf("%.2f ms", v) }
func times(a, b float64) string { return fmt.Sprintf("%.2f ×", a/b) }
