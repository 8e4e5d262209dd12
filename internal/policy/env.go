package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/sandbox"
)

// environment takes out what deny_env names and adds what tells a program that
// it is in a sandbox.
func (p *Policy) environment() {
	for _, e := range p.host.Env {
		name, _, _ := strings.Cut(e, "=")
		if name == "AIGATE" || name == "AIGATE_POLICY" {
			continue
		}
		if denied(p.config.DenyEnv, name) {
			p.Removed = append(p.Removed, name)
			continue
		}
		p.Env = append(p.Env, e)
	}
	slices.Sort(p.Removed)
	p.Env = append(p.Env, "AIGATE=1", "AIGATE_POLICY="+sandbox.PolicyFile)
}

// denied: the last glob that matches decides, as in deny_read.
func denied(globs []string, name string) bool {
	for i := len(globs) - 1; i >= 0; i-- {
		g, back := strings.CutPrefix(globs[i], "!")
		if ok, _ := path.Match(g, name); ok {
			return !back
		}
	}
	return false
}
