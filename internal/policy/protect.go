package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

// protected lists what deny_write names: what exists anywhere in the writable
// folders, and, for names without a glob, what does not exist yet.
func (p *Policy) protected(noWrite walked, met *met) error {
	if noWrite.err != nil {
		return noWrite.err
	}
	if err := p.takeBack(); err != nil {
		return err
	}
	for _, f := range noWrite.Found {
		if err := p.guard(f.Path, f.Dir, "deny_write "+f.Pattern); err != nil {
			return err
		}
	}
	if err := p.protectOpened(met); err != nil {
		return err
	}
	slices.Sort(met.files)
	for _, path := range met.files {
		if !exists(path) {
			continue
		}
		if err := p.guard(path, false, "run or obeyed wherever it lies"); err != nil {
			return err
		}
	}
	if dot := filepath.Join(p.Project, ".git"); leadsTo(p.Project) != "" {
		if err := p.guard(dot, false, "leads git to its folder"); err != nil {
			return err
		}
	}
	slices.Sort(met.repos)
	met.repos = slices.Compact(met.repos)
	for _, repo := range slices.Concat(met.repos, p.gitDirsOutside()) {
		if !exists(repo) {
			continue // gone again
		}
		for _, r := range append(submodules(repo), repo) {
			if slices.Contains(p.repos, r) {
				continue
			}
			if err := p.guardRepo(r); err != nil {
				return err
			}
		}
	}
	for _, path := range noWrite.Pending {
		path = strings.TrimRight(path, "/")
		if !p.couldBeWritten(path) {
			continue
		}
		// The rest are the beginnings of globs.
		if dir, ok := p.literal(path); ok {
			if err := p.guardAbsent(path, dir); err != nil {
				return err
			}
		}
	}
	if err := p.sharePlaceholders(); err != nil {
		return err
	}
	if err := p.guardOwn(); err != nil {
		return err
	}
	if err := p.guardPrompt(); err != nil {
		return err
	}
	for _, dir := range Around(p.Project, p.Home) {
		// Its place is out of reach, but it may be a link into a writable folder.
		if path := filepath.Join(dir, ".aigate.yaml"); exists(path) {
			if err := p.guard(path, false, ownRule); err != nil {
				return err
			}
		}
	}
	// A name without a slash holds at any depth; the one that aigate itself
	// would read is at the top.
	return p.guard(filepath.Join(p.Project, ".aigate.yaml"), false, ownRule)
}

// guardOwn keeps aigate's folders from being made, and the links that lead to
// them or to their files as they are.
func (p *Policy) guardOwn() error {
	for _, dir := range p.own {
		if err := p.guardMissing(dir, true, ownRule); err != nil {
			return err
		}
	}
	for _, link := range p.ownLinks {
		var st unix.Stat_t
		if p.isProtected(link) || p.isHiddenAbove(link) || unix.Lstat(link, &st) != nil {
			continue
		}
		if err := p.guardExisting(link, st, ownRule); err != nil {
			return err
		}
	}
	return nil
}

// guardPrompt keeps the file from being made that powerlevel10k has every zsh
// run first; its name holds the user's.
func (p *Policy) guardPrompt() error {
	user := getenv(p.host.Env, "USER")
	if user == "" || strings.ContainsRune(user, '/') || !exists(filepath.Join(p.Home, ".p10k.zsh")) {
		return nil
	}
	for _, name := range []string{"p10k-instant-prompt-", "p10k-dump-"} {
		if err := p.guard(filepath.Join(p.Home, ".cache", name+user+".zsh"), false, "run by zsh"); err != nil {
			return err
		}
	}
	return nil
}

// sharePlaceholders reserves the names that another run in this project holds
// by a socket that stands for a folder: the walk takes it for a file, in which
// nothing can be missing.
func (p *Policy) sharePlaceholders() error {
	rules := slices.Clone(reserved)
	for _, rule := range p.config.DenyWrite {
		if !slices.Contains(p.builtin(), strings.TrimPrefix(strings.TrimRight(rule, "/"), "./")) {
			rules = append(rules, strings.TrimPrefix(rule, "./"))
		}
	}
	for _, rule := range rules {
		first, rest, _ := strings.Cut(rule, "/")
		path := filepath.Join(p.Project, first)
		var st unix.Stat_t
		if rest == "" || first == "" || first == "~" || unix.Lstat(path, &st) != nil || !isPlaceholder(st) || isDir(st) {
			continue
		}
		if err := p.reserve(Protected{Entry: Entry{Path: path, Dir: false, Rule: "deny_write " + rule}, View: sandbox.SocketView}); err != nil {
			return err
		}
	}
	return nil
}

// couldBeWritten says that the innermost existing folder on the way to a path
// lies in a writable one: for the rest no protection is needed.
func (p *Policy) couldBeWritten(path string) bool {
	for at := filepath.Dir(path); ; at = filepath.Dir(at) {
		if real := p.folder(at); real == "-" {
			return false
		} else if real != "" {
			return p.writableRoot(real) != ""
		}
	}
}

// literal says whether deny_write spells a path out, and whether it is to be a
// folder.
func (p *Policy) literal(path string) (dir, ok bool) {
	if p.spelled == nil {
		p.spelled = map[string]bool{}
		for _, rule := range p.config.DenyWrite {
			if !strings.HasPrefix(rule, "!") && !strings.ContainsAny(rule, `*?[{\`) {
				p.spelled[p.place(strings.TrimRight(rule, "/"), p.Project)] = strings.HasSuffix(rule, "/")
			}
		}
	}
	dir, ok = p.spelled[path]
	return dir, ok
}

// reserved are the names in a project that cannot be made where they do not
// exist. Other built-in names of a project can, and are listed at the end of
// the run: a placeholder for each would fill the project with odd files.
var reserved = []string{".aigate.yaml", ".vscode/tasks.json", ".vscode/settings.json", ".vscode/launch.json"}

// guardAbsent decides what becomes of a name that deny_write spells out and
// that does not exist.
func (p *Policy) guardAbsent(path string, dir bool) error {
	in, ok := strings.CutPrefix(path, p.Project+"/")
	if ok && p.Project != p.Home && !slices.Contains(reserved, in) && slices.Contains(p.builtin(), in) {
		p.absent = append(p.absent, path)
		return nil
	}
	if below(path, filepath.Join(p.Home, ".cache")) {
		// Who uses these has them; a placeholder for each would cost every start.
		p.absent = append(p.absent, path)
		return nil
	}
	return p.guard(path, dir, "deny_write")
}

// builtin are the project's names among the built-in rules, without slashes at
// the end.
func (p *Policy) builtin() []string {
	if p.builtins == nil {
		for _, b := range config.BuiltinDenyWrite() {
			p.builtins = append(p.builtins, strings.TrimPrefix(strings.TrimRight(b, "/"), "./"))
		}
	}
	return p.builtins
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
// folders can't be made by hand either, since git reads their configuration,
// nor a file that says configuration and hooks are to be found elsewhere.
// See gitrepository-layout(5).
func (p *Policy) guardRepo(repo string) error {
	const why = "git runs what it names"
	p.repos = append(p.repos, repo)
	for _, name := range []string{"hooks", "modules"} {
		path := filepath.Join(repo, name)
		if name == "modules" && isThere(path) {
			continue // its repositories are guarded one by one
		}
		if err := p.guard(path, true, why); err != nil {
			return err
		}
	}
	config := filepath.Join(repo, "config")
	if err := p.guard(config, false, why); err != nil {
		return err
	}
	settings := readGitConfig(config)
	tree := filepath.Dir(repo)
	if settings.worktree != "" { // a submodule's: its .git is a file that leads back here
		tree = p.place(settings.worktree, repo)
		if err := p.guard(filepath.Join(tree, ".git"), false, "leads git to its folder"); err != nil {
			return err
		}
	}
	for _, file := range append(p.userGitConfigs(), config) {
		if err := p.guardGitConfig(file, tree, 10); err != nil {
			return err
		}
	}
	trees, err := filepath.Glob(filepath.Join(escapeGlob(repo), "worktrees", "*"))
	if err != nil {
		return fmt.Errorf("protect %s: %w", repo, err)
	}
	for _, dir := range append(trees, repo) {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil || !isDir(st) {
			continue // git takes no notice of it either
		}
		if err := p.guardTree(dir, settings.perTree); err != nil {
			return err
		}
	}
	return nil
}

// guardTree protects what a worktree's own folder (the main one's is the
// repository) may hold: where the shared folder is, and configuration.
func (p *Policy) guardTree(dir string, perTree bool) error {
	if isWorktreeOrGitDir(dir) { // one that only becomes a worktree is nobody's yet
		p.repos = append(p.repos, dir)
	}
	for _, name := range underWay {
		path := filepath.Join(dir, name)
		p.atStart[path] = stamp(path)
	}
	if link := strings.TrimSpace(readFile(filepath.Join(dir, "gitdir"))); link != "" {
		if err := p.guard(p.place(link, dir), false, "leads git to its folder"); err != nil {
			return err
		}
	}
	common := filepath.Join(dir, "commondir")
	if isThere(common) {
		if err := p.guard(common, false, "git reads configuration where it points"); err != nil {
			return err
		}
	} else if err := p.reserve(Protected{Entry: Entry{Path: common, Dir: false, Rule: "git reads configuration where it points"},
		View: sandbox.TextView, Text: dir + "\n"}); err != nil { // what git assumes without it
		return err
	}
	own := filepath.Join(dir, "config.worktree")
	switch {
	case isThere(own) || perTree:
		return p.guard(own, false, "git runs what it names")
	default:
		p.Struck = append(p.Struck, own) // without the extension git does not make it
	}
	return nil
}

// underWay are the files of a rebase or a cherry-pick that has stopped. The
// command may rebase, so they can be written; but a "git rebase --continue"
// later, outside, would run their exec lines. And files of an old kind say where
// a push goes to by the name of a remote. What is new in them is told of.
var underWay = []string{"rebase-merge/git-rebase-todo", "rebase-apply", "sequencer/todo", "remotes", "branches"}

// stamp changes with what a file or a folder holds; "" when it is not there. Modes
// and times say nothing, except of what is no file to be read.
func stamp(path string) string {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return ""
	}
	if !isDir(st) {
		if text := readFile(path); text != "" && !isLink(st) {
			return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		}
		return fmt.Sprint(st.Ino, st.Size, st.Mtim, st.Ctim)
	}
	text := "folder"
	entries, _ := os.ReadDir(path) // one that cannot be read holds nothing for git either
	for _, e := range entries {
		in := filepath.Join(path, e.Name())
		text += "\n" + in + " " + stamp(in)
	}
	return text
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// guard protects one path, in a writable folder, whether it exists or not.
func (p *Policy) guard(path string, dir bool, rule string) error {
	if p.isProtected(path) || p.isHiddenAbove(path) || p.takenBack(path, dir) {
		return nil
	}
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case err == nil && !isPlaceholder(st):
		return p.guardExisting(path, st, rule)
	case err == nil, errors.Is(err, unix.ENOENT):
		return p.guardMissing(path, dir, rule)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EACCES):
		return nil
	default:
		return fmt.Errorf("protect %s: %w", path, err)
	}
}

// takeBack gathers the "!entries" of deny_write.
func (p *Policy) takeBack() (err error) {
	var back []string
	for _, rule := range p.config.DenyWrite {
		if bare, ok := strings.CutPrefix(rule, "!"); ok {
			back = append(back, bare)
		}
	}
	if back == nil {
		return nil
	}
	if p.free, err = match.Parse(back, p.Home); err != nil {
		return ruleError("deny_write", err)
	}
	return nil
}

// takenBack says that a "!entry" of deny_write gives the path free, also where
// no pattern of the list protects it in the first place.
func (p *Policy) takenBack(path string, dir bool) bool {
	if p.free == nil {
		return false
	}
	place := p.placeOf(path)
	if place == "" {
		place = p.Project
	}
	_, ok := p.free.MatchPath(place, path, dir)
	return ok
}

func (p *Policy) guardExisting(path string, st unix.Stat_t, rule string) error {
	dir := p.folder(filepath.Dir(path))
	if dir == "" || dir == "-" {
		return nil // gone meanwhile, or out of the caller's own reach
	}
	place := filepath.Join(dir, filepath.Base(path))
	if p.writableRoot(place) != "" || p.isWritableFile(place) {
		p.Protected = append(p.Protected, Protected{Entry: Entry{Path: place, Dir: isDir(st), Rule: rule, file: inode(st)}})
	}
	if !isLink(st) {
		return nil
	}
	// A link can't be replaced now, but what it leads to might be changed, and so
	// might the links on the way there.
	links, end := way(place)
	for _, link := range links {
		var st unix.Stat_t
		if p.writableRoot(link) != "" && !p.isProtected(link) && unix.Lstat(link, &st) == nil {
			p.Protected = append(p.Protected, Protected{Entry: Entry{Path: link, Rule: rule, file: inode(st)}})
		}
	}
	real, st, err := realPath(end)
	if errors.Is(err, unix.ENOENT) {
		return p.guardMissing(end, false, rule) // nor may what they lead to come into being
	}
	if err != nil || p.writableRoot(real) == "" || p.isProtected(real) || p.isHidden(real) {
		return nil
	}
	p.Protected = append(p.Protected, Protected{Entry: Entry{Path: real, Dir: isDir(st), Rule: rule, file: inode(st)}})
	return nil
}

// way goes a path a name at a time. It gives the links that it meets, each by a
// path without others, and where it ends, whether something is there or not.
func way(path string) (links []string, end string) {
	const most = 40 // as many as the kernel follows
	end = "/"
	for rest := path; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		at := filepath.Join(end, name) // ".." leads up from where the links have led
		to, err := os.Readlink(at)
		if err != nil || len(links) == most {
			end = at
			continue
		}
		links = append(links, at)
		if filepath.IsAbs(to) {
			end = "/"
		}
		rest = to + "/" + rest
	}
	return links, end
}

// guardMissing keeps a name from being created.
func (p *Policy) guardMissing(path string, dir bool, rule string) error {
	// The innermost folder that exists, and those that have to be made below it.
	at, through := filepath.Dir(path), []string(nil)
	real := p.folder(at)
	for real == "" {
		through = append([]string{at}, through...)
		at = filepath.Dir(at)
		real = p.folder(at)
	}
	if real == "-" || p.writableRoot(real) == "" || p.isHiddenAbove(real) || p.isHidden(real) || p.isProtectedAbove(real) {
		return nil
	}
	if unix.Access(real, unix.W_OK) != nil {
		return p.guardUnwritable(real, rule)
	}
	rest := strings.TrimPrefix(path, strings.TrimRight(at, "/")+"/")
	if len(through) > 0 && below(real, p.Project) && p.Project != p.Home {
		// In a project the outermost missing folder stands for all below it.
		rest, _, _ = strings.Cut(rest, "/")
		// A socket, though it stands for a folder: `git clean` wants to remove those.
		return p.reserve(Protected{Entry: Entry{Path: filepath.Join(real, rest), Dir: false, Rule: rule}, View: sandbox.SocketView})
	}
	e := Protected{Entry: Entry{Path: filepath.Join(real, rest), Dir: dir, Rule: rule}, View: p.view(real, rest, dir)}
	for i := range through {
		e.Through = append(e.Through, filepath.Join(real, strings.Join(strings.Split(rest, "/")[:i+1], "/")))
	}
	return p.reserve(e)
}

func (p *Policy) reserve(e Protected) error {
	dir := filepath.Dir(e.Path)
	if p.writableRoot(dir) == "" || unix.Access(dir, unix.W_OK) != nil && len(e.Through) == 0 {
		return nil
	}
	if !p.isProtected(e.Path) {
		e.Missing = true
		p.Protected = append(p.Protected, e)
	}
	return nil
}

// folder gives a folder's path without symlinks, "" when it does not exist (or
// is a placeholder), "-" when it is none or out of reach.
func (p *Policy) folder(dir string) string {
	if real, ok := p.real[dir]; ok {
		return real
	}
	real := p.lookUp(dir)
	p.real[dir] = real
	return real
}

// lookUp asks for one name at a time, because most share their beginnings.
func (p *Policy) lookUp(dir string) string {
	if dir == "/" || dir == p.Home || dir == p.Project {
		return dir
	}
	up := p.folder(filepath.Dir(dir))
	if up == "" || up == "-" {
		return up
	}
	path := filepath.Join(up, filepath.Base(dir))
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if err == nil && isLink(st) {
		path, st, err = realPath(path)
	}
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && st.Mode == placeholderDir:
		return ""
	case err != nil || !isDir(st):
		return "-"
	}
	return path
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
		p.Protected = append(p.Protected, Protected{Entry: Entry{Path: dir, Dir: true, Rule: rule}})
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
	case below(dir, p.Project) && dir != p.Home && !strings.Contains(dir+"/", "/.git/"):
		return sandbox.SocketView
	case strings.HasSuffix(rest, ".json"):
		return sandbox.JSONView
	default:
		return sandbox.FileView
	}
}

// isThere: exists, and not as a placeholder.
func isThere(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && !isPlaceholder(st)
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
