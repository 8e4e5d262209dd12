package account

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Setup makes the group, the user and its home where they are not there, and
// the AppArmor profile where the system wants one for program. It calls say for
// everything that it did or found done. caller is who asked for it by sudo, ""
// for root itself.
func Setup(n Names, caller, program string, say func(format string, args ...any)) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run `sudo aigate setup`", ErrPrivileges)
	}
	if err := n.check(); err != nil {
		return err
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	r, err := Load()
	if err != nil {
		return err
	}
	s := &setup{Names: n, caller: caller, record: r, say: say}
	if err := s.fit(); err != nil {
		return err // before anything is made
	}
	if err := s.makeGroup(); err != nil {
		return err
	}
	if err := s.makeUser(); err != nil {
		return err
	}
	s.record.Current = n
	if err := s.record.save(); err != nil {
		return err
	}
	return s.profile(program)
}

// setup is one call of Setup.
type setup struct {
	Names
	caller string
	record Record
	say    func(format string, args ...any)

	gid               int
	user              User
	hasGroup, hasUser bool
}

// fit looks at what is there under the names.
func (s *setup) fit() (err error) {
	if s.gid, s.hasGroup, err = findGroup(s.Group); err != nil {
		return err
	}
	if s.user, s.hasUser, err = findUser(s.User); err != nil {
		return err
	}
	if s.User == s.caller {
		return fmt.Errorf("%s is you; the sandbox's user has to be one of its own: sudo aigate setup --user ai-runner", s.User)
	}
	if s.hasGroup {
		others, err := members(s.gid, s.Group)
		if err != nil {
			return err
		}
		others = without(others, s.User)
		why := unfitGroup(s.gid, others)
		if slices.Contains(others, s.caller) {
			why = fmt.Sprintf("you are in it, and would be denied your own files (take yourself out: sudo gpasswd -d %s %s)", s.caller, s.Group)
		}
		if why != "" {
			return fmt.Errorf("the group %s is there and cannot be the sandbox's: %s; nothing was changed; choose another name: sudo aigate setup --group name", s.Group, why)
		}
	}
	if !s.hasUser {
		return nil
	}
	why := unfitUser(s.user)
	if why == "" && (!s.hasGroup || s.user.GID != s.gid) {
		why = fmt.Sprintf("its group is not %s", s.Group)
	}
	if why != "" {
		return fmt.Errorf("the user %s is there and cannot be the sandbox's: %s; nothing was changed; choose another name: sudo aigate setup --user name", s.User, why)
	}
	return nil
}

func (s *setup) makeGroup() error {
	if s.hasGroup {
		s.say("group %s is there already%s", s.Group, s.whose(s.record.Groups, s.Group))
		return nil
	}
	s.record.Groups = with(s.record.Groups, s.Group)
	if err := s.record.save(); err != nil {
		return err
	}
	if err := addGroup(s.Group); err != nil {
		return fmt.Errorf("make the group %s: %w", s.Group, err)
	}
	s.say("made the group %s", s.Group)
	return nil
}

func (s *setup) makeUser() error {
	home := homeOf(s.User)
	if !s.hasUser {
		s.record.Users = with(s.record.Users, s.User)
		if err := s.record.save(); err != nil {
			return err
		}
		if err := addUser(s.User, s.Group, home); err != nil {
			return fmt.Errorf("make the user %s: %w", s.User, err)
		}
		s.say("made the user %s, without password and login shell", s.User)
	} else {
		s.say("user %s is there already%s", s.User, s.whose(s.record.Users, s.User))
	}
	u, found, err := findUser(s.User)
	if err == nil && !found {
		err = fmt.Errorf("the user %s was made, but the system does not know it", s.User)
	}
	if err != nil {
		return err
	}
	s.record.Homes = with(s.record.Homes, home)
	if err := s.record.save(); err != nil {
		return err
	}
	return makeHome(home, u)
}

func (s *setup) whose(made []string, name string) string {
	if slices.Contains(made, name) {
		return ""
	}
	return ", and not by `aigate setup`: `aigate reset` will leave it"
}

// makeHome makes the folder that the user's programs keep their own things in.
// Only root can write where it lies, so nobody puts a link in its place.
func makeHome(home string, u User) error {
	switch err := os.Mkdir(home, 0o700); {
	case err == nil:
		// While it is root's: later, the user could have put a link in the way.
		if err := errors.Join(os.Mkdir(home+"/.cache", 0o700), os.Lchown(home+"/.cache", u.UID, u.GID)); err != nil {
			return err
		}
	case !os.IsExist(err):
		return err
	}
	if st, err := os.Lstat(home); err != nil || !st.IsDir() {
		return fmt.Errorf("%s should be a folder (%w)", home, err)
	}
	if err := os.Lchown(home, u.UID, u.GID); err != nil {
		return err
	}
	return os.Chmod(home, 0o700)
}
