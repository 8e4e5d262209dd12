package policy

import (
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// environment takes out what deny_env names and, where the gate is the network, what leads to a
// proxy, unless deny_env keeps it by name. It adds what tells a program that it is in a sandbox.
func (p *Policy) environment() {
	rules := newEnvRules(p.config.DenyEnv)
	for _, e := range p.host.Env {
		name, _, _ := strings.Cut(e, "=")
		if name == "AIGATE" || name == "AIGATE_POLICY" || name == "AIGATE_ENGINE" || name == "AIGATE_GATE" {
			continue
		}
		denied, named := rules.judge(name)
		if !named {
			denied = p.Network.Gated() && proxyVariable(name)
		}
		if denied {
			p.Removed = append(p.Removed, name)
			continue
		}
		p.Env = append(p.Env, e)
	}
	slices.Sort(p.Removed)
	p.Env = append(p.Env, "AIGATE=1", "AIGATE_POLICY="+sandbox.PolicyFile)
	// fakeroot(1) forgives chown(2) an EPERM and not the EINVAL of an owner without a number inside.
	if fakeroot := "FAKEROOTDONTTRYCHOWN"; getenv(p.host.Env, fakeroot) == "" {
		p.Env = append(p.Env, fakeroot+"=1")
	}
}

// envRules answers what config.EnvDenied does, for many names: most rules have
// no glob and cost one look into a map.
type envRules struct {
	rules   []string
	literal map[string]int // upper case → the last rule
	globs   []int
}

func newEnvRules(rules []string) *envRules {
	r := &envRules{rules: rules, literal: make(map[string]int, len(rules))}
	for i, g := range rules {
		g = strings.TrimPrefix(g, "!")
		if strings.ContainsAny(g, "*?") {
			r.globs = append(r.globs, i)
		} else {
			r.literal[strings.ToUpper(g)] = i
		}
	}
	return r
}

// judge: the last rule that matches decides. named is false where none does.
func (r *envRules) judge(name string) (denied, named bool) {
	last, ok := r.literal[strings.ToUpper(name)]
	if !ok {
		last = -1
	}
	for i := len(r.globs) - 1; i >= 0 && r.globs[i] > last; i-- {
		n := r.globs[i]
		if config.EnvDenied([]string{strings.TrimPrefix(r.rules[n], "!")}, name) {
			last = n
			break
		}
	}
	if last < 0 {
		return false, false
	}
	return !strings.HasPrefix(r.rules[last], "!"), true
}
