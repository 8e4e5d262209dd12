package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/acl"
	"github.com/AxeForging/aigate/internal/match"
	"github.com/spf13/cobra"
)

func newResetCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "reset --force",
		Short: "Remove group, user, configuration and ACLs (needs sudo)",
		Long: `Remove what aigate has put on this machine: the group and the user that setup
made, the user's home, the AppArmor profile, the ACLs that "deny read" wrote,
and your configuration and root's (~/.aigate). What was there before setup
stays. Everything that is removed is listed.`,
		Example: "  sudo aigate reset --force",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("%w: run `sudo aigate reset --force`", account.ErrPrivileges)
			}
			return reset(force)
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "do it; without, only say what would be removed")
	return c
}

func reset(force bool) error {
	by, err := behind()
	if err != nil {
		return err
	}
	all := []person{by}
	if root, found, err := account.ByID(0); by.UID != 0 && err == nil && found {
		all = append(all, person{root})
	}
	record, err := account.Load()
	if err != nil {
		return err
	}
	if !force {
		return wouldRemove(record, all)
	}
	var failed []error
	for _, p := range all {
		failed = append(failed, p.forgetACLs()) // while the group has a number
		failed = append(failed, p.removeConfig())
	}
	failed = append(failed, account.Reset(func(format string, args ...any) { say(format, args...) }))
	for _, kept := range record.Kept() {
		say("left %s, which setup did not make", kept)
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("not everything could be removed; what is left is removed by another `sudo aigate reset --force`:\n%w", err)
	}
	say("nothing of aigate's is left but the program itself")
	return nil
}

func wouldRemove(r account.Record, all []person) error {
	var what []string
	for _, name := range r.Groups {
		what = append(what, "the group "+name)
	}
	for _, name := range r.Users {
		what = append(what, "the user "+name)
	}
	for _, home := range r.Homes {
		what = append(what, "the folder "+home)
	}
	if r.Profile != "" {
		what = append(what, "the AppArmor profile "+r.Profile)
	}
	for _, p := range all {
		dir := filepath.Dir(p.config())
		if _, err := os.Lstat(dir); err == nil {
			what = append(what, "the folder "+dir)
		}
	}
	if len(what) == 0 {
		return errors.New("there is nothing to remove (and without --force nothing would be)")
	}
	return fmt.Errorf("reset would remove %s, and the ACLs that `deny read` wrote; to do it: sudo aigate reset --force", strings.Join(what, ", "))
}

// forgetACLs has the user's ACLs taken back by a process of the user's: the
// folders are the user's to say, so root must not follow.
func (p person) forgetACLs() error {
	if _, err := os.Lstat(filepath.Join(p.Home, ".aigate", "acls")); err != nil {
		return nil
	}
	_, err := p.ask("forget")
	return err
}

func (p person) removeConfig() error {
	dir := filepath.Dir(p.config())
	if _, err := os.Lstat(dir); err != nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil { // by descriptors: no link leads it astray
		return err
	}
	say("removed %s", dir)
	return nil
}

// forget takes our ACLs back from wherever they were written.
func forget() error {
	home, err := homeDir()
	if err != nil {
		return err
	}
	by, err := behind()
	if err != nil {
		return err
	}
	names := by.configured()
	gid, uid, err := account.IDs(names.Group, names.User)
	if err != nil || gid < 0 && uid < 0 {
		return err
	}
	who := acl.Agents{Group: gid, User: uid, GroupName: names.Group, UserName: names.User}
	places := aclLedger{ledger{home}}
	if uid >= 0 {
		closeAll(who, home, places)
	}
	paths := places.list("project")
	if set, err := match.Parse(places.list("pattern"), home); err == nil {
		if found, err := set.Walk(home, match.Options{}); err == nil {
			for _, f := range found.Found {
				paths = append(paths, f.Path)
			}
		}
	}
	had := places.list("default")
	r := acl.Sync(paths, who, acl.Rules{
		Denied:     func(string, bool) bool { return false },
		Linked:     func() (map[match.Inode]bool, error) { return nil, nil },
		HadDefault: func(path string) bool { return slices.Contains(had, path) },
	})
	if r.Cleared > 0 {
		say("removed the ACLs of %s", files(r.Cleared))
	}
	for _, f := range r.Failed {
		if errors.Is(f.Reason, syscall.ENOTSUP) {
			continue // there can be none
		}
		say("could not look for ACLs in %s: %s, such as %q", files(f.Count), aclReason(f.Reason), f.Example)
	}
	return nil
}
