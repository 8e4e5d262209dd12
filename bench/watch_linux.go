package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// readerArg as the first argument makes this program the reader inside.
const readerArg = "__reader"

const samples = 50

// benchWatch is the window between the appearance of a file that the policy
// denies and its mask, as a reader inside sees it who does nothing but wait.
func benchWatch(p *place, w io.Writer) error {
	fmt.Fprintf(w, "### The window of a file that appears\n\nThe host renames a file to a denied name while a command inside reads that name without a pause. Time from before the rename until it reads as empty, %d times; \"read\" counts how often the reader got the contents before.\n\n", samples)
	t := table{{"", "median", "p90", "longest", "read"}}
	for _, engine := range []string{"native", "bwrap"} {
		windows, seen, err := watchOn(p, engine)
		if err != nil {
			return err
		}
		t.row("engine "+engine, ms(quantile(windows, 0.5)), ms(quantile(windows, 0.9)), ms(quantile(windows, 1)), fmt.Sprintf("%d of %d", seen, samples))
	}
	t.print(w)
	return nil
}

func watchOn(p *place, engine string) (windows []float64, seen int, err error) {
	dir, err := p.project("watch-" + engine)
	if err != nil {
		return nil, 0, err
	}
	c := p.inside(engine, dir, "--", filepath.Join(p.dir, "bench"), readerArg, dir)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, 0, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	if err := c.Start(); err != nil {
		return nil, 0, err
	}
	defer c.Wait()
	defer in.Close()            // ends the reader
	time.Sleep(time.Second / 2) // the watcher has looked around
	answers := bufio.NewScanner(out)
	for n := range samples {
		name := fmt.Sprintf("%d.pem", n)
		hidden := filepath.Join(dir, name+".new")
		if err := os.WriteFile(hidden, []byte("secret\n"), 0o644); err != nil {
			return nil, 0, err
		}
		fmt.Fprintln(in, name)
		time.Sleep(20 * time.Millisecond) // it reads already
		start := monotonic()
		if err := os.Rename(hidden, filepath.Join(dir, name)); err != nil {
			return nil, 0, err
		}
		if !answers.Scan() {
			return nil, 0, fmt.Errorf("the reader ended early: %v", answers.Err())
		}
		f := strings.Fields(answers.Text())
		if len(f) != 2 {
			return nil, 0, fmt.Errorf("the reader says %q", answers.Text())
		}
		end, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return nil, 0, err
		}
		windows = append(windows, float64(end-start)/1e6)
		if f[1] != "0" {
			seen++
		}
	}
	return windows, seen, nil
}

// monotonic is the same clock for all processes, inside and outside.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // there is no Linux without it
	}
	return t.Nano()
}

// read is the reader inside: for every name it is told, it reads that file
// until it is there and empty, and says when that was and how often it was not.
func read(dir string) {
	names := bufio.NewScanner(os.Stdin)
	for names.Scan() {
		got := 0
		for limit := time.Now().Add(10 * time.Second); ; {
			text, err := os.ReadFile(filepath.Join(dir, names.Text()))
			if err == nil && len(text) == 0 {
				break
			}
			if err == nil {
				got++
			} else if !errors.Is(err, os.ErrNotExist) || time.Now().After(limit) {
				fmt.Fprintln(os.Stderr, "bench: the reader:", err)
				os.Exit(1)
			}
			if got > 0 && time.Now().After(limit) {
				fmt.Fprintln(os.Stderr, "bench: the file was not masked in ten seconds")
				os.Exit(1)
			}
		}
		fmt.Println(monotonic(), got)
	}
	if err := names.Err(); err != nil && !errors.Is(err, io.EOF) {
		os.Exit(1)
	}
}
