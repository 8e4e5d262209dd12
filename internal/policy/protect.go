package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// protected lists what deny_write names: what exists anywhere in the writable
// folders, and, for names without a glob, what does not exist yet.
func (p *Policy) protected(repos []string) error {
	set, err := match.Parse(p.config.DenyWrite, p.Home)
	if err != nil {
		return ruleError("deny_write", err)
	}
	found, err := set.Walk(p.Project, match.Options{})
	if err != nil {
		return fmt.Errorf("look for what deny_write names: %w", err)
	}
	for _, f := range found.Found {
		if err := p.guard(f.Path, f.Dir, "deny_write "+f.Pattern); err != nil {
			return err
		}
	}
	for _, repo := range append(repos, p.gitDirsOutside()...) {
		if err := p.guardRepo(repo); err != nil {
			return err
		}
	}
	for _, path := range found.Pending {
		if err := p.guard(strings.TrimRight(path, "/"), strings.HasSuffix(path, "/"), "deny_write"); err != nil {
			return err
		}
	}
	for _, dir := range p.own {
		if err := p.guard(dir, true, "aigate's own"); err != nil {
			return err
		}
	}
	return nil
}

// gitDirsOutside are the writable git folders that no walk of the project met.
func (p *Policy) gitDirsOutside() (out []string) {
	for _, d := range gitDirs(p.Project) {
		if !below(d, p.Project) {
			out = append(out, d)
		}
	}
	return out
}

// guardRepo protects what git itself would execute: hooks, and the
// configuration that can name a program for every occasion. New submodules'
// folders can't be made by hand either, since git reads their configuration.
func (p *Policy) guardRepo(repo string) error {
	for _, f := range []struct {
		name    string
		dir     bool
		missing bool // also when it is not there
	}{
		{"hooks", true, true}, {"config", false, true}, {"config.worktree", false, false},
		{"modules", true, true},
	} {
		path := filepath.Join(repo, f.name)
		if !f.missing && !exists(path) {
			continue
		}
		if f.name == "modules" && exists(path) {
			continue // its repositories are guarded one by one
		}
		if err := p.guard(path, f.dir, "git runs what it names"); err != nil {
			return err
		}
	}
	return nil
}

// guard protects one path, in a writable folder, whether it exists or not.
func (p *Policy) guard(path string, dir bool, rule string) error {
	if p.isProtected(path) || p.isHiddenAbove(path) {
		return nil
	}
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case err == nil && !sandbox.IsPlaceholder(st.Mode):
		return p.guardExisting(path, st, rule)
	case err == nil, errors.Is(err, unix.ENOENT):
		return p.guardMissing(path, dir, rule)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EACCES):
		return nil
	default:
		return fmt.Errorf("protect %s: %w", path, err)
	}
}

func (p *Policy) guardExisting(path string, st unix.Stat_t, rule string) error {
	dir, err := realDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	place := filepath.Join(dir, filepath.Base(path))
	if p.writableRoot(place) != "" || p.isWritableFile(place) {
		p.Protected = append(p.Protected, Protected{Entry: Entry{place, isDir(st), rule}})
	}
	if !isLink(st.Mode) {
		return nil
	}
	// A link can't be replaced now, but what it leads to might be changed.
	real, st, err := realPath(path)
	if err != nil || p.writableRoot(real) == "" || p.isProtected(real) {
		return nil
	}
	p.Protected = append(p.Protected, Protected{Entry: Entry{real, isDir(st), rule}})
	return nil
}

// guardMissing keeps a name from being created.
func (p *Policy) guardMissing(path string, dir bool, rule string) error {
	// The innermost folder that exists, and those that have to be made below it.
	at, through := filepath.Dir(path), []string(nil)
	for {
		var st unix.Stat_t
		err := unix.Lstat(at, &st)
		if err == nil && st.Mode != placeholderDir {
			break
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil // through a file: can't come into being
		}
		through = append([]string{at}, through...)
		at = filepath.Dir(at)
	}
	real, err := realDir(at)
	if err != nil {
		return nil
	}
	if p.writableRoot(real) == "" || p.isHiddenAbove(real) || p.isHidden(real) || p.isProtectedAbove(real) {
		return nil
	}
	if unix.Access(real, unix.W_OK) != nil {
		return p.guardUnwritable(real, rule)
	}
	rest := strings.TrimPrefix(path, at+"/")
	e := Protected{Entry: Entry{filepath.Join(real, rest), dir, rule}, Missing: true, View: p.view(real, rest, dir)}
	for i := range through {
		e.Through = append(e.Through, filepath.Join(real, strings.Join(strings.Split(rest, "/")[:i+1], "/")))
	}
	p.Protected = append(p.Protected, e)
	return nil
}

const placeholderDir = unix.S_IFDIR | 0o1700

// guardUnwritable: nothing can be made in a folder that is read-only on disk or
// another's. One that is the caller's own could be made writable by the payload,
// so it is protected as a whole.
func (p *Policy) guardUnwritable(dir, rule string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("protect %s: %w", dir, err)
	}
	if int(st.Uid) == p.host.UID && !p.isProtected(dir) {
		p.Protected = append(p.Protected, Protected{Entry: Entry{dir, true, rule}})
	}
	return nil
}

// view says what the payload sees in place of a missing name. In a git
// repository a socket, which `git add -A` passes over; elsewhere a file that
// the programs which read it accept as empty.
func (p *Policy) view(dir, rest string, isDir bool) sandbox.Placeholder {
	switch {
	case isDir:
		return sandbox.DirView
	case below(dir, p.Project) && dir != p.Home:
		return sandbox.SocketView
	case strings.HasSuffix(rest, ".json"):
		return sandbox.JSONView
	default:
		return sandbox.FileView
	}
}

func realDir(dir string) (string, error) {
	real, _, err := realPath(dir)
	return real, err
}

func (p *Policy) isProtected(path string) bool {
	for _, e := range p.Protected {
		if e.Path == path {
			return true
		}
	}
	return false
}

// isProtectedAbove: in a folder that is protected as a whole nothing more is
// needed.
func (p *Policy) isProtectedAbove(path string) bool {
	for _, e := range p.Protected {
		if e.Dir && below(path, e.Path) {
			return true
		}
	}
	return false
}

func (p *Policy) isHiddenAbove(path string) bool {
	for _, e := range p.Hidden {
		if e.Dir && path != e.Path && below(path, e.Path) {
			return true
		}
	}
	return false
}

func (p *Policy) isWritableFile(path string) bool {
	for _, e := range p.Writable {
		if !e.Dir && e.Path == path {
			return true
		}
	}
	return false
}
