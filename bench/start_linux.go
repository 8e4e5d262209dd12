package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"os/exec"
)

// The namespaces that aigate makes, as bwrap's own flags.
var bareFlags = []string{"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--unshare-net",
	"--die-with-parent", "--new-session", "--cap-drop", "ALL"}

// bareBwrap is bubblewrap by hand with the mounts of a plan. late says whether
// masks and protections are among them or only the frame.
func (p *place) bareBwrap(steps []step, dir string, late bool) *exec.Cmd {
	args := append([]string{}, bareFlags...)
	for _, s := range steps {
		args = append(args, bwrapFlags(s, filepath.Join(p.dir, "empty"), late)...)
	}
	args = append(args, "--chdir", dir, "true")
	c := exec.Command("bwrap", args...)
	c.Dir = dir
	return c
}

func bwrapFlags(s step, empty string, late bool) []string {
	switch s.Kind {
	case "root", "show":
		return []string{"--ro-bind", s.Path, s.Path}
	case "bind":
		return []string{"--bind", s.Path, s.Path}
	case "dev":
		return []string{"--dev", s.Path}
	case "proc":
		return []string{"--proc", s.Path}
	case "scratch":
		return []string{"--perms", strconv.FormatUint(uint64(s.Mode), 8), "--tmpfs", s.Path}
	}
	if !late {
		return nil
	}
	switch {
	case s.View == "dir": // there is nothing to bind; what bwrap makes to mount on, it leaves behind
		return []string{"--tmpfs", s.Path}
	case s.View != "":
		return []string{"--ro-bind", empty, s.Path}
	}
	switch s.Kind {
	case "pin":
		return []string{"--bind", s.Path, s.Path}
	case "protect":
		return []string{"--ro-bind", s.Path, s.Path}
	case "mask", "block":
		return []string{"--ro-bind", empty, s.Path}
	case "hide":
		return []string{"--tmpfs", s.Path}
	}
	return nil
}

// again makes a series of a command: exec.Cmd runs once, so it is copied.
func again(name string, c *exec.Cmd) *series {
	return &series{name: name, run: func() error {
		one := exec.Command(c.Path, c.Args[1:]...)
		one.Dir, one.Env = c.Dir, c.Env
		return quietly(one)
	}}
}

// benchStart is the cost of a start, beside bubblewrap called by hand.
func benchStart(p *place, w io.Writer) error {
	dir, err := p.project("start")
	if err != nil {
		return err
	}
	twin, err := p.project("twin") // bwrap leaves empty files behind, so it gets a project of its own
	if err != nil {
		return err
	}
	steps, err := p.plan(twin)
	if err != nil {
		return err
	}
	frame, whole := p.bareBwrap(steps, twin, false), p.bareBwrap(steps, twin, true)
	all := []*series{
		again("`true` alone", exec.Command("true")),
		again("bare bwrap, namespaces and folders", frame),
		again(fmt.Sprintf("bare bwrap, all %d mounts of the plan", len(steps)), whole),
		again("aigate, engine native", p.inside("native", dir, "--", "true")),
		again("aigate, engine bwrap", p.inside("bwrap", dir, "--", "true")),
	}
	if err := interleave(p.rounds, all...); err != nil {
		return err
	}
	fmt.Fprintf(w, "### Start-up\n\n`true` in a project with one secret, default policy, `allow_net: []`; %d interleaved rounds, as a plain user.\n\n", p.rounds)
	t := table{{"", "median", "p10", "× bare bwrap", "× with all mounts"}}
	for _, s := range all {
		t.row(s.name, ms(s.median()), ms(s.p10()), times(s.median(), all[1].median()), times(s.median(), all[2].median()))
	}
	t.print(w)
	if err := benchStages(p, dir, w); err != nil {
		return err
	}
	return benchMemory(p, dir, w)
}

var stageLine = regexp.MustCompile(`(?m)^\[aigate\] (.+?) +([0-9.]+) ms$`)

// benchStages is where the time goes, as --verbose tells it.
func benchStages(p *place, dir string, w io.Writer) error {
	const runs = 21
	engines := []string{"bwrap", "native"} // bwrap has every stage, so its order is the table's
	var order []string
	took := map[string]map[string][]float64{"native": {}, "bwrap": {}}
	for range runs {
		for _, engine := range engines {
			c := p.inside(engine, dir, "--verbose", "--", "true")
			out, err := c.CombinedOutput()
			if err != nil {
				return fmt.Errorf("--verbose: %w\n%s", err, out)
			}
			for _, m := range stageLine.FindAllStringSubmatch(string(out), -1) {
				v, _ := strconv.ParseFloat(m[2], 64)
				took[engine][m[1]] = append(took[engine][m[1]], v)
				if len(took[engine][m[1]]) == 1 && !contains(order, m[1]) {
					order = append(order, m[1])
				}
			}
		}
	}
	fmt.Fprintf(w, "### Where the time goes\n\nThe stages that `--verbose` prints, medians of %d runs. \"Whole run\" begins when `main` does and ends with the command.\n\n", runs)
	t := table{{"stage", "native", "bwrap"}}
	last := ""
	for _, stage := range order {
		if stage == "whole run" {
			last = stage
			continue
		}
		t.row(stage, stageCell(took["native"][stage]), stageCell(took["bwrap"][stage]))
	}
	if last != "" {
		t.row(last, stageCell(took["native"][last]), stageCell(took["bwrap"][last]))
	}
	t.print(w)
	return nil
}

func stageCell(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return ms(quantile(v, 0.5))
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// benchMemory is what the supervisor holds while a command runs.
func benchMemory(p *place, dir string, w io.Writer) error {
	fmt.Fprint(w, "### Memory of the supervisor\n\nWhile `sleep` runs inside. \"Its own\" is what is not the program's file.\n\n")
	t := table{{"", "resident (VmRSS)", "its own (RssAnon)", "peak (VmHWM)"}}
	for _, engine := range []string{"native", "bwrap"} {
		rss, own, peak, err := p.memory(engine, dir, time.Second/2)
		if err != nil {
			return err
		}
		t.row("engine "+engine, rss, own, peak)
	}
	t.print(w)
	return nil
}

// memory starts a run, lets it settle, and looks at its supervisor.
func (p *place) memory(engine, dir string, settle time.Duration) (rss, own, peak string, err error) {
	c := p.inside(engine, dir, "--", "sleep", "60")
	if err := c.Start(); err != nil {
		return "", "", "", err
	}
	defer c.Wait()
	defer c.Process.Signal(syscall.SIGTERM)
	time.Sleep(settle)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	return mebibytes(text, "VmRSS"), mebibytes(text, "RssAnon"), mebibytes(text, "VmHWM"), err
}

// mebibytes reads a line such as "VmRSS:  1234 kB", see proc_pid_status(5).
func mebibytes(status []byte, key string) string {
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return fmt.Sprintf("%.1f MiB", kib/1024)
		}
	}
	return "?"
}
