package match

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options adjusts a walk. The zero value is a plain one.
type Options struct {
	// Roots are more directories below which patterns that float (a bare
	// name, or one that begins with **/) apply, such as the main folder of
	// a git worktree. Like the project, they should hold no symlinks.
	Roots []string

	// OnDir is called for every directory the walk descends into, after it
	// is opened and before it is read. OnSocket is called for every Unix
	// socket in the project and the roots. Both are called concurrently.
	OnDir    func(path string)
	OnSocket func(path string)

	// OnEntry is called for every entry with one of Names that a directory
	// which the walk reads holds and the set does not name. Names that begin
	// with * stand for all that end in the rest. It is called concurrently.
	OnEntry func(path string)
	Names   []string

	Workers int // how many threads may read directories; 0: GOMAXPROCS
}

// Result is what a walk found.
type Result struct {
	// Found is sorted by path. What lies in another Found directory is left
	// out; only the project itself is listed even so.
	Found []Found

	// Unreadable are directories that can't be searched now but belong to
	// the caller, so that a payload could change that and then read files in
	// them that this walk could not see.
	Unreadable []string

	// Pending are places that a pattern spells out and that do not exist
	// yet. A watcher watches the nearest directory above each: it may be
	// none of those that OnDir is told of. What appears there is for Rescan.
	Pending []string
}

// Walk finds everything below the project and the roots that the set names,
// and what its ~/ and / patterns name anywhere.
func (s *Set) Walk(project string, opts Options) (Result, error) {
	return s.walk(project, "/", opts)
}

// Rescan is Walk for what has just appeared at path: it finds what the set
// names there and below.
func (s *Set) Rescan(project, path string, opts Options) (Result, error) {
	return s.walk(project, filepath.Clean(path), opts)
}

func (s *Set) walk(project, only string, opts Options) (Result, error) {
	f := &finder{set: s, in: newScope(project, opts.Roots), only: only, onlyKind: kindUnknown, opts: opts}
	if err := f.findFixed(); err != nil {
		return Result{}, err
	}
	f.sowProject()
	f.sowGlobs()
	if len(f.seeds) > 0 {
		if err := crawl(f.seeds, f, opts.Workers); err != nil {
			return Result{}, err
		}
	}
	return f.result(), nil
}

// finder is the visitor that looks for what a Set names.
type finder struct {
	set   *Set
	in    *scope
	opts  Options
	known places
	seeds []*node

	only      string // "/" or the one place to look at
	onlyKind  kind   // what that is, when it is there
	onlyNamed bool   // and whether the set names it

	mu     sync.Mutex // what follows is written by all workers
	res    Result
	inside string // the project, when a pattern names it or where it lies
}

// findFixed looks up what needs no directory to be read.
func (f *finder) findFixed() error {
	f.known = make(places)
	if f.only == "/" || !f.set.knowsWays(f.only) {
		f.known = make(places, len(f.set.rules)/4) // about what the built-in lists need
		f.set.findWays(f.known)
	}
	defer f.known.close()
	if err := f.findItself(); err != nil {
		return err
	}
	return f.findLiterals()
}

// wanted says whether a place is in the part that is looked at.
func (f *finder) wanted(path string) bool {
	_, ok := below(f.only, path)
	return ok || path == f.only
}

// findItself looks at the places that are never met as an entry: the project,
// and what a Rescan starts at.
func (f *finder) findItself() error {
	if f.wanted(f.in.project) {
		if pattern, ok := f.set.covers(f.in, f.in.project, true); ok {
			f.inside = f.in.project
			f.add(Found{Path: f.in.project, Dir: true, Pattern: pattern})
		}
	}
	if f.only == "/" {
		return nil
	}
	if len(f.only) > pathMax {
		return fmt.Errorf("looking for denied files: %.40s...: %w", f.only, syscall.ENAMETOOLONG)
	}
	var st unix.Stat_t
	err := lstat(f.only, &st)
	if err == nil {
		f.onlyKind = kindOfMode(&st)
		f.onlyNamed = f.judge(f.only, f.onlyKind)
		return nil
	}
	_, f.onlyNamed = f.set.decide(f.in, f.only, true) // if it comes back
	err = f.missing(f.only, err)
	f.res.Pending = nil // that it is gone again means nothing
	return err
}

// findLiterals looks up the patterns that spell out one path.
func (f *finder) findLiterals() error {
	for i := range f.set.rules {
		r := &f.set.rules[i]
		if !r.literal || r.takesBack || r.base == anyDepth || r.path == "" {
			continue
		}
		path := r.path
		if r.base == atProject {
			if !f.reaches(path) {
				continue
			}
			path = join(f.in.project, path)
		}
		if !f.wanted(path) {
			continue
		}
		if err := f.findPlace(path); err != nil {
			return err
		}
	}
	return nil
}

// reaches says whether a path from the project's top may be wanted. Most that
// a Rescan asks for are not, and need not be put together.
func (f *finder) reaches(rel string) bool {
	within, ok := below(f.in.project, f.only)
	return ok && strings.HasPrefix(rel, within) || f.wanted(f.in.project)
}

// findPlace looks at one path.
func (f *finder) findPlace(path string) error {
	dir := f.known.dir(parent(path))
	if dir.err != nil {
		return f.missing(path, dir.err)
	}
	var st unix.Stat_t
	if err := dir.lstat(path, &st); err != nil {
		return f.missing(path, err)
	}
	f.judge(path, kindOfMode(&st))
	return nil
}

// judge puts a path that exists to the whole list.
func (f *finder) judge(path string, k kind) (named bool) {
	dir := k == kindDir
	if k == kindLink {
		target, err := os.Stat(path)
		dir = err != nil && !gone(err) || err == nil && target.IsDir()
	}
	pattern, named := f.set.decide(f.in, path, dir)
	if named {
		f.add(Found{Path: path, Dir: dir, Symlink: k == kindLink, Pattern: pattern})
	}
	return named
}

// missing judges why a spelled-out place could not be looked at.
func (f *finder) missing(path string, err error) error {
	switch {
	case err == syscall.ENOENT: // nearly always
		f.res.Pending = append(f.res.Pending, path)
		return nil
	case errors.Is(err, syscall.ENAMETOOLONG):
		return nil // then nothing of that name can ever be there
	case gone(err):
		f.res.Pending = append(f.res.Pending, path)
		return nil
	case !errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("looking for denied files: %s: %w", path, err)
	}
	if dir, own := closedAbove(path); own {
		f.unreadable(dir)
	}
	return nil
}

// closedAbove finds the directory that keeps the caller from path, and says
// whether it is the caller's own, so that a payload could open it.
func closedAbove(path string) (dir string, own bool) {
	for dir = filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil {
			st, ok := info.Sys().(*syscall.Stat_t)
			return dir, ok && int(st.Uid) == os.Geteuid()
		}
	}
	return "/", false
}

// gone says whether an error means that nothing is there, or nothing any more.
// A loop of symlinks leads nowhere, too.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// sowProject makes the project and the roots starting points of the walk.
func (f *finder) sowProject() {
	everywhere := !f.set.names.empty() || f.opts.OnSocket != nil || f.opts.OnEntry != nil
	if f.inside == "" { // or else all of it is named
		f.sow(&node{name: f.in.project, follow: true, bare: everywhere, live: f.globs(false)})
	}
	for _, root := range f.in.roots {
		if f.in.within(root) {
			continue
		}
		if _, ok := f.set.covers(f.in, root, true); !ok {
			f.sow(&node{name: root, follow: true, optional: true, bare: everywhere, live: f.globs(true)})
		}
	}
}

// globs gives the cursors that begin at the project's top or, if they must
// float, at a root's.
func (f *finder) globs(floating bool) (live []cursor) {
	for i := range f.set.rules {
		r := &f.set.rules[i]
		if !r.takesBack && r.base == atProject && !r.literal && (!floating || r.floats()) {
			live = start(live, r, 0)
		}
	}
	return live
}

// aside gives the cursors, in a directory, of patterns that are looked up
// without it: literals and those with fixed places.
func (f *finder) aside(dir string) (all []cursor) {
	for i := range f.set.rules {
		r := &f.set.rules[i]
		switch {
		case r.takesBack || r.base == anyDepth:
		case r.base == atRoot && r.literal:
			if rel, ok := below(dir, r.path); ok {
				all = start(all, r, len(r.path)-len(rel))
			}
		case r.base == atRoot:
			all = append(all, r.cursorsIn(dir)...)
		case !r.literal || r.path == "":
		case dir == f.in.project:
			all = start(all, r, 0)
		default:
			within, _ := below(f.in.project, dir) // if not, nothing is below ""
			if rel, ok := below(within, r.path); ok {
				all = start(all, r, len(r.path)-len(rel))
			}
		}
	}
	return all
}

// cursorsIn gives the cursors, in a directory, of a glob with a fixed place.
func (r *rule) cursorsIn(dir string) []cursor {
	_, under := below(r.path, dir)
	if _, over := below(dir, r.path); !under && !over && dir != r.path {
		return nil
	}
	live := start(nil, r, 0)
	for name := range strings.SplitSeq(dir[1:], "/") {
		if name != "" {
			live = advance(live, name, false)
		}
	}
	return live
}

// within says whether a root needs no walk of its own.
func (in *scope) within(root string) bool {
	if _, ok := below(in.project, root); ok || root == in.project {
		return true
	}
	return slices.ContainsFunc(in.roots, func(other string) bool {
		_, ok := below(other, root)
		return ok
	})
}

// sowGlobs makes starting points of the fixed places before the first glob.
func (f *finder) sowGlobs() {
	var globs []*node
	for i := range f.set.rules {
		r := &f.set.rules[i]
		if r.takesBack || r.base != atRoot || r.literal {
			continue
		}
		if _, ok := below(r.path, f.only); !ok && !f.wanted(r.path) {
			continue
		}
		at := slices.IndexFunc(globs, func(n *node) bool { return n.name == r.path })
		if at < 0 {
			at = len(globs)
			globs = append(globs, &node{name: r.path, follow: true, optional: true})
		}
		globs[at].live = start(globs[at].live, r, r.literalPrefix())
	}
	for _, n := range globs {
		f.sow(n)
	}
}

// sow adds a starting point, or moves it down to the one place that is wanted.
func (f *finder) sow(n *node) {
	if !f.wanted(n.name) && !f.moveDown(n) {
		return
	}
	if n.bare || len(n.live) > 0 {
		n.aside = f.aside(n.name)
		f.seeds = append(f.seeds, n)
	}
}

// moveDown says whether there is something to look for.
func (f *finder) moveDown(n *node) bool {
	rest, ok := below(n.name, f.only)
	if !ok || f.onlyKind != kindUnknown && f.onlyKind != kindDir && f.onlyKind != kindLink {
		return false
	}
	link := f.onlyKind == kindLink
	for more := true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		n.live = advance(n.live, name, link && !more)
	}
	n.name, n.optional, n.follow = f.only, true, link
	n.bare = n.bare && !link
	if !n.bare && len(n.live) == 0 {
		return false
	}
	_, within := f.set.surrounds(f.in, f.only)
	return !within && !f.onlyNamed
}

func (f *finder) enter(n *node) {
	if f.opts.OnDir != nil {
		f.opts.OnDir(n.path())
	}
}

func (f *finder) entry(w *worker, n *node, e entry) error {
	if n.bare && f.set.names.might(e.name) || accepts(n.live, e.name) || accepts(n.aside, e.name) {
		found, err := f.named(w, n, e)
		if found || err != nil {
			return err
		}
	}
	switch e.kind {
	case kindDir:
		live := advance(n.live, e.name, false)
		if (n.bare || len(live) > 0) && !f.elsewhere(n, e.name) {
			w.push(n, &node{name: e.name, bare: n.bare, live: live, aside: advance(n.aside, e.name, false)})
			f.met(n, e.name)
		}
		return nil
	case kindLink:
		if live := advance(n.live, e.name, true); len(live) > 0 {
			w.push(n, &node{name: e.name, live: live, follow: true, optional: true})
		}
	case kindSocket:
		if f.opts.OnSocket != nil && n.bare {
			f.opts.OnSocket(join(n.path(), e.name))
		}
	}
	f.met(n, e.name)
	return nil
}

// met tells of an entry whose name the caller wants to know.
func (f *finder) met(n *node, name string) {
	for _, want := range f.opts.Names {
		as := name
		if ending, ok := strings.CutPrefix(want, "*"); ok && len(name) >= len(ending) {
			as, want = name[len(name)-len(ending):], ending
		}
		if sameName(as, want) {
			f.opts.OnEntry(join(n.path(), name))
			return
		}
	}
}

// named puts an entry that may be named to the whole list.
func (f *finder) named(w *worker, n *node, e entry) (bool, error) {
	path := join(n.path(), e.name)
	dir := e.kind == kindDir
	if e.kind == kindLink {
		to, err := w.stat(n, e.name, true)
		if err != nil && !gone(err) && !errors.Is(err, fs.ErrPermission) {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		dir = err == nil && to.kind == kindDir || errors.Is(err, fs.ErrPermission)
	}
	pattern, ok := f.set.decide(f.in, path, dir)
	if !ok {
		return false, nil
	}
	if e.kind == kindSocket && f.opts.OnSocket != nil && n.bare {
		f.opts.OnSocket(path)
	}
	f.add(Found{Path: path, Dir: dir, Symlink: e.kind == kindLink, Pattern: pattern})
	return true, nil
}

// elsewhere says whether a directory is the project, met on the way from a
// root: it has a walk of its own, which knows more.
func (f *finder) elsewhere(n *node, name string) bool {
	return n.bare && len(f.in.roots) > 0 && name == filepath.Base(f.in.project) &&
		join(n.path(), name) == f.in.project
}

// spelled are the names worth trying in a directory that can't be listed.
func (f *finder) spelled(n *node) []string {
	var names []string
	if n.bare {
		for name := range f.set.names.exact {
			names = append(names, name)
		}
	}
	for _, c := range n.live {
		if seg := &c.rule.segs[c.at]; seg.kind == literal {
			names = append(names, seg.text)
		}
	}
	for _, name := range f.opts.Names {
		if !strings.HasPrefix(name, "*") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (f *finder) absent(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.res.Pending = append(f.res.Pending, path)
}

func (f *finder) unreadable(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.res.Unreadable = append(f.res.Unreadable, path)
}

func (f *finder) add(found Found) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.res.Found = append(f.res.Found, found)
}

// result sorts what was found, once each, without what lies in a directory
// that is found: two patterns may lead to one place.
func (f *finder) result() Result {
	res := f.res
	slices.SortFunc(res.Found, func(a, b Found) int { return cmp.Compare(a.Path, b.Path) })
	res.Found = slices.CompactFunc(res.Found, func(a, b Found) bool { return a.Path == b.Path })
	var dirs map[string]bool
	for _, found := range res.Found {
		if found.Dir {
			if dirs == nil {
				dirs = make(map[string]bool)
			}
			dirs[found.Path] = true
		}
	}
	if len(dirs) > 0 {
		res.Found = slices.DeleteFunc(res.Found, func(a Found) bool {
			return a.Path != f.inside && liesIn(dirs, a.Path)
		})
	}
	slices.Sort(res.Unreadable)
	res.Unreadable = slices.Compact(res.Unreadable)
	res.Unreadable = slices.DeleteFunc(res.Unreadable, func(path string) bool {
		return dirs[path] || liesIn(dirs, path)
	})
	slices.Sort(res.Pending)
	res.Pending = slices.Compact(res.Pending)
	return res
}

func liesIn(dirs map[string]bool, path string) bool {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' && dirs[path[:i]] {
			return true
		}
	}
	return false
}
