package match

import (
	"path/filepath"
	"slices"
	"strings"
)

// scope is where patterns apply: names below the project and the roots, paths
// from the project's top.
type scope struct {
	project string
	roots   []string
}

func newScope(project string, roots []string) *scope {
	in := &scope{project: filepath.Clean(project)}
	for _, root := range roots {
		if root = filepath.Clean(root); !slices.Contains(in.roots, root) {
			in.roots = append(in.roots, root)
		}
	}
	return in
}

// MatchPath says whether the set names one absolute path, or a directory that
// it lies in, and by which pattern. It looks at no file: isDir says whether
// path is a directory or a symlink that leads to one. roots are those that
// Walk was given in Options.Roots. A path that is not absolute is not named.
func (s *Set) MatchPath(project, path string, isDir bool, roots ...string) (pattern string, ok bool) {
	if !filepath.IsAbs(path) {
		return "", false
	}
	path = filepath.Clean(path)
	in := newScope(project, roots)
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			if pattern, ok = s.decide(in, path[:i], true); ok {
				return pattern, true
			}
		}
	}
	return s.decide(in, path, isDir)
}

// decide is the one place that says what the list means for a path, not
// looking at the directories it lies in: the last rule that matches wins.
func (s *Set) decide(in *scope, path string, isDir bool) (pattern string, ok bool) {
	var aliases [][]segment
	if p := s.aliases.Load(); p != nil {
		aliases = *p
	}
	for i := len(s.rules) - 1; i >= 0; i-- {
		r := &s.rules[i]
		if r.dirOnly && !isDir {
			continue
		}
		if r.names(in, path) || aliases != nil && aliases[i] != nil && matchPath(aliases[i], path[1:]) {
			return s.patterns[r.pattern], !r.takesBack
		}
	}
	return "", false
}

// names says whether the rule matches the path, whatever kind of file it is.
func (r *rule) names(in *scope, path string) bool {
	switch r.base {
	case anyDepth:
		return r.segs[0].match(path[strings.LastIndexByte(path, '/')+1:]) && in.covers(path)
	case atRoot:
		return matchPath(r.segs, path[1:])
	}
	if path == in.project {
		return len(r.segs) == 0
	}
	if rel, ok := below(in.project, path); ok && matchPath(r.segs, rel) {
		return true
	}
	if r.floats() {
		for _, root := range in.roots {
			if rel, ok := below(root, path); ok && matchPath(r.segs, rel) {
				return true
			}
		}
	}
	return false
}

// covers says whether names without a slash apply to the path.
func (in *scope) covers(path string) bool {
	if _, ok := below(in.project, path); ok {
		return true
	}
	for _, root := range in.roots {
		if _, ok := below(root, path); ok {
			return true
		}
	}
	return false
}

// matchPath matches names one by one. As with stars in a name, only the last
// ** needs another try. No rule ends in **.
func matchPath(segs []segment, path string) bool {
	i, resume, mark := 0, -1, ""
	for {
		switch {
		case i < len(segs) && segs[i].kind == deep:
			i++
			resume, mark = i, path
			continue
		case i == len(segs) && path == "":
			return true
		case i < len(segs) && path != "":
			name, rest, _ := strings.Cut(path, "/")
			if segs[i].match(name) {
				i, path = i+1, rest
				continue
			}
		}
		if resume < 0 || mark == "" {
			return false
		}
		_, mark, _ = strings.Cut(mark, "/")
		i, path = resume, mark
	}
}

// below returns the path from dir to something inside it.
func below(dir, path string) (rel string, ok bool) {
	if dir == "/" {
		return path[1:], len(path) > 1
	}
	if len(path) <= len(dir)+1 || path[len(dir)] != '/' || path[:len(dir)] != dir {
		return "", false
	}
	return path[len(dir)+1:], true
}

func join(dir, name string) string {
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}
