package match

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The fixed places of a list share their parents: a hundred lie in ~ and
// ~/.config. Each directory on the way is looked at once in a walk, and when it
// is not there, nothing is asked for in it.

// places are the directories on the way to fixed places, by their path.
type places map[string]*place

// place is such a directory, or what stands where one should.
type place struct {
	real  string // its path without symlinks on the way, as far as it exists
	err   error  // why nothing in it can be looked up
	loose bool   // a symlink on the way leads nowhere, or to no directory
	asked int    // how many names were looked up in it
	fd    int    // it itself, when it was worth opening, or -1
}

// openAfter is how many names are looked up in a directory by their paths
// before it is opened: opening and closing it costs as much as four of them, and
// each that follows costs a third less.
const openAfter = 8

// dir looks at a directory.
func (known places) dir(path string) *place {
	p := known[path]
	if p == nil {
		p = known.look(path)
		known[path] = p
	}
	return p
}

func (known places) look(path string) *place {
	if path == "/" {
		return &place{real: path, fd: -1}
	}
	above := parent(path)
	up := known.dir(above)
	p := &place{real: path, err: up.err, loose: up.loose, fd: -1}
	if up.real != above {
		p.real = join(up.real, filepath.Base(path))
	}
	if up.err != nil {
		return p
	}
	var st unix.Stat_t
	if p.err = up.lstat(path, &st); p.err != nil {
		return p
	}
	switch kindOfMode(&st) {
	case kindDir:
	case kindLink:
		p.follow(path)
	default:
		p.err = syscall.ENOTDIR
	}
	return p
}

// follow is for a symlink.
func (p *place) follow(path string) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		p.real = real
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		p.err = err
	case !info.IsDir():
		p.err = syscall.ENOTDIR
	}
	p.loose = p.loose || p.err != nil
}

// lstat looks at an entry of the directory; path is the whole path.
func (p *place) lstat(path string, st *unix.Stat_t) error {
	if p.asked++; p.asked == openAfter {
		p.fd = openPlace(parent(path))
	}
	if p.fd < 0 || len(path) > pathMax {
		return lstat(path, st)
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	_, err := retry(func() (int, error) {
		return 0, unix.Fstatat(p.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return err
}

func lstat(path string, st *unix.Stat_t) error {
	_, err := retry(func() (int, error) { return 0, unix.Lstat(path, st) })
	return err
}

func (known places) close() {
	for _, p := range known {
		if p.fd >= 0 {
			unix.Close(p.fd)
		}
	}
}

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func kindOfMode(st *unix.Stat_t) kind {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return kindDir
	case unix.S_IFLNK:
		return kindLink
	case unix.S_IFSOCK:
		return kindSocket
	case unix.S_IFREG:
		return kindRegular
	}
	return kindOther
}

// ways is where the fixed places are without symlinks on the way. When
// /home/me leads to /data/me, a watcher that watches /data/me/project must
// still know ~/project/key when it appears.
type ways struct {
	aliases []*rule // for each rule, nil if it is the same; nil when all are
	loose   bool    // a place that appears anywhere may change them
}

func (w *ways) alias(i int) *rule {
	if w.aliases == nil {
		return nil
	}
	return w.aliases[i]
}

// findWays looks at the directories that lead to fixed places.
func (s *Set) findWays(known places) {
	var w ways
	for i := range s.rules {
		r := &s.rules[i]
		if r.base != atRoot {
			continue
		}
		path := r.way()
		p := known.dir(path)
		w.loose = w.loose || p.loose
		if p.real == path {
			continue
		}
		if w.aliases == nil {
			w.aliases = make([]*rule, len(s.rules))
		}
		w.aliases[i] = r.at(p.real)
	}
	s.ways.Store(&w)
}

// at is the rule, its way put in another place.
func (r *rule) at(way string) *rule {
	alias := *r
	if r.literal {
		alias.path = join(way, filepath.Base(r.path))
	} else {
		alias.path = way
		alias.segs = append(literals(way), r.segs[r.literalPrefix():]...)
	}
	return &alias
}

// knowsWays says whether what the last walk found of the ways still holds when
// something has appeared at path: what leads past it was looked at then.
func (s *Set) knowsWays(path string) bool {
	w := s.ways.Load()
	if w == nil || w.loose {
		return false
	}
	for i := range s.rules {
		r := &s.rules[i]
		if r.base == atRoot && r.leadsPast(path) {
			return false
		}
		if alias := w.alias(i); alias != nil && alias.leadsPast(path) {
			return false
		}
	}
	return true
}

// leadsPast says whether path is on the way that a rule with a fixed place
// spells out.
func (r *rule) leadsPast(path string) bool {
	_, above := below(path, r.path)
	return above || !r.literal && path == r.path
}
