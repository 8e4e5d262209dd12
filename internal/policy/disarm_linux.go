package policy

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/AxeForging/aigate/internal/match"
	"golang.org/x/sys/unix"
)

// A repository that is made during a run has a configuration of the command's
// own making, and git obeys it whenever it comes by: in that folder, or from the
// project's top, for `git status` goes into every repository that the index calls
// a submodule, and prompts and editors ask for the status all the time. It can
// also have any name: a folder with HEAD, objects and refs is one, wherever it
// is. Making repositories has to go on working. So what would have git run or
// read more than a plain repository needs is moved aside, when it is noticed and
// at the end of the run at the latest, and the user is told.

// aside is what such a file is called then.
const aside = ".made-in-sandbox"

// Disarm does so for the whole project, and other folders that the user opened, and gives
// what was moved during the run.
// A repository that the command made can lie in another one as well.
func (p *Policy) Disarm() (moved []string, err error) {
	dirs, links, err := p.gitPlaces()
	for _, link := range links {
		err = errors.Join(err, p.disarmLink(link, atEnd))
	}
	for _, dir := range dirs {
		err = errors.Join(err, p.disarmPlace(dir))
	}
	p.disarmed.mu.Lock()
	defer p.disarmed.mu.Unlock()
	return slices.Clone(p.disarmed.paths), err
}

// gitPlaces gives the folders there that hold a HEAD, and what is called .git. Git
// enters a folder that cannot be listed, so one that the command closed to us is
// opened.
func (p *Policy) gitPlaces() (dirs, links []string, err error) {
	var mu sync.Mutex
	see := match.Options{Names: []string{"HEAD", ".git"}, OnEntry: func(path string) {
		mu.Lock()
		defer mu.Unlock()
		if filepath.Base(path) == "HEAD" {
			dirs = append(dirs, filepath.Dir(path))
		} else {
			links = append(links, path)
		}
	}}
	set, err := match.Parse(nil, p.Home) // only places are of interest, no pattern has to be looked for
	if err != nil {
		return nil, nil, err
	}
	for _, place := range append(p.places(), p.gitDirsOutside()...) {
		found, e := set.Walk(place, see)
		err = errors.Join(err, e)
		for closed := found.Unreadable; len(closed) > 0; closed = closed[1:] {
			opened, e := p.reopen(closed[0])
			if opened {
				found, e = set.Rescan(place, closed[0], see)
				closed = append(closed, found.Unreadable...)
			}
			err = errors.Join(err, e) // and on: what cannot be looked into hides nothing else
		}
	}
	if err != nil {
		err = fmt.Errorf("look for repositories that the command made: %w", err)
	}
	slices.Sort(dirs)
	slices.Sort(links)
	return slices.Compact(dirs), slices.Compact(links), err
}

// reopen lets the caller look into a folder of his own that was closed to him during
// the run. One that was closed before is hidden.
func (p *Policy) reopen(dir string) (opened bool, err error) {
	if p.isHidden(dir) || p.isHiddenAbove(dir) {
		return false, nil
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	fd, err := openWith(dir, flags)
	if err != nil {
		return false, ignoreGone(err)
	}
	defer unix.Close(fd)
	if !p.openUp(fd, 0o500) {
		return false, nil
	}
	p.disarmed.mu.Lock()
	defer p.disarmed.mu.Unlock()
	p.disarmed.opened = append(p.disarmed.opened, dir)
	return true, nil
}

// openUp gives us all rights again to an open folder of our own, if these are
// missing and it was closed during the run.
func (p *Policy) openUp(fd int, missing uint32) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&missing == missing || !p.isFresh(st) || int(st.Uid) != os.Geteuid() {
		return false
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), st.Mode&0o7777|0o700) == nil
}

// disarmed is what was moved aside, and what was opened to look into.
type disarmed struct {
	mu            sync.Mutex
	paths, opened []string
}

// Reopened gives the folders that the command had closed to the caller and that
// Disarm has opened.
func (p *Policy) Reopened() []string {
	p.disarmed.mu.Lock()
	defer p.disarmed.mu.Unlock()
	return slices.Clone(p.disarmed.opened)
}

// foreignRepo says that git would take a folder for a repository, and that it was
// none at the start: those are protected. How old its files are says nothing, since
// a command can leave all but one behind and the next one complete it. What is
// hidden, no command has touched.
func (p *Policy) foreignRepo(fd int, dir string) bool {
	if !has(fd, "HEAD") || !has(fd, "objects") && !has(fd, "commondir") {
		return false
	}
	return !slices.Contains(p.repos, dir) && p.writableRoot(dir) != "" && !p.isHidden(dir) && !p.isHiddenAbove(dir)
}

func has(fd int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// disarmPlace judges a folder with a HEAD at the end of the run.
func (p *Policy) disarmPlace(dir string) error {
	fd, err := openPlainly(dir)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	if p.foreignRepo(fd, dir) {
		return errors.Join(p.disarmRepo(fd, dir, atEnd), p.disarmHooks(fd, dir))
	}
	if l, leads := p.leadOf(fd, "commondir"); slices.Contains(p.repos, dir) && leads && !p.isHome(l) && p.led[filepath.Join(dir, "commondir")] != l {
		return p.moveAside(fd, dir, "commondir") // a link on the way leads elsewhere now
	}
	return nil
}

// moment is when something is judged. Git may write where it is led first and make
// that afterwards, so what leads nowhere waits for the end.
type moment bool

const (
	atOnce moment = false
	atEnd  moment = true
)

// rearm judges what has just come into being: see rescan.
func (p *Policy) rearm(path string) error {
	switch filepath.Base(path) {
	case "config", "config.worktree", "commondir", "HEAD", "objects":
		return p.rearmRepo(filepath.Dir(path))
	case ".git":
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && !isDir(st) {
			return p.disarmLink(path, atOnce)
		}
		return p.rearmRepo(path)
	}
	return nil
}

func (p *Policy) rearmRepo(dir string) error {
	fd, err := openPlainly(dir)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	if p.foreignRepo(fd, dir) {
		return p.disarmRepo(fd, dir, atOnce)
	}
	return nil
}

// disarmRepo moves a configuration aside that is more than a plain one, and what
// says that the configuration is elsewhere.
func (p *Policy) disarmRepo(fd int, dir string, when moment) error {
	for _, name := range []string{"config", "config.worktree", "commondir"} {
		text, there, err := readIn(fd, name)
		if err != nil {
			return ignoreGone(fmt.Errorf("%s/%s: %w", dir, name, err))
		}
		plain := name != "commondir" && plainGitConfig(text, dir, cmp.Or(p.placeOf(dir), p.Project))
		if name == "commondir" {
			l, _ := p.leadOf(fd, name)
			plain = p.isHome(l) || when == atOnce && l == (lead{})
		}
		if !there || plain {
			continue
		}
		if err := p.moveAside(fd, dir, name); err != nil {
			return err
		}
	}
	return nil
}

// disarmHooks moves hooks aside. It is for the end of the run: the command may well
// have use for them.
func (p *Policy) disarmHooks(fd int, dir string) error {
	var st unix.Stat_t
	if unix.Fstatat(fd, "hooks", &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil
	}
	if !isDir(st) {
		if !isLink(st) {
			return nil
		}
		return p.moveAside(fd, dir, "hooks")
	}
	dir = filepath.Join(dir, "hooks")
	hooks, err := unix.Openat(fd, "hooks", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ignoreGone(&os.PathError{Op: "open", Path: dir, Err: err})
	}
	f := os.NewFile(uintptr(hooks), dir)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	for _, name := range names {
		if strings.HasSuffix(name, ".sample") || strings.Contains(name, aside) || unix.Fstatat(hooks, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		if !isDir(st) && (isLink(st) || st.Mode&0o111 != 0) {
			err = errors.Join(err, p.moveAside(hooks, dir, name))
		}
	}
	return err
}

// disarmLink does so with a file or a symlink called .git that leads elsewhere than
// to what is protected or looked at, and elsewhere than it did at the start: what is
// on the way can be changed. One that leads nowhere may lead somewhere later.
func (p *Policy) disarmLink(path string, when moment) error {
	dir := filepath.Dir(path)
	fd, err := openPlainly(dir)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	l, leads := p.leadOf(fd, ".git")
	was, known := p.led[path]
	if !leads || p.lookedAt(l.path) || known && was == l || p.isHiddenAbove(path) || when == atOnce && l == (lead{}) {
		return nil
	}
	return p.moveAside(fd, dir, ".git")
}

// lead is where git is led; the zero value is nowhere.
type lead struct {
	path string
	at   match.Inode
}

// leadOf reads, as git does, where .git or commondir in an open folder leads. leads
// is false where git refuses it, and for a folder called .git. What goes by way of a
// link that a run in another project could bend, or of a link to a file, is said to
// lead nowhere.
func (p *Policy) leadOf(fd int, name string) (l lead, leads bool) {
	const begins = "gitdir: "
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || isDir(st) {
		return l, false
	}
	to := name
	if isLink(st) {
		if name == "commondir" || unix.Fstatat(fd, name, &st, 0) != nil || !isDir(st) {
			return l, true
		}
	} else {
		text, _, err := readIn(fd, name)
		if err != nil {
			return l, true
		}
		if name == ".git" {
			if !strings.HasPrefix(text, begins) {
				return l, false
			}
			text = text[len(begins):]
		}
		to, _, _ = strings.Cut(strings.TrimRight(text, "\r\n"), "\x00")
	}
	if !filepath.IsAbs(to) {
		to = "/proc/self/fd/" + strconv.Itoa(fd) + "/" + to // not cleaned: the kernel goes ".." from where links lead
	}
	links, _ := way(to)
	if slices.ContainsFunc(links, func(link string) bool { return p.writableRoot(link) != "" && !p.lookedAt(link) }) {
		return l, true
	}
	if real, st, err := realPath(to); err == nil {
		l = lead{real, inode(st)}
	}
	return l, true
}

// noteLeads takes note of where git is led at the start.
func (p *Policy) noteLeads(links []string) {
	p.led = map[string]lead{}
	note := func(dir, name string) {
		fd, err := openPlainly(dir)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		if l, leads := p.leadOf(fd, name); leads {
			p.led[filepath.Join(dir, name)] = l
		}
	}
	for _, path := range links {
		if filepath.Base(path) == ".git" {
			note(filepath.Dir(path), ".git")
		}
	}
	for _, repo := range p.repos {
		note(repo, "commondir")
	}
}

// lookedAt says that a folder is protected, or one that Disarm looks at.
func (p *Policy) lookedAt(dir string) bool {
	if dir == "" {
		return false
	}
	return p.placeOf(dir) != "" || slices.ContainsFunc(p.repos, func(repo string) bool { return below(dir, repo) }) ||
		slices.ContainsFunc(p.gitDirsOutside(), func(repo string) bool { return below(dir, repo) })
}

// isHome says so of where commondir leads. Git asks for no HEAD there, but only what has
// one is looked at.
func (p *Policy) isHome(l lead) bool {
	return p.lookedAt(l.path) && exists(filepath.Join(l.path, "HEAD"))
}

// readIn reads a file of a folder, and says whether it is there. What is no plain file
// reads as something that is no plain configuration.
func readIn(dir int, name string) (text string, there bool, err error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	switch err {
	case nil:
	case unix.ELOOP, unix.ENXIO, unix.EACCES:
		return "\x00", true, nil // a link, a socket, one that was closed
	case unix.ENOENT:
		return "", false, nil
	default:
		return "", false, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "\x00", true, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, mostRead+1))
	if len(b) > mostRead {
		b = []byte{0}
	}
	return string(b), true, err
}

// isFresh says that a file was changed since the run began: nobody can set
// st_ctime. The kernel's clock for files ticks, so a moment before counts, too.
func (p *Policy) isFresh(st unix.Stat_t) bool {
	const tick = 20 * time.Millisecond
	return !time.Unix(st.Ctim.Unix()).Before(p.began.Add(-tick))
}

func (p *Policy) moveAside(fd int, dir, name string) error {
	for n := range 100 {
		to := name + aside
		if n > 0 { // the command may have made as many as can be counted
			to += "." + strings.ToLower(rand.Text()[:10])
		}
		err := unix.Renameat2(fd, name, fd, to, unix.RENAME_NOREPLACE)
		if err == unix.EACCES && p.openUp(fd, 0o300) {
			err = unix.Renameat2(fd, name, fd, to, unix.RENAME_NOREPLACE)
		}
		switch err {
		case nil:
			p.disarmed.mu.Lock()
			defer p.disarmed.mu.Unlock()
			p.disarmed.paths = append(p.disarmed.paths, filepath.Join(dir, to))
			return nil
		case unix.EEXIST:
			continue
		default:
			return ignoreGone(fmt.Errorf("move %s aside: %w", filepath.Join(dir, name), err))
		}
	}
	return fmt.Errorf("move %s aside: too many are there", filepath.Join(dir, name))
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// openPlainly opens a folder without following a link anywhere on the way.
func openPlainly(dir string) (int, error) {
	return openWith(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW)
}

func openWith(dir string, flags int) (int, error) {
	// A command can make folders whose paths are too long for the kernel.
	const most = unix.PathMax - 300
	at, rest := unix.AT_FDCWD, dir
	for len(rest) >= most {
		cut := strings.LastIndexByte(rest[:most], '/')
		if cut <= 0 {
			break
		}
		next, err := openAt(at, rest[:cut], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW)
		if at != unix.AT_FDCWD {
			unix.Close(at)
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		at, rest = next, rest[cut+1:]
	}
	fd, err := openAt(at, rest, flags)
	if at != unix.AT_FDCWD {
		unix.Close(at)
	}
	if err == unix.ELOOP {
		err = unix.ENOENT // somebody else's folder: what leads there is looked at
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

func openAt(at int, path string, flags int) (int, error) {
	fd, err := unix.Openat2(at, path, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err == unix.ENOSYS { // inside another aigate
		fd, err = unix.Openat(at, path, flags, 0)
	}
	return fd, err
}

// Lines of a configuration that has git neither run a program nor read more
// files, as git itself writes them. What is not exactly like one of these is no
// plain line: git's syntax has more corners than it is worth to know.
var (
	plainSection = whenAsked(`^\[(core|extensions|user|init|pull|push|fetch|merge|rebase|commit|color|advice|gc|pack|index|lfs|status|(remote|branch|submodule) "[^"\\]*")\]$`)
	plainSetting = whenAsked(`^([A-Za-z][A-Za-z0-9]*) = ?([^"\\;#]*)$`)
)

// whenAsked compiles a regexp when it is first needed: no start waits for it.
func whenAsked(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// plainKeys are the settings that are harmless in each section.
var plainKeys = map[string][]string{
	"core": {"repositoryformatversion", "filemode", "bare", "logallrefupdates", "ignorecase", "precomposeunicode", "symlinks", "autocrlf", "eol",
		"safecrlf", "quotepath", "abbrev", "compression", "untrackedcache", "preloadindex", "protecthfs", "protectntfs", "longpaths", "sparsecheckout", "sparsecheckoutcone"},
	"extensions": {"objectformat", "compatobjectformat", "refstorage", "partialclone"},
	"user":       {"name", "email"},
	"init":       {"defaultbranch"},
	"pull":       {"rebase", "ff"},
	"push":       {"default", "autosetupremote", "followtags"},
	"fetch":      {"prune", "prunetags", "parallel"},
	"merge":      {"ff", "conflictstyle", "renames"},
	"rebase":     {"autostash", "autosquash", "updaterefs"},
	"commit":     {"status", "verbose"},
	"gc":         {"auto", "autodetach"},
	"pack":       {"threads", "window", "depth"},
	"index":      {"version", "threads"},
	"lfs":        {"repositoryformatversion"},
	"status":     {"short", "branch", "showuntrackedfiles"},
	"remote":     {"url", "pushurl", "fetch", "push", "tagopt", "prune", "promisor", "partialclonefilter"},
	"branch":     {"remote", "merge", "rebase", "pushremote", "description"},
	"submodule":  {"active", "url"},
}

// plainGitConfig says that a configuration is such a one. That of a submodule in dir
// tells where its files are, in the project.
func plainGitConfig(text, dir, project string) bool {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\n")
		if line == "" || line[0] == '#' || line[0] == ';' {
			if strings.HasSuffix(line, `\`) {
				return false
			}
			continue
		}
		if m := plainSection().FindStringSubmatch(line); m != nil {
			section, _, _ = strings.Cut(m[1], " ")
			continue
		}
		m := plainSetting().FindStringSubmatch(line)
		if m != nil && section == "core" && strings.EqualFold(m[1], "worktree") {
			if real, _, err := realPath(absolute(dir, m[2])); err == nil && below(real, project) {
				continue
			}
			return false
		}
		if m == nil || !slices.Contains(plainKeys[section], strings.ToLower(m[1])) && section != "color" && section != "advice" {
			return false
		}
		if strings.Contains(m[2], "::") { // a transport that runs a program
			return false
		}
	}
	return true
}

// strikeOff removes a file that must not be, and follows no link on the way to
// it: another sandbox may exchange a folder for one just then. What is no file git
// does not read.
func (p *Policy) strikeOff(path string) (removed bool, err error) {
	dir, name := filepath.Split(path)
	fd, err := openWith(filepath.Clean(dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW)
	if err != nil {
		return false, ignoreGone(err)
	}
	defer unix.Close(fd)
	err = unix.Unlinkat(fd, name, 0)
	if err == unix.EACCES && p.openUp(fd, 0o300) {
		err = unix.Unlinkat(fd, name, 0)
	}
	switch err {
	case nil:
		return true, nil
	case unix.ENOENT, unix.EISDIR:
		return false, nil
	default:
		return false, fmt.Errorf("remove %s, which must not be: %w", path, err)
	}
}
