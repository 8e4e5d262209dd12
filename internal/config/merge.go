package config

import (
	"slices"
	"strings"
)

// Merge gives the whole of what holds: the built-in lists, the global file, and the project's,
// which extends it. Later entries stand behind earlier ones, so that a "!entry" takes back what is
// before it. Either may be nil.
func Merge(global, project *Config) Config {
	if global == nil {
		global = &Config{}
	}
	if project == nil {
		project = &Config{}
	}
	write, taken := takeBack(union(builtinAllowWrite(), global.AllowWrite, project.AllowWrite))
	out := Config{
		Group:      either(global.Group, project.Group),
		User:       either(global.User, project.User),
		DenyRead:   union(global.DenyRead, project.DenyRead),
		DenyWrite:  union(builtinDenyWrite(), taken, global.DenyWrite, project.DenyWrite),
		AllowWrite: write,
		DenyExec:   union(global.DenyExec, project.DenyExec),
		DenyEnv:    union(builtinDenyEnv(), global.DenyEnv, project.DenyEnv),
		Engine:     either(project.Engine, global.Engine),
		Network:    either(project.Network, global.Network),
		Limits:     global.Limits.replaced(project.Limits),
		Mask: Mask{
			Presets:  union(global.Mask.Presets, project.Mask.Presets),
			Patterns: mergePatterns(global.Mask.Patterns, project.Mask.Patterns),
		},
	}
	if global.AllowNet != nil || project.AllowNet != nil {
		out.AllowNet = append([]string{}, union(global.AllowNet, project.AllowNet)...) // never nil here
	}
	return out
}

// union keeps the order and drops an entry that comes again, unless one with the other sign stands
// in between: then the later one has something to say.
func union(lists ...[]string) []string {
	n, last := 0, 0
	for i, l := range lists {
		if len(l) > 0 {
			n, last = n+len(l), i
		}
	}
	if n == len(lists[last]) {
		return lists[last] // the usual case at start-up: nothing to unite
	}
	out := make([]string, 0, n)
	seen := make(map[string]int, n)
	lastWith := [2]int{-1, -1} // index of the last plain entry, of the last "!entry"
	for _, l := range lists {
		for _, s := range l {
			sign := 0
			if strings.HasPrefix(s, "!") {
				sign = 1
			}
			if at, ok := seen[s]; ok && lastWith[1-sign] < at {
				continue
			}
			seen[s], lastWith[sign] = len(out), len(out)
			out = append(out, s)
		}
	}
	return out
}

// takeBack resolves the "!entry"s of allow_write: entries equal to one or inside it go, and the
// place becomes one that cannot be written, for the case that it lies inside an entry that stays.
func takeBack(entries []string) (allowed, denied []string) {
	for _, e := range entries {
		back, isBack := strings.CutPrefix(e, "!")
		if !isBack {
			allowed = append(allowed, e)
			denied = slices.DeleteFunc(denied, func(d string) bool { return d == e })
			continue
		}
		dir := strings.TrimSuffix(back, "/") + "/"
		allowed = slices.DeleteFunc(allowed, func(a string) bool {
			return strings.HasPrefix(strings.TrimSuffix(a, "/")+"/", dir)
		})
		denied = append(denied, back)
	}
	return allowed, denied
}

func mergePatterns(lists ...[]MaskPattern) []MaskPattern {
	var out []MaskPattern
	for _, l := range lists {
		for _, p := range l {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
