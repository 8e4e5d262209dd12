package policy

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// Watch gives what keeps this policy true while a payload runs. log is told of
// what is done, warn of what the user must know.
func (p *Policy) Watch(log, warn func(format string, a ...any)) *sandbox.Watch {
	w := &watch{policy: p}
	p.watch = w
	return &sandbox.Watch{Scan: w.scan, Rescan: w.rescan, Poll: w.poll, Appeared: w.appeared, Log: log, Warn: warn}
}

// begin gathers what the watcher needs, when it looks for the first time: most
// commands are over before.
func (w *watch) begin() {
	if w.masked != nil {
		return
	}
	p := w.policy
	w.masked, w.inodes = map[string]match.Inode{}, map[match.Inode]bool{}
	w.replaced, w.closed = map[string]bool{}, map[string]bool{}
	for _, e := range p.Hidden {
		w.masked[e.Path] = e.file
		if !e.Dir {
			w.inodes[e.file] = true
		}
	}
	w.project = p.deny
	if set, err := match.Parse(p.here(p.config.DenyRead), p.Home); err == nil {
		w.project = set
	}
}

// here leaves out the patterns that lead to fixed places outside of the project.
func (p *Policy) here(patterns []string) (out []string) {
	for _, pat := range patterns {
		place := strings.TrimPrefix(pat, "!")
		if rest, ok := strings.CutPrefix(place, "~/"); ok {
			place = p.Home + "/" + rest
		}
		fixed := place
		if glob := strings.IndexAny(place, `*?[{\`); glob >= 0 {
			fixed = place[:glob]
		}
		if !strings.HasPrefix(place, "/") || strings.HasPrefix(fixed, p.Project) || strings.HasPrefix(p.Project, fixed) {
			out = append(out, pat)
		}
	}
	return out
}

// watch is the policy's memory during a run.
type watch struct {
	policy  *Policy
	project *match.Set             // the patterns that hold in the project alone
	masked  map[string]match.Inode // hidden, and which file it was then
	inodes  map[match.Inode]bool   // the hidden files
	closed  map[string]bool        // folders that came and cannot be read
	bound   map[string]bool        // sockets of the host that were looked at, by their number in /proc/net/unix
	mu      sync.Mutex
	removed []string
	// protected, and replaced by a program outside: open to the payload for a moment
	replaced map[string]bool
	made     []string // what the payload (or the host) made and the user's tools would run
}

func (w *watch) note(e Entry) {
	var st unix.Stat_t
	if unix.Lstat(e.Path, &st) != nil {
		return
	}
	i := match.Inode{Dev: uint64(st.Dev), Ino: st.Ino}
	w.masked[e.Path] = i
	if !e.Dir {
		w.inodes[i] = true
	}
}

// holds says that the mask over path covers the file that is there now.
func (w *watch) holds(path string, st unix.Stat_t) bool {
	i, ok := w.masked[path]
	return ok && i == match.Inode{Dev: uint64(st.Dev), Ino: st.Ino}
}

// scan looks at everything again: between the resolving of the policy and the
// watch on the last folder, files may have come.
func (w *watch) scan(onDir func(string)) ([]sandbox.Step, error) {
	p := w.policy
	met := &met{}
	w.begin()
	see := w.seeing(onDir)
	found, err := p.deny.Walk(p.Project, match.Options{Roots: p.outer, OnDir: see, OnSocket: met.socket})
	if err != nil {
		return nil, err
	}
	for _, path := range found.Pending {
		onDir(nearest(path))
	}
	for _, dir := range append(p.socketDirs, p.Home) {
		if dir != "" {
			onDir(dir)
		}
	}
	for _, e := range p.Protected { // git replaces its configuration
		if !below(e.Path, p.Project) {
			onDir(filepath.Dir(e.Path))
		}
	}
	steps, err := w.steps(found, false)
	if err != nil {
		return nil, err
	}
	steps = append(steps, w.anew()...)
	for _, path := range met.sockets {
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil {
			continue
		}
		if s, ok := w.linked(path, st); ok {
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// rescan judges what has just appeared at path. It is a new file there even if
// one of that name was masked before: the mask went with the old one. Most
// events are of no interest, and a build makes thousands: those cost one lstat.
func (w *watch) rescan(path string, onDir func(string)) (steps []sandbox.Step, err error) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return nil, nil // gone again
	}
	if set := w.concerned(path, st); set != nil {
		found, err := set.Rescan(w.policy.Project, path, match.Options{Roots: w.policy.outer, OnDir: w.seeing(onDir)})
		if err != nil {
			return nil, err
		}
		for _, pending := range found.Pending {
			if at := nearest(pending); below(path, at) || below(at, path) {
				onDir(at)
			}
		}
		if steps, err = w.steps(found, true); err != nil {
			return nil, err
		}
	}
	if err := w.strike(path); err != nil {
		return nil, err
	}
	// What could not be moved aside now is at the end of the run: see Disarm.
	_ = w.policy.rearm(path)
	if s, ok := w.again(path); ok {
		steps = append(steps, s)
	}
	if s, ok := w.linked(path, st); ok {
		steps = append(steps, s)
	}
	return steps, nil
}

// concerned gives the patterns that have to be looked for at path, nil when
// none can be met there.
func (w *watch) concerned(path string, st unix.Stat_t) *match.Set {
	p := w.policy
	inProject := below(path, p.Project)
	for _, outer := range p.outer {
		if isDir(st) && below(path, outer) {
			return p.deny
		}
	}
	if isDir(st) && inProject {
		return w.project
	}
	set := p.deny
	if inProject {
		set = w.project
	}
	for _, dir := range []bool{false, true} {
		if _, ok := set.MatchPath(p.Project, path, dir, p.outer...); ok {
			return p.deny
		}
	}
	if isDir(st) || isLink(st) {
		for _, pending := range p.pending {
			if below(pending, path) {
				return p.deny
			}
		}
	}
	return nil
}

// steps gives the masks for what a walk found. again: also for what is masked
// already.
func (w *watch) steps(found match.Result, again bool) (out []sandbox.Step, err error) {
	p := w.policy
	for _, f := range found.Found {
		real, st, err := realPath(f.Path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ELOOP) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if w.holds(real, st) && !again || !p.visible(real) || below(p.Project, real) {
			continue
		}
		out = append(out, w.mask(Entry{Path: real, Dir: isDir(st), Rule: f.Pattern}))
	}
	for _, d := range found.Unreadable {
		if _, known := w.masked[d]; known {
			continue
		}
		if again || w.closed[d] { // it came during the run, most likely by a command that tests such folders
			w.closed[d] = true
		} else {
			out = append(out, w.mask(Entry{Path: d, Dir: true, Rule: "unreadable, but yours to change"}))
		}
	}
	return out, nil
}

func (w *watch) mask(e Entry) sandbox.Step {
	w.note(e)
	kind := sandbox.Mask
	if e.Dir {
		kind = sandbox.Hide
	}
	return sandbox.Step{Kind: kind, Path: e.Path, Why: e.Rule}
}

// poll looks for what no event tells of: sockets that the host has bound, and
// folders that can be read again.
func (w *watch) poll(onDir func(string)) ([]sandbox.Step, error) {
	w.begin()
	steps, err := w.sockets()
	if err != nil {
		return nil, err
	}
	for dir := range w.closed {
		switch err := unix.Access(dir, unix.R_OK|unix.X_OK); err {
		case unix.EACCES:
			continue
		case nil:
			more, err := w.rescan(dir, onDir)
			if err != nil {
				return nil, err
			}
			steps = append(steps, more...)
		}
		delete(w.closed, dir)
	}
	return steps, nil
}

// anew protects what was replaced while nobody watched: at the very start, or
// because there was too much to keep up with.
func (w *watch) anew() (steps []sandbox.Step) {
	protected := w.policy.Protected
	for i, e := range protected {
		var st unix.Stat_t
		if e.Missing || e.file == (match.Inode{}) || unix.Lstat(e.Path, &st) != nil || inode(st) == e.file {
			continue
		}
		protected[i].file = inode(st)
		if s, ok := w.again(e.Path); ok {
			steps = append(steps, s)
		}
	}
	return steps
}

// again protects what the host has just replaced: a `git config` outside makes
// a new .git/config and takes the old one's protection away.
func (w *watch) again(path string) (sandbox.Step, bool) {
	for _, e := range w.policy.Protected {
		if e.Path == path && !e.Missing {
			w.mu.Lock()
			w.replaced[path] = true
			w.mu.Unlock()
			return sandbox.Step{Kind: sandbox.Protect, Path: path, Why: e.Rule}, true
		}
	}
	for _, e := range w.policy.Hidden {
		if e.Path == path && strings.HasPrefix(e.Rule, "hard link") {
			return sandbox.Step{Kind: sandbox.Mask, Path: path, Why: e.Rule}, true
		}
	}
	return sandbox.Step{}, false
}

// strike removes a file that must not be and that nothing could stand in for.
func (w *watch) strike(path string) error {
	if !slices.Contains(w.policy.Struck, path) {
		return nil
	}
	if removed, err := w.policy.strikeOff(path); !removed {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removed = append(w.removed, path)
	return nil
}

// linked masks a new name of a hidden file, and a socket that the host made.
func (w *watch) linked(path string, st unix.Stat_t) (s sandbox.Step, ok bool) {
	if isDir(st) || w.holds(path, st) {
		return s, false
	}
	if st.Nlink > 1 && w.inodes[match.Inode{Dev: uint64(st.Dev), Ino: st.Ino}] {
		return w.mask(Entry{Path: path, Dir: false, Rule: "hard link of a denied file"}), true
	}
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK && w.hosts(path) {
		return w.mask(Entry{Path: path, Dir: false, Rule: hostSocket}), true
	}
	return s, false
}

// hosts says that a socket that has just appeared was bound by a process
// outside. With a network namespace of its own, the payload's sockets are not in
// our list at all; without, the owner's pid namespace tells.
func (w *watch) hosts(path string) bool {
	for _, s := range listening() {
		if filepath.Base(s.path) == filepath.Base(path) && slices.Contains(s.resolve(), path) {
			return !w.policy.Network.Host || boundOutside(s.inode)
		}
	}
	return false
}

// seeing takes note of git folders that were not there at the start.
func (w *watch) seeing(onDir func(string)) func(string) {
	return func(dir string) {
		onDir(dir)
		var st unix.Stat_t
		if strings.HasSuffix(dir, "/.git") && !slices.Contains(w.policy.repos, dir) && unix.Lstat(dir, &st) == nil && w.policy.isFresh(st) {
			w.appeared(dir, true)
		}
	}
}

// appeared takes note of new names that the user's tools would act on.
func (w *watch) appeared(path string, dir bool) {
	base := filepath.Base(path)
	if !below(path, w.policy.Project) || (base != ".git" && base != ".aigate.yaml") {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made = append(w.made, path)
}

// nearest gives the innermost folder at or above path that exists.
func nearest(path string) string {
	for at := filepath.Dir(strings.TrimRight(path, "/")); ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if unix.Stat(at, &st) == nil || at == "/" {
			return at
		}
	}
}

// all gives what was removed, made and replaced during the run.
func (w *watch) all() (removed, made, replaced []string) {
	if w == nil {
		return nil, nil, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for path := range w.replaced {
		replaced = append(replaced, path)
	}
	return slices.Clone(w.removed), slices.Clone(w.made), replaced
}
