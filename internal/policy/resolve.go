package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
	"golang.org/x/sys/unix"
)

// Resolve looks at the machine and says what the configuration comes to. An
// error means that some rule can't be understood or carried out here; nothing
// may be started then.
func Resolve(c *config.Config, h Host) (*Policy, error) {
	p := &Policy{Project: h.Project, Dir: h.Dir, Home: h.Home, config: c, host: h}
	if p.Project == "/" {
		return nil, errors.New("the project would be the whole machine: change into a project's folder first")
	}
	deny, err := match.Parse(c.DenyRead, h.Home)
	if err != nil {
		return nil, ruleError("deny_read", err)
	}
	p.network()
	p.environment()
	p.private()
	sockets := async(listening)
	if err := p.writable(); err != nil {
		return nil, err
	}
	p.shown()
	repos, err := p.hidden(deny)
	if err != nil {
		return nil, err
	}
	if err := p.sockets(<-sockets); err != nil {
		return nil, err
	}
	p.ownFolders()
	if err := p.protected(repos); err != nil {
		return nil, err
	}
	if err := p.blocked(); err != nil {
		return nil, err
	}
	return p, nil
}

func ruleError(key string, err error) error {
	var pe *match.PatternError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %q: %s", key, pe.Pattern, pe.Reason)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// async runs f beside the rest of the work.
func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

func (p *Policy) network() {
	p.Network = Network{Host: p.config.AllowNet == nil, Allow: p.config.AllowNet}
}

// private lists the folders that are empty and in memory inside.
func (p *Policy) private() {
	uid := fmt.Sprint(p.host.UID)
	p.Private = []Scratch{{"/run", 0o755}}
	for _, d := range []string{"/tmp", "/var/tmp"} {
		if real, st, err := realPath(d); err == nil && isDir(st) {
			p.scratch(real, 0o1777)
		}
	}
	p.scratch("/run/lock", 0o1777)
	p.scratch("/run/user/"+uid, 0o700)
	for _, name := range []string{"TMPDIR", "XDG_RUNTIME_DIR"} {
		d := getenv(p.host.Env, name)
		if d == "" {
			continue
		}
		real, st, err := realPath(d)
		if err != nil || !isDir(st) || p.precious(real) {
			continue
		}
		p.scratch(real, 0o700)
	}
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
func (p *Policy) writable() error {
	var st unix.Stat_t
	if err := unix.Stat(p.Project, &st); err != nil {
		return fmt.Errorf("project %s: %w", p.Project, err)
	}
	p.open(p.Project, true, "the project")
	if git := gitDirs(p.Project); git != nil {
		for _, d := range git {
			p.open(d, true, "the project's git folder")
		}
	}
	allow, err := match.Parse(p.config.AllowWrite, p.Home)
	if err != nil {
		return ruleError("allow_write", err)
	}
	found, err := allow.Walk(p.Project, match.Options{})
	if err != nil {
		return fmt.Errorf("allow_write: %w", err)
	}
	for _, f := range found.Found {
		real, st, err := realPath(f.Path)
		if err != nil {
			continue // a link to nowhere
		}
		p.open(real, isDir(st), "allow_write "+f.Pattern)
	}
	return nil
}

func (p *Policy) open(path string, dir bool, rule string) {
	if path == "/" || slices.ContainsFunc(p.Writable, func(e Entry) bool { return e.Path == path }) {
		return
	}
	p.Writable = append(p.Writable, Entry{path, dir, rule})
}

// resolvers are the files in /run that /etc/resolv.conf may lead to, and what
// NixOS and WSL keep there.
var runFiles = []string{
	"/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/resolv.conf", "/run/resolvconf/resolv.conf", "/run/resolvconf/interface",
	"/run/current-system", "/run/booted-system", "/run/wrappers", "/run/opengl-driver", "/mnt/wsl/resolv.conf",
	"/run/motd.dynamic", "/run/utmp",
}

// shown lists what must stay visible in the private folders.
func (p *Policy) shown() {
	for _, f := range runFiles {
		var st unix.Stat_t
		if unix.Lstat(f, &st) != nil || p.visible(f) || isLink(st.Mode) {
			continue
		}
		p.Shown = append(p.Shown, Entry{f, isDir(st), "needed by every program"})
	}
	if p.Home != "" && !p.visible(p.Home) && !below(p.Home, p.Project) {
		if _, st, err := realPath(p.Home); err == nil && isDir(st) {
			p.Shown = append(p.Shown, Entry{p.Home, true, "home"})
		}
	}
}

// hidden finds what deny_read names, resolves links, adds the other names of
// the same files, and gives the git folders met on the way.
func (p *Policy) hidden(deny *match.Set) (repos []string, err error) {
	var mu sync.Mutex
	opts := match.Options{
		Roots: p.otherRoots(),
		OnDir: func(dir string) {
			if isGitDir(dir) {
				mu.Lock()
				repos = append(repos, dir)
				mu.Unlock()
			}
		},
		OnSocket: func(path string) {
			mu.Lock()
			p.seenSockets = append(p.seenSockets, path)
			mu.Unlock()
		},
	}
	found, err := deny.Walk(p.Project, opts)
	if err != nil {
		return nil, fmt.Errorf("look for what deny_read names: %w", err)
	}
	links := newLinks()
	for _, f := range found.Found {
		real, st, err := realPath(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link to nowhere; the watcher waits for its target
		}
		if err != nil {
			if errors.Is(err, unix.EACCES) {
				continue // not even the caller may look there
			}
			return nil, fmt.Errorf("deny_read %s: %w", f.Pattern, err)
		}
		if below(p.Project, real) {
			return nil, fmt.Errorf("deny_read %s hides the project itself (%s)", f.Pattern, real)
		}
		p.hide(real, isDir(st), f.Pattern)
		links.add(real, st)
	}
	for _, d := range found.Unreadable {
		p.hide(d, true, "unreadable, but yours to change")
	}
	slices.Sort(repos)
	return repos, links.find(p)
}

// otherRoots are the writable folders outside of the project in which bare
// names hold as well: the main folder of a git worktree.
func (p *Policy) otherRoots() []string { return nil }

func (p *Policy) hide(path string, dir bool, rule string) {
	if !p.visible(path) || slices.ContainsFunc(p.Hidden, func(e Entry) bool { return e.Path == path }) {
		return
	}
	p.Hidden = append(p.Hidden, Entry{path, dir, rule})
}

// ownFolders hides aigate's own configuration and records, which a payload
// could use to loosen the next run.
func (p *Policy) ownFolders() {
	if p.Home == "" {
		return
	}
	state := getenv(p.host.Env, "XDG_STATE_HOME")
	if state == "" {
		state = filepath.Join(p.Home, ".local/state")
	}
	for _, d := range []string{filepath.Join(p.Home, ".aigate"), filepath.Join(state, "aigate")} {
		real, st, err := realPath(d)
		if err == nil {
			p.hide(real, isDir(st), "aigate's own")
		} else if p.writableRoot(d) != "" {
			p.own = append(p.own, d)
		}
	}
}
