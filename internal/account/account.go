// Package account makes, knows and removes the sandbox's own group and user.
//
// Setup is safe to repeat and to interrupt: what it is about to make it first
// writes into a record that root alone can change, and only what the record
// holds is ever removed by Reset. A group or user of the name that was there
// before is used when it is fit for it, refused when it is not, and in both
// cases left alone.
//
// The caller is no member of the group and never becomes one: files are denied
// to the group (package acl), so the members are whom they are denied to.
package account

import (
	"errors"
	"fmt"
	"strings"
)

// Names are the group and the user.
type Names struct {
	Group string `json:"group"`
	User  string `json:"user"`
}

// User is an entry of the system's list of users.
type User struct {
	Name        string
	UID, GID    int
	Home, Shell string
}

// ErrPrivileges is for whoever is not root.
var ErrPrivileges = errors.New("operation requires elevated privileges")

// check says whether both could be names everywhere: useradd(8) and adduser(8)
// disagree about more than these.
func (n Names) check() error {
	for _, name := range []struct{ what, is string }{{"group", n.Group}, {"user", n.User}} {
		if !portable(name.is) {
			return fmt.Errorf("%q is no name for a %s: small letters, digits, - and _, at most 31 of them, beginning with a letter or _", name.is, name.what)
		}
	}
	return nil
}

func portable(name string) bool {
	if name == "" || len(name) > 31 || name[0] >= '0' && name[0] <= '9' || name[0] == '-' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// State says how far the two are there: "ready", "not set up", "group without
// user", "user without group", or "not as setup makes them".
func State(group, user string) (string, error) {
	_, haveGroup, err := findGroup(group)
	if err != nil {
		return "", err
	}
	u, haveUser, err := findUser(user)
	switch {
	case err != nil:
		return "", err
	case !haveGroup && !haveUser:
		return "not set up", nil
	case !haveUser:
		return "group without user", nil
	case !haveGroup:
		return "user without group", nil
	}
	if unfitUser(u) != "" {
		return "not as setup makes them", nil
	}
	return "ready", nil
}

// IDs gives the numbers of a group and a user, -1 for one that is not there.
func IDs(group, user string) (gid, uid int, err error) {
	gid, uid = -1, -1
	id, found, err := findGroup(group)
	if err != nil {
		return gid, uid, err
	}
	if found {
		gid = id
	}
	u, found, err := findUser(user)
	if err == nil && found {
		uid = u.UID
	}
	return gid, uid, err
}

// ByID gives the user of a number.
func ByID(uid int) (u User, found bool, err error) { return findUserByID(uid) }

// unfitUser says why a user that we did not make cannot be the sandbox's, ""
// when it can.
func unfitUser(u User) string {
	switch {
	case u.UID == 0:
		return "it is root"
	case u.UID >= firstPerson:
		return fmt.Sprintf("its number, %d, is that of a person's account", u.UID)
	case !strings.HasSuffix(u.Shell, "/nologin") && !strings.HasSuffix(u.Shell, "/false"):
		return fmt.Sprintf("it can log in, with %s", u.Shell)
	}
	return ""
}

// unfitGroup says why a group that we did not make cannot be the sandbox's, ""
// when it can. members are the users in it, the sandbox's own left out.
func unfitGroup(gid int, members []string) string {
	switch {
	case gid == 0:
		return "it is root's"
	case gid >= firstPerson:
		return fmt.Sprintf("its number, %d, is that of a person's group", gid)
	case len(members) > 0:
		return fmt.Sprintf("%s would be denied your files", strings.Join(members, ", "))
	}
	return ""
}

// ByName gives the user of a name.
func ByName(name string) (u User, found bool, err error) { return findUser(name) }

// HomeOf is the folder that setup makes for the sandbox's user.
func HomeOf(user string) string { return homeOf(user) }
