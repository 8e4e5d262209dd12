package guard

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Found is a program of this machine that a rule names.
type Found struct {
	Path string // in a folder without symlinks; may be one itself
	Real string // what it leads to, not a symlink
	Many bool   // Real answers to other names than the rule's
	rule *Rule
}

// Rule is the rule's text.
func (f *Found) Rule() string { return f.rule.Text }

// Find gives the programs that rules name, in the folders of programs and where
// a path leads. The folders must be without symlinks.
func Find(rules []Rule, dirs []string) (out []Found) {
	for i := range rules {
		r := &rules[i]
		switch {
		case r.isPath() && r.isGlob():
			paths, _ := filepath.Glob(r.name) // the pattern was checked
			for _, p := range paths {
				out = r.found(out, p, dirs)
			}
		case r.isPath():
			out = r.found(out, r.name, dirs)
		case r.isGlob():
			for _, dir := range dirs {
				for _, name := range names(dir) {
					if fits(r.name, name) {
						out = r.found(out, filepath.Join(dir, name), dirs)
					}
				}
			}
		default:
			for _, dir := range dirs {
				out = r.found(out, dir+"/"+r.name, dirs)
			}
		}
	}
	return out
}

func names(dir string) (out []string) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	out, _ = d.Readdirnames(-1)
	return out
}

// found adds what lies at a path, if there is something.
func (r *Rule) found(out []Found, path string, dirs []string) []Found {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil || st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return out
	}
	dir, name := filepath.Split(path)
	if r.isPath() {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return out
		}
		dir = real
	}
	f := Found{Path: filepath.Join(dir, name), rule: r}
	if f.Real = f.Path; st.Mode&syscall.S_IFMT == syscall.S_IFLNK {
		real, err := filepath.EvalSymlinks(f.Path)
		if err != nil || syscall.Stat(real, &st) != nil {
			return append(out, f)
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			return out
		}
		f.Real = real
		f.Many = manyNames(real, uint64(st.Nlink), r.base(), dirs)
	}
	return append(out, f)
}

// related says that a file's name is a program's, perhaps with a version or a
// variant behind it.
func related(name, program string) bool {
	return fits(program, name) || strings.HasPrefix(name, program+".") || strings.HasPrefix(name, program+"-")
}

// manyNames says that a program answers to other names than the denied one.
func manyNames(real string, links uint64, name string, dirs []string) bool {
	base := filepath.Base(real)
	if related(base, name) {
		return false
	}
	return ofMany(base) || links > 1 || linkedByOthers(real, name, dirs)
}

// linkedByOthers looks whether another name in the folders of programs leads to
// the same file.
func linkedByOthers(real, name string, dirs []string) bool {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink == 0 || related(e.Name(), name) {
				continue
			}
			if to, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name())); err == nil && to == real {
				return true
			}
		}
	}
	return false
}
