package match

import "path/filepath"

// findAliases looks up where the fixed patterns' places are without symlinks
// on the way. When /home/me leads to /data/me, a watcher that watches
// /data/me/project must still know ~/project/key when it appears.
func (s *Set) findAliases() {
	var aliases [][]segment
	known := make(map[string]string)
	for i := range s.rules {
		r := &s.rules[i]
		if r.base != atRoot {
			continue
		}
		prefix := r.literalPrefix()
		if prefix == len(r.segs) {
			prefix-- // the last name may be a symlink that is meant itself
		}
		path := r.literalPath(nil, prefix)
		real := realPath(known, path)
		if real == path {
			continue
		}
		if aliases == nil {
			aliases = make([][]segment, len(s.rules))
		}
		aliases[i] = append(literals(real), r.segs[prefix:]...)
	}
	s.aliases.Store(&aliases)
}

// realPath resolves symlinks as far as the path exists.
func realPath(known map[string]string, path string) string {
	if real, ok := known[path]; ok {
		return real
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
		if dir, name := filepath.Split(path); name != "" {
			real = join(realPath(known, filepath.Clean(dir)), name)
		}
	}
	known[path] = real
	return real
}
