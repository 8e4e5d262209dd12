package main

import (
	"fmt"
	"os"
	"strings"
)

// The figures stand between these marks in docs/benchmarks.md; the words
// around them are written by hand.
const (
	figuresBegin = "<!-- figures: written by `make bench-docs` -->"
	figuresEnd   = "<!-- end of the figures -->"
)

func replaceBetween(page, figures string) (string, error) {
	before, rest, ok := strings.Cut(page, figuresBegin)
	_, after, ok2 := strings.Cut(rest, figuresEnd)
	if !ok || !ok2 {
		return "", fmt.Errorf("no marks %q and %q", figuresBegin, figuresEnd)
	}
	return before + figuresBegin + "\n\n" + figures + figuresEnd + after, nil
}

func writePage(path, figures string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replaceBetween(string(page), figures)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
