package cli

import (
	"errors"
	"fmt"
	"github.com/AxeForging/aigate/internal/policy"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/acl"
	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
)

// The names that setup gives where nobody says otherwise.
const (
	defaultGroup = "ai-agents"
	defaultUser  = "ai-runner"
)

// accountNames are the sandbox's group and user: what the user's own file says,
// else what the last setup made. A project's file does not choose whom files
// are denied to.
func accountNames(global *config.Config) account.Names {
	n := account.Names{Group: defaultGroup, User: defaultUser}
	if r, err := account.Load(); err == nil && r.Current.Group != "" {
		n = r.Current
	}
	if global != nil && global.Group != "" {
		n.Group = global.Group
	}
	if global != nil && global.User != "" {
		n.User = global.User
	}
	return n
}

// agents are the ids to deny files to, or why there are none.
func agents(n account.Names) (acl.Agents, error) {
	gid, uid, err := account.IDs(n.Group, n.User)
	if err != nil {
		return acl.Agents{}, err
	}
	if gid < 0 {
		return acl.Agents{}, fmt.Errorf("the group %s does not exist; run `sudo aigate setup` first", n.Group)
	}
	mine, err := os.Getgroups()
	if err != nil {
		return acl.Agents{}, err
	}
	if gid == 0 || os.Geteuid() != 0 && (slices.Contains(mine, gid) || gid == os.Getgid()) {
		return acl.Agents{}, fmt.Errorf("you are in the group %s yourself, and would be denied what is not your own; choose another with `sudo aigate setup --group name`, and `group: name` in your configuration", n.Group)
	}
	if uid == 0 || uid == os.Getuid() {
		uid = -1
	}
	return acl.Agents{Group: gid, User: uid, GroupName: n.Group, UserName: n.User}, nil
}

// What holds where ACLs could not be changed: the rule is in the file.
const (
	deniedAnyway  = "the rule is saved, and holds in every `aigate run` without them"
	allowedAnyway = "the rule is removed, and `aigate run` has it no longer"
)

// syncACLs makes the ACLs of what the patterns name agree with the
// configuration, which has just been changed. It never fails: the rule is saved,
// and holds in every run without them; saved says so.
func (f *ruleFlags) syncACLs(patterns []string, saved string) {
	defer slow("applying ACLs to what the patterns name")()
	if err := f.trySync(patterns, saved); err != nil {
		say("Failed to apply ACLs: %v", err)
		say("%s", saved)
	}
}

func (f *ruleFlags) trySync(patterns []string, saved string) error {
	_, global, err := loadBoth()
	if errors.Is(err, errNotInitialized) {
		global, err = nil, nil
	}
	if err != nil {
		return err
	}
	who, err := agents(accountNames(global))
	if err != nil {
		return err
	}
	home, err := homeDir()
	if err != nil {
		return err
	}
	here, err := projectConfig()
	if err != nil {
		return err
	}
	places := aclLedger{ledger{home}}
	projects := []string{filepath.Dir(here)}
	if !f.project { // the rule holds in every project
		projects = append(projects, places.list("project")...)
		slices.Sort(projects[1:])
		projects = slices.Compact(projects)
	}
	var total acl.Report
	for i, project := range projects {
		if i > 0 && project == projects[0] {
			continue
		}
		r, err := applyACLs(project, home, global, patterns, who, places)
		if err != nil && i == 0 {
			return err
		}
		if r.Cleared > 0 && slices.Contains(places.list("grant"), project) {
			if g, err := theGrant(); err == nil && g.project == project {
				g.Apply(project) // what is no longer denied is the project's again
			}
		}
		total = added(total, r)
	}
	tellACLs(total, who, saved)
	return nil
}

// applyACLs does it in one project.
func applyACLs(project, home string, global *config.Config, patterns []string, who acl.Agents, places aclLedger) (r acl.Report, err error) {
	all := config.Merge(global, nil)
	if global != nil {
		f, err := readFiles(policy.Host{Home: home, Project: project})
		if err != nil {
			return r, err
		}
		own, err := f.unasked()
		if err != nil {
			return r, err
		}
		all = config.Merge(f.base, own)
	}
	return syncTree(project, home, all.DenyRead, patterns, who, places)
}

// syncTree goes through what patterns name in a project and at fixed places, and
// denies what the whole list denies.
func syncTree(project, home string, deny, patterns []string, who acl.Agents, places aclLedger) (r acl.Report, err error) {
	after, err := match.Parse(deny, home)
	if err != nil {
		return r, err
	}
	bare := make([]string, len(patterns))
	for i, p := range patterns {
		bare[i] = strings.TrimPrefix(p, "!") // what is taken back is looked at, too
	}
	concerned, err := match.Parse(bare, home)
	if err != nil {
		return r, err
	}
	found, err := concerned.Walk(project, match.Options{})
	if err != nil {
		return r, err
	}
	paths := make([]string, len(found.Found))
	for i, f := range found.Found {
		paths[i] = f.Path
		if filepath.IsAbs(f.Pattern) || strings.HasPrefix(f.Pattern, "~/") {
			if err := places.note("pattern", f.Pattern); err != nil {
				return r, err
			}
		}
	}
	if err := places.note("project", project); err != nil {
		return r, err
	}
	had := places.list("default")
	r = acl.Sync(paths, who, acl.Rules{
		Denied:     func(path string, dir bool) bool { _, denied := after.MatchPath(project, path, dir); return denied },
		Linked:     func() (map[match.Inode]bool, error) { return linkedFiles(after, project) },
		HadDefault: func(path string) bool { return slices.Contains(had, path) },
	})
	for _, path := range r.Defaults {
		if err := places.note("default", path); err != nil {
			return r, err
		}
	}
	return r, nil
}

// linkedFiles are those with several names that a list denies.
func linkedFiles(set *match.Set, project string) (map[match.Inode]bool, error) {
	found, err := set.Walk(project, match.Options{})
	if err != nil {
		return nil, err
	}
	all := map[match.Inode]bool{}
	for _, f := range found.Found {
		if f.Dir {
			inside, err := match.Inside(f.Path, nil)
			if err != nil {
				return nil, err
			}
			for i := range inside {
				all[i] = true
			}
			continue
		}
		if st, err := os.Stat(f.Path); err == nil {
			if st, ok := st.Sys().(*syscall.Stat_t); ok {
				all[match.Inode{Dev: uint64(st.Dev), Ino: st.Ino}] = true
			}
		}
	}
	return all, nil
}

// tellACLs says what was done, and once for each reason what was not.
func tellACLs(r acl.Report, who acl.Agents, saved string) {
	if r.Set > 0 {
		say("ACLs: %s denied to the group %s", files(r.Set), who.GroupName)
	}
	if r.Cleared > 0 {
		say("ACLs: taken back from %s", files(r.Cleared))
	}
	tellFailed(r)
	if len(r.Failed) > 0 {
		say("%s", saved)
	}
}

func tellFailed(r acl.Report) {
	for _, f := range r.Failed {
		say("Failed to apply ACLs to %s: %s, such as %s", files(f.Count), aclReason(f.Reason), strconv.Quote(f.Example))
	}
}

func aclReason(err error) string {
	switch {
	case errors.Is(err, syscall.EPERM):
		return "somebody else's, who alone could (or root)"
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.ENOTSUP):
		return "on a file system without ACLs"
	case errors.Is(err, syscall.EROFS):
		return "on a read-only file system"
	case errors.Is(err, fs.ErrPermission):
		return "in folders that you cannot enter"
	}
	return err.Error()
}

func files(n int) string {
	if n == 1 {
		return "one file"
	}
	return fmt.Sprintf("%d files and folders", n)
}

func added(a, b acl.Report) acl.Report {
	a.Set, a.Cleared, a.Same = a.Set+b.Set, a.Cleared+b.Cleared, a.Same+b.Same
	for _, f := range b.Failed {
		i := slices.IndexFunc(a.Failed, func(o acl.Failure) bool { return errors.Is(o.Reason, f.Reason) })
		if i < 0 {
			a.Failed = append(a.Failed, f)
		} else {
			a.Failed[i].Count += f.Count
		}
	}
	return a
}

// aclLedger is where ACLs were written: projects, patterns of fixed places, and
// folders that had a default list of their own. In ~/.aigate, which no sandbox
// sees; for `allow read` elsewhere, and for reset.
type aclLedger struct{ ledger }

func (l aclLedger) list(kind string) (all []string) {
	lines, err := l.lines("acls")
	if err != nil {
		return nil
	}
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, kind+" "); ok {
			if path, err := strconv.Unquote(rest); err == nil {
				all = append(all, path)
			}
		}
	}
	return all
}

// drop strikes an entry out.
func (l aclLedger) drop(kind, path string) error {
	lines, err := l.lines("acls")
	if err != nil {
		return err
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == kind+" "+strconv.Quote(path) })
	return config.WriteFile(l.file("acls"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

func (l aclLedger) note(kind, path string) error {
	if slices.Contains(l.list(kind), path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.file("acls")), 0o700); err != nil {
		return err
	}
	return l.append("acls", kind+" "+strconv.Quote(path))
}
