package account

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Reset removes what the record holds, and then the record. It goes on after
// a step that failed, so that what can go goes; what stays is in the record,
// for the next time.
func Reset(say func(format string, args ...any)) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run `sudo aigate reset --force`", ErrPrivileges)
	}
	if _, err := os.Lstat(recordPath); errors.Is(err, fs.ErrNotExist) {
		return nil
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
	var failed []error
	try := func(what string, remove func() (was bool, err error), forget func()) {
		was, err := remove()
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", what, err))
			return
		}
		forget()
		if err := r.save(); err != nil {
			failed = append(failed, err)
		}
		if was {
			say("removed %s", what)
		}
	}
	if path := r.Profile; path != "" {
		try("the AppArmor profile "+path, func() (bool, error) { return removeProfile(path) }, func() { r.Profile = "" })
	}
	for _, name := range r.Users {
		try("the user "+name, func() (bool, error) {
			_, found, err := findUser(name)
			if err == nil && found {
				err = removeUser(name)
			}
			return found, err
		}, func() { r.Users = without(r.Users, name) })
	}
	for _, name := range r.Groups {
		try("the group "+name, func() (bool, error) {
			_, found, err := findGroup(name) // userdel(8) may have taken it along
			if err == nil && found {
				err = removeGroup(name)
			}
			return found, err
		}, func() { r.Groups = without(r.Groups, name) })
	}
	for _, home := range r.Homes {
		try("the folder "+home, func() (bool, error) {
			_, err := os.Lstat(home)
			return err == nil, os.RemoveAll(home)
		}, func() { r.Homes = without(r.Homes, home) })
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if err := os.Remove(recordPath); err != nil {
		return err
	}
	say("removed %s", recordPath)
	os.Remove(lockPath)
	os.Remove(filepath.Dir(recordPath)) // stays when there is something else in it
	return nil
}

// Kept names the current group and user as far as they stay at a reset: they
// were there before.
func (r Record) Kept() (kept []string) {
	if r.Current.Group != "" && !slices.Contains(r.Groups, r.Current.Group) {
		kept = append(kept, "the group "+r.Current.Group)
	}
	if r.Current.User != "" && !slices.Contains(r.Users, r.Current.User) {
		kept = append(kept, "the user "+r.Current.User)
	}
	return kept
}
