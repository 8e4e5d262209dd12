package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// Resolve looks at the machine and says what the configuration comes to. An
// error means that some rule can't be understood or carried out here; nothing
// may be started then.
func Resolve(c *config.Config, h Host) (*Policy, error) {
	p, err := Begin(c, h)
	if err == nil {
		err = p.Finish()
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Begin is the first part of Resolve: it finds what there is to be of the machine
// and where it can be written, which is what Frame needs. Until Finish has
// returned the policy is good for nothing else.
func Begin(c *config.Config, h Host) (*Policy, error) {
	canonical(&h)
	p := &Policy{Project: h.Project, Dir: h.Dir, Home: h.Home, config: c, host: h, began: time.Now(), real: map[string]string{}, atStart: map[string]string{}, closed: map[string]string{}}
	if p.Project == "/" {
		return nil, errors.New("the project would be the whole machine: change into a project's folder first")
	}
	if below(sandbox.KitDir, p.Project) {
		return nil, fmt.Errorf("the project would be %s, which is aigate's own inside: change into a project's folder first", p.Project)
	}
	if err := p.network(); err != nil {
		return nil, err
	}
	p.private()
	if err := p.writable(walk("allow_write", c.AllowWrite, h, match.Options{})); err != nil {
		return nil, err
	}
	p.uncovered()
	p.shown()
	return p, nil
}

// uncovered leaves out private folders that the same folder of the host's, or one
// above it, lies over: who asks for /tmp to be written wants the one that there is.
func (p *Policy) uncovered() {
	p.Private = slices.DeleteFunc(p.Private, func(s Scratch) bool { return p.writableRoot(s.Path) != "" })
}

// Finish is the rest of Resolve: what is hidden, protected and refused.
func (p *Policy) Finish() error {
	p.outer = Enclosing(p.host)
	met := &met{}
	deny := walk("deny_read", p.config.DenyRead, p.host, match.Options{Roots: p.outer, OnEntry: met.entry, Names: metNames, OnSocket: met.socket})
	for _, root := range append(p.outer, p.Project) {
		met.entry(root)
	}
	p.deny = deny.set
	p.environment()
	if err := p.gateway(); err != nil {
		return err
	}
	if err := p.hidden(deny); err != nil {
		return err
	}
	if err := p.sockets(met.sockets); err != nil {
		return err
	}
	if err := p.protected(walk("deny_write", p.config.DenyWrite, p.host, match.Options{}), met); err != nil {
		return err
	}
	p.strikeBefore()
	p.noteLeads(met.files)
	return p.commands()
}

// Enclosing gives the projects that the project lies in. A payload can make a
// project of any sub-folder by putting .git there; its next run, started there,
// is not to read what was hidden from the first.
func Enclosing(h Host) (out []string) {
	for _, at := range Around(h.Project, h.Home) {
		if at != h.Home && (exists(filepath.Join(at, ".git")) || regular(filepath.Join(at, ".aigate.yaml"))) {
			out = append(out, at)
		}
	}
	return out
}

// walked is a pattern list and what it names now.
type walked struct {
	set *match.Set
	match.Result
	err error
}

func walk(key string, patterns []string, h Host, o match.Options) (w walked) {
	if h.Home == "" { // then there is nothing that ~/ could name
		patterns = slices.DeleteFunc(slices.Clone(patterns), func(p string) bool { return strings.HasPrefix(strings.TrimPrefix(p, "!"), "~/") })
	}
	if w.set, w.err = match.Parse(patterns, h.Home); w.err != nil {
		w.err = ruleError(key, w.err)
		return w
	}
	if w.Result, w.err = w.set.Walk(h.Project, o); w.err != nil {
		w.err = fmt.Errorf("look for what %s names: %w", key, w.err)
	}
	return w
}

// met collects what the walk of the project passes by. Its methods are called
// concurrently.
type met struct {
	mu      sync.Mutex
	repos   []string // git folders
	sockets []string
	files   []string // protected wherever they lie
}

// metNames are what entry wants to see: a stat for every folder of a large
// project would cost as much as reading it.
var metNames = []string{".aigate.yaml", ".vscode", "*.git", "HEAD"}

func (m *met) entry(path string) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return // gone again
	}
	var repos, files []string
	switch name := strings.ToLower(filepath.Base(path)); { // on a Mac case says nothing
	case name == ".aigate.yaml":
		if !isPlaceholder(st) {
			files = []string{path}
		}
	case name == ".vscode":
		for _, in := range []string{"tasks.json", "settings.json", "launch.json", "mcp.json"} {
			files = append(files, path+"/"+in)
		}
	case name == "head":
		// A repository under any name: bare, or what a .git file leads to.
		if dir := filepath.Dir(path); exists(dir+"/objects") && !exists(dir+"/commondir") {
			repos = []string{dir}
		}
	case isDir(st) && isGitDir(path):
		repos = []string{path}
	case name == ".git" && !isDir(st): // leads git elsewhere
		files = []string{path}
	}
	if repos == nil && files == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.repos, m.files = append(m.repos, repos...), append(m.files, files...)
}

func (m *met) socket(path string) {
	m.mu.Lock()
	m.sockets = append(m.sockets, path)
	m.mu.Unlock()
}

func ruleError(key string, err error) error {
	var pe *match.PatternError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %q: %s", key, pe.Pattern, pe.Reason)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// precious says that a folder can't be replaced by an empty one: it is, or
// holds, or lies in what the user works with.
func (p *Policy) precious(dir string) bool {
	return below(p.Project, dir) || below(dir, p.Project) || below(p.Home, dir) || len(strings.Split(dir, "/")) < 3
}

func (p *Policy) scratch(path string, mode uint32) {
	if !slices.ContainsFunc(p.Private, func(s Scratch) bool { return s.Path == path }) {
		p.Private = append(p.Private, Scratch{path, mode})
	}
}

// writable lists the project, its git folder where that lies elsewhere, and
// what allow_write names and exists.
func (p *Policy) writable(allow walked) error {
	if allow.err != nil {
		return allow.err
	}
	p.open(p.Project, true, "the project")
	dirs := gitDirs(p.Project)
	for _, d := range dirs {
		p.open(d, true, "the project's git folder")
	}
	if to := leadsTo(p.Project); to != "" && len(dirs) == 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s leads to %s, which does not lead back: it stays as it is", filepath.Join(p.Project, ".git"), to))
	}
	for _, f := range allow.Found {
		real, st, err := p.realPath(f.Path)
		if err != nil {
			continue // a link to nowhere
		}
		if st.Mode == placeholderDir {
			continue // another run's, see needed
		}
		p.open(real, isDir(st), "allow_write "+f.Pattern)
		if isDir(st) {
			p.opened(real, f.Pattern)
		}
	}
	p.needed()
	return nil
}

func (p *Policy) open(path string, dir bool, rule string) {
	if path == "/" || slices.ContainsFunc(p.Writable, func(e Entry) bool { return e.Path == path }) {
		return
	}
	p.Writable = append(p.Writable, Entry{Path: path, Dir: dir, Rule: rule})
}

// hidden takes what deny_read names, resolves links and adds the other names of
// the same files.
func (p *Policy) hidden(deny walked) error {
	if deny.err != nil {
		return deny.err
	}
	links := newLinks()
	for _, f := range deny.Found {
		real, st, err := p.realPath(f.Path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
			continue // a link to nowhere; the watcher waits for its target
		}
		if errors.Is(err, unix.EACCES) {
			continue // not even the caller may look there
		}
		if err != nil {
			return fmt.Errorf("deny_read %s: %w", f.Pattern, err)
		}
		if below(p.Project, real) {
			if f.Path != real {
				return fmt.Errorf("deny_read %s hides the project itself: %s leads to %s", f.Pattern, f.Path, real)
			}
			return fmt.Errorf("deny_read %s hides the project itself (%s)", f.Pattern, real)
		}
		p.hide(real, isDir(st), f.Pattern)
		links.add(real, st)
	}
	for _, d := range deny.Unreadable {
		p.hide(d, true, "unreadable, but yours to change")
	}
	p.pending = append(p.pending, deny.Pending...)
	p.ownFolders(links)
	return links.find(p)
}

func (p *Policy) hide(path string, dir bool, rule string) {
	if at := p.closedAbove(path); at != "" {
		path, dir = at, true
	}
	if !p.visible(path) || p.isHidden(path) {
		return
	}
	e := Entry{Path: path, Dir: dir, Rule: rule}
	var st unix.Stat_t
	if unix.Lstat(path, &st) == nil {
		e.file = inode(st)
	}
	p.Hidden = append(p.Hidden, e)
}

// closedAbove gives a folder above path that root owns and may not enter by
// its mode. Here we can, by a capability; inside the mounts could not reach the
// path, but the payload could after a chmod.
func (p *Policy) closedAbove(path string) string {
	if p.host.UID != 0 {
		return "" // the walk has found those: Unreadable
	}
	dir := filepath.Dir(path)
	if dir == "/" {
		return ""
	}
	above, known := p.closed[dir]
	if !known {
		var st unix.Stat_t
		if above = p.closedAbove(dir); above == "" && unix.Lstat(dir, &st) == nil && st.Uid == 0 && st.Mode&0o100 == 0 {
			above = dir
		}
		p.closed[dir] = above
	}
	return above
}

// ownFolders hides aigate's own configuration and records, which a payload
// could use to loosen the next run, and what the user's dot files put in their
// places: where a link stands, it leads to what counts.
func (p *Policy) ownFolders(others *links) {
	if p.Home == "" {
		return
	}
	state := getenv(p.host.Env, "XDG_STATE_HOME")
	if state == "" {
		state = filepath.Join(p.Home, ".local/state")
	}
	conf := filepath.Join(p.Home, ".aigate")
	if real := p.ownPlace(conf, others); real != "" {
		others.spare = filepath.Join(real, sandbox.SpareFolder)
	}
	p.ownPlace(filepath.Join(state, "aigate"), others)
	files, _ := os.ReadDir(conf) // not there: then nothing in it leads anywhere
	for _, f := range files {
		if f.Type()&fs.ModeSymlink != 0 {
			p.ownPlace(filepath.Join(conf, f.Name()), others)
		}
	}
}

// ownPlace hides what a path of aigate's own leads to, and takes note of the
// links on the way: each of them, replaced, would lead elsewhere. It gives that
// place, "" where nothing is there.
func (p *Policy) ownPlace(path string, others *links) string {
	passed, end := way(path)
	p.ownLinks = append(p.ownLinks, passed...)
	real, st, err := realPath(end)
	if err == nil {
		p.hide(real, isDir(st), ownRule)
		others.add(real, st)
		return real
	}
	if p.writableRoot(end) != "" {
		p.own = append(p.own, end)
	}
	return ""
}

// ownRule names the rule that keeps aigate's own files out of the sandbox.
const ownRule = "aigate's own"
