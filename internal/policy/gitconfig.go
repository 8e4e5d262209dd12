package policy

import (
	"path/filepath"
	"strings"
)

// gitSettings are the settings of git that say where it finds more of what it
// runs: git-config(1).
type gitSettings struct {
	includes  []string // include.path, includeIf.*.path
	hooksPath string   // core.hooksPath
	worktree  string   // core.worktree
	perTree   bool     // extensions.worktreeConfig
	values    []string // of every setting: many name a program
}

// readGitConfig reads one file. It knows what git writes and what people
// write, not every corner of the syntax; a file that escapes it is protected
// itself, so a payload cannot make it say something else.
func readGitConfig(path string) (s gitSettings) {
	section := ""
	for line := range strings.Lines(readFile(path)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			head, rest, _ := strings.Cut(line[1:], "]")
			name, _, _ := strings.Cut(head, " ")
			section = strings.ToLower(name)
			line = strings.TrimSpace(rest)
		}
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		s.values = append(s.values, value)
		switch section + "." + strings.ToLower(strings.TrimSpace(key)) {
		case "include.path", "includeif.path":
			s.includes = append(s.includes, value)
		case "core.hookspath":
			s.hooksPath = value
		case "core.worktree":
			s.worktree = value
		case "extensions.worktreeconfig":
			s.perTree = strings.EqualFold(value, "true") || value == "1" || value == ""
		}
	}
	return s
}

// place gives the path that a value of git's configuration means: ~ is the
// home, the rest is relative to dir.
func (p *Policy) place(value, dir string) string {
	if rest, ok := strings.CutPrefix(value, "~/"); ok {
		return filepath.Join(p.Home, rest)
	}
	return filepath.Clean(absolute(dir, value))
}

// mostIncludes bounds what a command can have the next start read.
const mostIncludes = 1000

// guardGitConfig protects what a configuration file of git's refers to: the
// files it includes, and the folder of hooks, which is relative to tree.
func (p *Policy) guardGitConfig(file, tree string, depth int) error {
	s := readGitConfig(file)
	if s.hooksPath != "" {
		if err := p.guard(p.place(s.hooksPath, tree), true, "core.hooksPath of git"); err != nil {
			return err
		}
	}
	for _, value := range s.values {
		if err := p.guardPrograms(value, tree); err != nil {
			return err
		}
	}
	if depth == 0 || len(p.includes) > mostIncludes {
		return nil // git stops at 10
	}
	for _, inc := range s.includes {
		path := p.place(inc, filepath.Dir(file))
		if key := path + "\x00" + tree; p.includes[key] {
			continue // it includes itself, or is included twice
		} else if p.includes == nil {
			p.includes = map[string]bool{key: true}
		} else {
			p.includes[key] = true
		}
		if err := p.guard(path, false, "included by git's configuration"); err != nil {
			return err
		}
		if err := p.guardGitConfig(path, tree, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// guardPrograms protects files of the work tree that a setting names:
// core.fsmonitor, filters, aliases and a dozen others run a command line.
func (p *Policy) guardPrograms(value, tree string) error {
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t;&|()<>\"'!", r) }) {
		path := p.place(word, tree)
		if !below(path, tree) || path == tree || !regular(path) {
			continue
		}
		if err := p.guard(path, false, "named by git's configuration"); err != nil {
			return err
		}
	}
	return nil
}

// userGitConfigs are the files that hold for every repository of the user.
func (p *Policy) userGitConfigs() []string {
	if p.Home == "" {
		return nil
	}
	config := getenv(p.host.Env, "XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(p.Home, ".config")
	}
	return []string{filepath.Join(p.Home, ".gitconfig"), filepath.Join(config, "git/config"), "/etc/gitconfig"}
}
