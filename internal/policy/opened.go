package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
)

// A folder that the user's own allow_write opens is likely one that he works in: the
// next project, or all of them. So in it, too, what his shell, git and editor would
// run stays as it is. (The built-in entries are caches and the state of agents, in
// which nobody works, and which would take long to look through.)

// opened takes note of a folder that an entry of allow_write opens.
func (p *Policy) opened(dir, pattern string) {
	if slices.Contains(config.BuiltinAllowWrite(), pattern) || below(dir, p.Project) {
		return
	}
	p.roots = slices.DeleteFunc(p.roots, func(root string) bool { return below(root, dir) })
	if !slices.ContainsFunc(p.roots, func(root string) bool { return below(dir, root) }) {
		p.roots = append(p.roots, dir)
	}
}

// places are the project and the folders that were opened besides.
func (p *Policy) places() []string { return append([]string{p.Project}, p.roots...) }

// placeOf gives the one that a path lies in, "" when it is in none.
func (p *Policy) placeOf(path string) (place string) {
	for _, root := range p.places() {
		if below(path, root) && len(root) > len(place) {
			place = root
		}
	}
	return place
}

// protectOpened is for such folders what protected is for the project, but that names
// which are not there can be made. Repositories in a folder of git's that lies
// elsewhere are looked for as well.
func (p *Policy) protectOpened(met *met) error {
	outside := p.gitDirsOutside()
	if len(p.roots)+len(outside) == 0 {
		return nil
	}
	set, err := match.Parse(nil, p.Home) // only places are of interest
	if err != nil {
		return err
	}
	for _, root := range append(outside, p.roots...) { // a worktree's submodules are in the repository
		if _, err := set.Walk(root, match.Options{OnEntry: met.entry, Names: metNames}); err != nil {
			return fmt.Errorf("look for repositories in %s: %w", root, err)
		}
	}
	for _, root := range p.roots {
		met.entry(root)
		if err := p.guardNamed(root, floating(p.config.DenyWrite)); err != nil {
			return err
		}
	}
	tops := atTop(p.config.DenyWrite)
	for _, repo := range met.repos {
		tree := filepath.Dir(repo)
		if filepath.Base(repo) != ".git" || !slices.Contains(p.roots, p.placeOf(tree)) {
			continue
		}
		if err := p.guardNamed(tree, tops); err != nil {
			return err
		}
	}
	return nil
}

// guardNamed protects what patterns of deny_write name, were dir the project.
func (p *Policy) guardNamed(dir string, patterns []string) error {
	h := p.host
	h.Project = dir
	noWrite := walk("deny_write", patterns, h, match.Options{})
	if noWrite.err != nil {
		return noWrite.err
	}
	for _, f := range noWrite.Found {
		if err := p.guard(f.Path, f.Dir, "deny_write "+f.Pattern); err != nil {
			return err
		}
	}
	return nil
}

// atTop gives the patterns that spell out a place at a project's top. To look for
// these takes no walk.
func atTop(patterns []string) (out []string) {
	for _, pat := range floating(patterns) {
		if strings.Contains(strings.TrimRight(pat, "/"), "/") && !strings.ContainsAny(pat, `*?[{\`) {
			out = append(out, pat)
		}
	}
	return out
}

// floating leaves out the patterns for fixed places: these are the same everywhere.
func floating(patterns []string) (out []string) {
	for _, pat := range patterns {
		if place := strings.TrimPrefix(pat, "!"); !strings.HasPrefix(place, "/") && !strings.HasPrefix(place, "~/") {
			out = append(out, pat)
		}
	}
	return out
}
