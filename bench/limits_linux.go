package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// limitsBlock is what `aigate init` writes about limits.
var limitsBlock = regexp.MustCompile(`(?m)^resource_limits:\n(?:  .*\n)+`)

// benchLimits is what limits add to a start: the same configuration with and
// without them, by each way that there is on this machine.
func benchLimits(p *place, w io.Writer) error {
	dir, err := p.project("limits")
	if err != nil {
		return err
	}
	free := filepath.Join(p.dir, "unlimited")
	if err := quietly(exec.Command("cp", "-a", p.home, free)); err != nil {
		return err
	}
	conf := filepath.Join(free, ".aigate/config.yaml")
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	if !limitsBlock.Match(text) {
		return errors.New("no resource_limits in what init writes")
	}
	if err := os.WriteFile(conf, limitsBlock.ReplaceAll(text, nil), 0o600); err != nil {
		return err
	}
	var all []*series
	for _, engine := range []string{"native", "bwrap"} {
		none := p.inside(engine, dir, "--", "true")
		none.Env = append(none.Env, "HOME="+free)
		all = append(all, again(engine+", no limits", none))
		for _, by := range []string{"systemd", "cgroup", "watched"} {
			c := p.inside(engine, dir, "--", "true")
			c.Env = append(c.Env, "AIGATE_LIMITS="+by)
			if again("", c).run() == nil {
				all = append(all, again(engine+", "+by, c))
			}
		}
	}
	if err := interleave(p.rounds, all...); err != nil {
		return err
	}
	fmt.Fprintf(w, "### Limits\n\n`true` with and without the `resource_limits` that `aigate init` writes, by the ways that there are on this machine; %d interleaved rounds.\n\n", p.rounds)
	t := table{{"", "median", "p10", "added"}}
	var base float64
	for _, s := range all {
		if strings.HasSuffix(s.name, "no limits") {
			base = s.median()
		}
		t.row(s.name, ms(s.median()), ms(s.p10()), ms(s.median()-base))
	}
	t.print(w)
	return nil
}
