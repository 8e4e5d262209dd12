package config

import (
	"strings"

	"github.com/AxeForging/aigate/internal/match"
)

// A folder in which a project lies may have a .aigate.yaml as well. A command can make a project of
// any sub-folder; its next run, started there, is not to be free of what holds around it.

// Around is what the file of an enclosing folder says to the projects inside of it: what tightens
// base, which is the global file or what is around the folder itself, and, when it was approved,
// the hosts and the exceptions from rules as well. It opens no folder, raises no limit and chooses
// no engine. Its patterns are those of its own folder.
func (f *File) Around(base *Config, approved bool, dir string) *Config {
	said := f.Config
	if !approved {
		said = tightening(base, said)
	}
	return &Config{
		DenyRead:   anchored(said.DenyRead, dir),
		DenyWrite:  anchored(said.DenyWrite, dir),
		AllowWrite: anchored(negative(said.AllowWrite), dir),
		DenyExec:   said.DenyExec,
		DenyEnv:    said.DenyEnv,
		AllowNet:   said.AllowNet,
		Limits:     said.Limits.within(&base.Limits),
		Mask:       said.Mask,
	}
}

// Extend puts the rules of an enclosing folder behind those of base.
func Extend(base, around *Config) *Config {
	out := *base
	out.DenyRead = union(base.DenyRead, around.DenyRead)
	out.DenyWrite = union(base.DenyWrite, around.DenyWrite)
	out.AllowWrite = union(base.AllowWrite, around.AllowWrite)
	out.DenyExec = union(base.DenyExec, around.DenyExec)
	out.DenyEnv = union(base.DenyEnv, around.DenyEnv)
	if base.AllowNet != nil || around.AllowNet != nil {
		out.AllowNet = append([]string{}, union(base.AllowNet, around.AllowNet)...) // never nil here
	}
	out.Limits = base.Limits.replaced(around.Limits) // which are smaller
	out.Mask.Presets = union(base.Mask.Presets, around.Mask.Presets)
	out.Mask.Patterns = mergePatterns(base.Mask.Patterns, around.Mask.Patterns)
	return &out
}

// Within is a project's file for a project that lies in others: what it takes back is taken back in
// its own folder alone. Names hold in the enclosing folders as well, and there somebody else has
// the say.
func (c *Config) Within(dir string) *Config {
	out := *c
	out.DenyRead = nil
	for _, p := range c.DenyRead {
		if strings.HasPrefix(p, "!") {
			out.DenyRead = append(out.DenyRead, match.Anchor(p, dir)...)
		} else {
			out.DenyRead = append(out.DenyRead, p)
		}
	}
	return &out
}

func anchored(patterns []string, dir string) (out []string) {
	for _, p := range patterns {
		out = append(out, match.Anchor(p, dir)...)
	}
	return out
}
