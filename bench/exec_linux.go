package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs is how many are started one after the other.
const programs = 2000

// benchExec is what it costs that every program is judged: beside the same
// sandbox with an empty deny_exec, and no sandbox.
func benchExec(p *place, w io.Writer) error {
	dir, err := p.project("exec")
	if err != nil {
		return err
	}
	free, err := p.homeWithout("deny_exec")
	if err != nil {
		return err
	}
	if err := cProject(dir, 24); err != nil {
		return err
	}
	rounds := max(3, p.rounds/5)
	fmt.Fprintf(w, "### Judging what is executed\n\nThe default `deny_exec` against an empty one, engine native; %d interleaved rounds. The C project has 24 files, compiled anew each time.\n\n", rounds)
	t := table{{"", "no sandbox", "no rules", "with rules", "× without, median", "p10"}}
	loop := fmt.Sprintf("i=0; while [ $i -lt %d ]; do /bin/true; i=$((i+1)); done", programs)
	for _, c := range []struct {
		name string
		cmd  []string
	}{
		{fmt.Sprintf("%d × `/bin/true`, one after the other", programs), []string{"sh", "-c", loop}},
		{"`make -j2` of a small C project", []string{"make", "-s", "-j2", "-B"}},
	} {
		outside := exec.Command(c.cmd[0], c.cmd[1:]...)
		outside.Dir = dir
		judged := p.inside("native", dir, append([]string{"--"}, c.cmd...)...)
		unjudged := p.inside("native", dir, append([]string{"--"}, c.cmd...)...)
		unjudged.Env = append(unjudged.Env, "HOME="+free)
		all := []*series{again("no sandbox", outside), again("no rules", unjudged), again("rules", judged)}
		if err := interleave(rounds, all...); err != nil {
			return err
		}
		t.row(c.name, ms(all[0].median()), ms(all[1].median()), ms(all[2].median()), times(all[2].median(), all[1].median()), times(all[2].p10(), all[1].p10()))
	}
	t.print(w)
	return nil
}

// homeWithout makes a second home, whose configuration has an empty list.
func (p *place) homeWithout(key string) (string, error) {
	text, err := os.ReadFile(filepath.Join(p.home, ".aigate", "config.yaml"))
	if err != nil {
		return "", err
	}
	before, rest, ok := strings.Cut(string(text), "\n"+key+":\n")
	if !ok {
		return "", fmt.Errorf("no %s in the configuration", key)
	}
	for strings.HasPrefix(rest, "  - ") {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	home := filepath.Join(p.dir, "home-without-"+key)
	if err := os.MkdirAll(filepath.Join(home, ".aigate"), 0o755); err != nil {
		return "", err
	}
	return home, os.WriteFile(filepath.Join(home, ".aigate", "config.yaml"), []byte(before+"\n"+key+": []\n"+rest), 0o600)
}

// cProject writes files of C, with as much in each as a small one has, and what
// compiles them.
func cProject(dir string, files int) error {
	var objects []string
	for i := range files {
		var b strings.Builder
		b.WriteString("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
		for j := range 60 {
			fmt.Fprintf(&b, "int f%d_%d(int n, const char *s) { int sum = 0; for (int i = 0; i < n; i++) { sum += s[i %% %d] * %d; if (sum > 1000) printf(\"%%d %%s\\n\", sum, s); } return sum ^ (int)strlen(s); }\n", i, j, j+1, i+j)
		}
		name := fmt.Sprintf("src/part%d", i)
		objects = append(objects, name+".o")
		if err := os.WriteFile(filepath.Join(dir, name+".c"), []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	makefile := "all: " + strings.Join(objects, " ") + "\n%.o: %.c\n\tcc -O1 -c -o $@ $<\n"
	return os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o644)
}
