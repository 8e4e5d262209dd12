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
	return s.covers(newScope(project, roots), filepath.Clean(path), isDir)
}

// covers is MatchPath for a clean path.
func (s *Set) covers(in *scope, path string, isDir bool) (pattern string, ok bool) {
	if pattern, ok = s.surrounds(in, path); ok {
		return pattern, true
	}
	return s.decide(in, path, isDir)
}

// surrounds says whether the set names a directory that the path lies in.
func (s *Set) surrounds(in *scope, path string) (pattern string, ok bool) {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			if pattern, ok = s.decide(in, path[:i], true); ok {
				return pattern, true
			}
		}
	}
	return "", false
}

// decide is the one place that says what the list means for a path, not
// looking at the directories it lies in: the last rule that matches wins.
func (s *Set) decide(in *scope, path string, isDir bool) (pattern string, ok bool) {
	p := in.place(path)
	ways := s.ways.Load()
	for i := len(s.rules) - 1; i >= 0; i-- {
		r := &s.rules[i]
		if r.first != p.first && r.first != 0 || r.last != p.last && r.last != 0 || r.dirOnly && !isDir {
			continue
		}
		if r.names(in, &p) || ways != nil && ways.alias(i).names(in, &p) {
			return s.patterns[r.pattern], !r.takesBack
		}
	}
	return "", false
}

// subject is a path, and what every rule would ask of it.
type subject struct {
	path, name  string
	first, last byte   // of the name
	rel         string // from the project's top
	inProject   bool   // or else rel means nothing
	covered     bool   // below the project or a root
}

func (in *scope) place(path string) subject {
	p := subject{path: path, name: path[strings.LastIndexByte(path, '/')+1:]}
	if p.name != "" {
		p.first, p.last = p.name[0], p.name[len(p.name)-1]
	}
	p.rel, p.inProject = below(in.project, path)
	p.covered = p.inProject || slices.ContainsFunc(in.roots, func(root string) bool {
		_, ok := below(root, path)
		return ok
	})
	return p
}

// names says whether the rule matches the path, whatever kind of file it is.
func (r *rule) names(in *scope, p *subject) bool {
	switch {
	case r == nil:
		return false
	case r.literal:
		return r.spells(in, p)
	case !r.segs[len(r.segs)-1].match(p.name):
		return false
	case r.base == anyDepth:
		return p.covered
	case r.base == atRoot:
		return matchPath(r.segs, p.path[1:])
	case p.path == in.project:
		return false
	case p.inProject && matchPath(r.segs, p.rel):
		return true
	}
	return r.floats() && slices.ContainsFunc(in.roots, func(root string) bool {
		rel, ok := below(root, p.path)
		return ok && matchPath(r.segs, rel)
	})
}

// spells is names for a literal rule.
func (r *rule) spells(in *scope, p *subject) bool {
	switch {
	case r.base == anyDepth:
		return p.name == r.path && p.covered
	case r.base == atRoot:
		return p.path == r.path
	case r.path == "":
		return p.path == in.project
	}
	return p.inProject && p.rel == r.path
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

// parent is the directory that an absolute path lies in.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 1)]
}
