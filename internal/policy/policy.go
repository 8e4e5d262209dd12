// Package policy turns what the configuration says into what holds on this
// machine, for this user, in this project.
//
// Resolve looks and changes nothing. Its result is plain data: which files are
// hidden, which folders may be written, which names are protected, which
// programs are blocked, what is left of the environment. The same
// configuration on the same files gives the same policy, and Plan gives the
// mounts that put it in place.
package policy

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/guard"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// Host is what Resolve is told about the caller.
type Host struct {
	UID, GID int
	Command  []string // what is to run: agents need folders of their own
	Home     string   // "" when there is none
	Dir      string   // the current folder, without symlinks
	Project  string   // see FindProject
	Env      []string
}

// Entry is a path of the machine and the rule that names it.
type Entry struct {
	Path string `json:"path"`
	Dir  bool   `json:"dir,omitempty"`
	Rule string `json:"rule"`

	file match.Inode // what was there when the policy was resolved
}

// Protected is a path inside a writable folder that stays as it is.
type Protected struct {
	Entry
	// Missing says that nothing is there; View is what will stand there during
	// the run so that nothing can be put there.
	Missing bool                `json:"missing,omitempty"`
	View    sandbox.Placeholder `json:"view,omitempty"`
	Text    string              `json:"text,omitempty"` // with TextView
	// Through are the folders to make, outermost first, before View can be.
	Through []string `json:"through,omitempty"`
}

// Policy is what holds. All paths are absolute and without symlinks, but for
// Blocked, whose last element may be one.
type Policy struct {
	Project   string      `json:"project"`
	Dir       string      `json:"dir"`
	Home      string      `json:"home"`
	Private   []Scratch   `json:"private"`   // folders in memory, empty at the start
	Shown     []Entry     `json:"shown"`     // read-only exceptions in them
	Writable  []Entry     `json:"writable"`  // folders and files open for writing
	Made      []string    `json:"made"`      // folders among them, and on the way, that do not exist yet
	Hidden    []Entry     `json:"hidden"`    // read as empty
	Protected []Protected `json:"protected"` // cannot be changed, made, moved
	Struck    []string    `json:"struck"`    // removed at once when they appear
	Blocked   []Entry     `json:"blocked"`   // programs; Rule is the denied name
	Network   Network     `json:"network"`
	Front     *gate.Front `json:"front,omitempty"`     // how Network is done, nil where there is nothing to reach
	Texts     []Text      `json:"texts,omitempty"`     // files that read differently inside
	Search    []string    `json:"search,omitempty"`    // what names are completed with, where Front is
	Loopback4 bool        `json:"loopback4,omitempty"` // "localhost" has no IPv6 address on this machine
	Env       []string    `json:"-"`
	Removed   []string    `json:"removed_env"` // names taken out of the environment
	Warnings  []string    `json:"warnings"`

	execs      *guard.Guard // of deny_exec, nil without
	rules      []guard.Rule // the same
	config     *config.Config
	host       Host
	deny       *match.Set
	free       *match.Set      // what deny_write takes back
	socketDirs []string        // of the host's sockets, watched for more
	repos      []string        // git folders at the start, worktrees' own among them: all that is guarded
	led        map[string]lead // where git was led at the start, by .git files and commondir
	roots      []string        // folders that the user opened besides the project, see opened
	began      time.Time       // of the run
	includes   map[string]bool // of git's configuration, seen already
	disarmed   disarmed
	own        []string // aigate's folders, and what its links lead to, that do not exist yet
	ownLinks   []string // the links on the way to aigate's folders and files
	pending    []string // places that deny_read spells out and that do not exist yet
	outer      []string // see Enclosing
	builtins   []string
	closed     map[string]string // see closedAbove
	spelled    map[string]bool   // what deny_write spells out; true: as a folder
	watch      *watch
	atStart    map[string]string // see underWay
	absent     []string          // protected names that can be made all the same; see Appeared
	real       map[string]string // folders without their symlinks, while resolving
}

// Scratch is a private folder.
type Scratch struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
}

// Text is a file that reads as something else.
type Text struct {
	Path string `json:"path"`
	Text string `json:"text"`
	Rule string `json:"rule"`
}

// FindProject gives the nearest folder at or above dir that holds
// .aigate.yaml or .git, but not one above home; without one, dir itself.
func FindProject(dir, home string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if exists(filepath.Join(at, ".git")) || regular(filepath.Join(at, ".aigate.yaml")) {
			return at
		}
		if at == home || at == "/" {
			return dir
		}
	}
}

// Around gives the folders that a project lies in, the outermost first, up to
// the home and with it, for a project elsewhere up to the root.
func Around(project, home string) (out []string) {
	for at := project; at != "/" && at != home; {
		if at = filepath.Dir(at); at != "/" {
			out = append(out, at)
		}
	}
	slices.Reverse(out)
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func regular(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// Below says that path is dir or lies in it.
func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// Plan orders the mounts that put the policy in place: the host's tree
// read-only, what is private, what is writable, then inside of that what is
// pinned, protected and hidden.
func (p *Policy) Plan() *sandbox.Plan {
	b := p.frame()
	b.plan.Gate, b.plan.PolicyText = p.Front, p.Text()
	b.protect(p)
	for _, t := range p.Texts {
		b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: sandbox.Text, Path: t.Path, Why: t.Rule, Text: t.Text})
	}
	for _, e := range p.Hidden {
		if e.Dir {
			b.add(sandbox.Hide, e.Path, e.Rule)
		} else {
			b.add(sandbox.Mask, e.Path, e.Rule)
		}
	}
	for _, e := range p.Blocked {
		b.add(sandbox.Block, e.Path, e.Rule)
	}
	if judgedByName {
		b.plan.Names = p.names()
	} else {
		b.anchor(p)
	}
	return b.plan
}

// Frame is what the plan begins with; Begin is enough for it.
func (p *Policy) Frame() *sandbox.Plan { return p.frame().plan }

func (p *Policy) frame() *planner {
	b := &planner{plan: &sandbox.Plan{
		Dir:      p.Dir,
		OwnNet:   !p.Network.Host,
		Limits:   limit.Limits(p.config.Limits),
		RootUser: p.host.UID == 0,
	}, pinned: map[string]bool{}}
	b.add(sandbox.Root, "/", "")
	if !judgedByName {
		b.add(sandbox.Dev, "/dev", "")
		b.add(sandbox.Proc, "/proc", "")
	}
	for _, s := range p.Private {
		b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: sandbox.Scratch, Path: s.Path, Mode: s.Mode})
	}
	if !judgedByName {
		b.add(sandbox.Kit, sandbox.KitDir, "")
	}
	for _, dir := range p.Made {
		b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: sandbox.Make, Path: dir, View: sandbox.DirView})
	}
	b.binds(p)
	return b
}

type planner struct {
	plan   *sandbox.Plan
	pinned map[string]bool
}

func (b *planner) add(k sandbox.Kind, path, why string) {
	b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: k, Path: path, Why: why})
}

// binds adds what is shown and what is writable, outer folders first.
func (b *planner) binds(p *Policy) {
	type bind struct {
		Entry
		kind sandbox.Kind
	}
	var all []bind
	for _, e := range p.Shown {
		all = append(all, bind{e, sandbox.Show})
	}
	for _, e := range p.Writable {
		all = append(all, bind{e, sandbox.Bind})
	}
	slices.SortStableFunc(all, func(a, c bind) int { return strings.Compare(a.Path, c.Path) })
	for _, e := range all {
		mode := uint32(sandbox.ModeFile)
		if e.Dir {
			mode = sandbox.ModeDir
		}
		b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: e.kind, Path: e.Path, Why: e.Rule, Mode: mode})
		b.pinned[e.Path] = true
	}
}

// protect pins every folder between a writable root and a protected path, so
// that none can be renamed away and made anew, and then protects the path. The
// ways to aigate's own files are pinned alike.
func (b *planner) protect(p *Policy) {
	for _, e := range p.Protected {
		first := e.Path
		if len(e.Through) > 0 {
			first = e.Through[0]
		}
		b.pin(p, filepath.Dir(first), e.Rule)
		for _, dir := range e.Through {
			if !b.pinned[dir] {
				b.pinned[dir] = true
				b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: sandbox.Pin, Path: dir, Why: e.Rule, View: sandbox.DirView})
			}
		}
		b.plan.Steps = append(b.plan.Steps, sandbox.Step{Kind: sandbox.Protect, Path: e.Path, Why: e.Rule, View: e.View, Text: e.Text})
	}
	for _, e := range p.Hidden {
		if e.Rule == ownRule { // with another folder in its place the next run would find other rules
			b.pin(p, filepath.Dir(e.Path), e.Rule)
		}
	}
}

func (b *planner) pin(p *Policy, dir, why string) {
	root := p.writableRoot(dir)
	if root == "" {
		return
	}
	var chain []string
	for ; dir != root; dir = filepath.Dir(dir) {
		if !b.pinned[dir] {
			b.pinned[dir] = true
			chain = append(chain, dir)
		}
	}
	slices.Reverse(chain)
	for _, d := range chain {
		b.add(sandbox.Pin, d, why)
	}
}

// anchor has the folders between a writable root and everything that is covered
// in it keep their places, the innermost first: what is mounted on the outer ones
// hides them.
func (b *planner) anchor(p *Policy) {
	dirs := map[string]string{}
	for _, s := range b.plan.Steps {
		switch s.Kind {
		case sandbox.Bind, sandbox.Protect, sandbox.Text, sandbox.Mask, sandbox.Hide, sandbox.Block:
		default:
			continue
		}
		for dir := filepath.Dir(s.Path); p.writableRoot(dir) != ""; dir = filepath.Dir(dir) {
			if _, ok := dirs[dir]; ok {
				break
			}
			dirs[dir] = s.Why
		}
	}
	order := slices.Collect(maps.Keys(dirs))
	slices.SortFunc(order, func(a, c string) int {
		return cmp.Or(cmp.Compare(strings.Count(c, "/"), strings.Count(a, "/")), strings.Compare(a, c))
	})
	for _, dir := range order {
		if !b.pinned[dir] {
			b.add(sandbox.Anchor, dir, dirs[dir])
		}
	}
}

// writableRoot gives the innermost writable folder that holds path.
func (p *Policy) writableRoot(path string) (root string) {
	for _, w := range p.Writable {
		if w.Dir && below(path, w.Path) && len(w.Path) > len(root) {
			root = w.Path
		}
	}
	return root
}

// visible says whether the payload sees the host's file at path at all.
func (p *Policy) visible(path string) bool {
	best, shown := 0, true
	for _, s := range p.Private {
		if below(path, s.Path) && len(s.Path) > best {
			best, shown = len(s.Path), false
		}
	}
	for _, own := range []string{"/dev", "/proc"} {
		if below(path, own) && len(own) > best {
			best, shown = len(own), false
		}
	}
	for _, list := range [][]Entry{p.Shown, p.Writable} {
		for _, e := range list {
			if below(path, e.Path) && len(e.Path) >= best {
				best, shown = len(e.Path), true
			}
		}
	}
	return shown
}

// Banner is the one line that a run prints.
func (p *Policy) Banner() string {
	return fmt.Sprintf("sandbox active: %d paths hidden, %d commands blocked, %s", len(p.Hidden), len(p.config.DenyExec), p.Network)
}
