package policy

import (
	"errors"
	"slices"
)

// StrikeOut lists what was removed during the run, and removes what came while
// nobody watched: at the very start, or because the watcher could not keep up.
func (p *Policy) StrikeOut() (out []string, err error) {
	for _, path := range p.Struck {
		removed, failed := p.strikeOff(path)
		err = errors.Join(err, failed)
		if removed {
			out = append(out, path)
		}
	}
	removed, _, _ := p.watch.all()
	return append(out, removed...), err
}

// Appeared lists, at the end of a run, what came into being that the user's
// shell, git or editor would run and that no rule kept from being made: new
// repositories (hooks and configuration of their own), and protected names
// that were not there before.
func (p *Policy) Appeared() (out []string) {
	for _, path := range p.absent {
		if exists(path) && !p.holds(path) {
			out = append(out, path)
		}
	}
	for path, before := range p.atStart {
		if now := stamp(path); now != "" && now != before {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	_, made, _ := p.watch.all()
	seen := map[string]bool{}
	for _, path := range made {
		if !seen[path] && exists(path) && !p.holds(path) {
			seen[path] = true
			out = append(out, path)
		}
	}
	return out
}

// holds says that a placeholder of this run stands at a path: they are taken away
// while we look. (The command could make something with a placeholder's modes.)
func (p *Policy) holds(path string) bool {
	return !isThere(path) && slices.ContainsFunc(p.Protected, func(e Protected) bool {
		return e.Missing && (e.Path == path || slices.Contains(e.Through, path))
	})
}

// Moved lists denied files of the project that are no longer where they were:
// a rule that goes by name or place may not find them in the next run.
func (p *Policy) Moved() (out []string) {
	for _, e := range p.Hidden {
		if below(e.Path, p.Project) && e.Rule != hostSocket && !exists(e.Path) {
			out = append(out, e.Path)
		}
	}
	return out
}

// Replaced lists protected files that a program outside replaced during the run
// (git writes its configuration so). Until the watcher had the new one protected
// the payload could write it.
func (p *Policy) Replaced() (out []string) {
	_, _, out = p.watch.all()
	slices.Sort(out)
	return out
}
