package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/gate"
)

// Loosens says, a sentence each, what a project's file may take away from the protection, whatever
// the global file says. Empty means that the file only tightens.
func Loosens(project *Config) []string { return LoosensBeyond(nil, project) }

// LoosensBeyond is Loosens against a known global file: a limit that is lower, or a host that is
// allowed anyway, is not named.
func LoosensBeyond(global, project *Config) []string {
	if project == nil {
		return nil
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	kept := tightening(global, project)

	for _, host := range project.AllowNet {
		if !slices.Contains(kept.AllowNet, host) {
			say("allow_net: %s", reach(host))
		}
	}
	for _, l := range []struct {
		key, effect string
		entries     []string
	}{
		{"allow_write", "makes %s writable", positive(project.AllowWrite)},
		{"deny_read", "makes %s readable again", negative(project.DenyRead)},
		{"deny_write", "makes %s writable again", negative(project.DenyWrite)},
		{"deny_env", "passes the variable %s on again", negative(project.DenyEnv)},
	} {
		for _, e := range l.entries {
			say("%s: "+l.effect, l.key, strings.TrimPrefix(e, "!"))
		}
	}
	out = append(out, project.Limits.beyond(kept.Limits)...)
	if project.Engine != "" {
		say("engine: chooses %s", project.Engine)
	}
	if project.Network != "" {
		say("network: chooses %s", project.Network)
	}
	return out
}

// reach says what an entry of allow_net opens. A name stands there as it is looked up, so that one
// of foreign letters that look like others cannot pass for what it looks like.
func reach(entry string) string {
	rule, err := gate.ParseRule(entry)
	switch {
	case err != nil:
		return fmt.Sprintf("lets the network reach %q", entry)
	case rule.Localhost:
		return fmt.Sprintf("lets the network reach port %d of your machine itself", rule.Port)
	case rule.Wildcard:
		return fmt.Sprintf("lets the network reach every host below %s (%s)", rule.Name, rule)
	}
	return "lets the network reach " + rule.String()
}

// Tightening is the part of a project's file that needs nobody's approval: the file without what
// LoosensBeyond names. global may be nil.
func Tightening(global, project *Config) *Config {
	if project == nil {
		return nil
	}
	return tightening(global, project)
}

func tightening(global, project *Config) *Config {
	out := *project
	out.Engine, out.Network = "", ""
	out.DenyRead, out.DenyWrite, out.DenyEnv = positive(project.DenyRead), positive(project.DenyWrite), positive(project.DenyEnv)
	out.AllowWrite = negative(project.AllowWrite)

	strict := global == nil // nothing is known to be allowed, so everything loosens
	if strict {
		global = &Config{AllowNet: []string{}}
	}
	if global.AllowNet != nil && project.AllowNet != nil {
		// Beside a list, a project's list adds; without one it narrows the host's network.
		out.AllowNet = intersection(project.AllowNet, global.AllowNet)
	}
	known := &global.Limits
	if strict {
		known = nil
	}
	out.Limits = project.Limits.within(known)
	return &out
}

func positive(entries []string) []string {
	return filter(entries, func(e string) bool { return !strings.HasPrefix(e, "!") })
}

func negative(entries []string) []string {
	return filter(entries, func(e string) bool { return strings.HasPrefix(e, "!") })
}

func intersection(a, b []string) []string {
	return filter(a, func(e string) bool { return slices.Contains(b, e) })
}

// filter gives a list that is never nil.
func filter(entries []string, keep func(string) bool) []string {
	out := make([]string, 0, len(entries))
	for _, e := range entries {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}
