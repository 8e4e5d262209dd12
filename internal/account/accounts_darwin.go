package account

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	recordPath = "/private/var/db/aigate/setup.json"
	lockPath   = "/private/var/db/aigate/lock"

	// firstPerson is where people's accounts begin.
	firstPerson = 500
)

// homeOf is the folder of the sandbox's user.
func homeOf(user string) string { return filepath.Join(filepath.Dir(recordPath), "home-"+user) }

// lock keeps two setups apart.
func lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(lockPath), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(lockPath, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", lockPath, err)
	}
	return func() { f.Close() }, nil
}

// noRecord is how dscl says that there is no such record.
const noRecord = "eDSRecordNotFound"

// run gives what a command prints. found is false where it says that there is no
// such record.
func (c command) run() (text string, found bool, err error) {
	cmd := exec.Command(c[0], c[1:]...)
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return string(out), true, nil
	case bytes.Contains(out, []byte(noRecord)):
		return "", false, nil
	}
	return "", false, fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, bytes.TrimSpace(out))
}

func (c command) list() (map[string]int, error) {
	text, _, err := c.run()
	return parseList(text), err
}

func findGroup(name string) (gid int, found bool, err error) {
	text, found, err := readRecord("Groups", name, groupID).run()
	id := parseRecord(text)[groupID]
	if err != nil || !found || id == "" {
		return -1, false, err
	}
	gid, err = strconv.Atoi(id)
	return gid, err == nil, err
}

func findUser(name string) (User, bool, error) {
	text, found, err := readRecord("Users", name, userID, groupID, homeKey, shellKey).run()
	if err != nil || !found {
		return User{}, false, err
	}
	return asMacUser(name, parseRecord(text))
}

func findUserByID(uid int) (User, bool, error) {
	ids, err := listOf("Users", userID).list()
	if err != nil {
		return User{}, false, err
	}
	for name, id := range ids {
		if id == uid {
			return findUser(name)
		}
	}
	return User{}, false, nil
}

// members are the users that a group denies files to.
func members(gid int, name string) ([]string, error) {
	firsts, err := listOf("Users", groupID).list()
	if err != nil {
		return nil, err
	}
	text, _, err := readRecord("Groups", name, "GroupMembership").run()
	return membersOf(gid, firsts, parseRecord(text)["GroupMembership"]), err
}

// free looks for a number in the directory of now.
func free() (int, error) {
	users, err := listOf("Users", userID).list()
	if err != nil {
		return 0, err
	}
	groups, err := listOf("Groups", groupID).list()
	if err != nil {
		return 0, err
	}
	return freeID(users, groups)
}

func addGroup(name string) error {
	gid, err := free()
	if err != nil {
		return err
	}
	_, _, err = addGroupCommand(name, gid).run()
	return err
}

func addUser(name, group, home string) error {
	gid, found, err := findGroup(group)
	if err == nil && !found {
		err = fmt.Errorf("there is no group %s", group)
	}
	if err != nil {
		return err
	}
	uid, err := free()
	if err != nil {
		return err
	}
	for _, c := range addUserCommands(name, uid, gid, home) {
		if _, _, err := c.run(); err != nil {
			return err
		}
	}
	return nil
}

func removeUser(name string) error {
	_, _, err := removeUserCommand(name).run()
	return err
}

func removeGroup(name string) error {
	_, _, err := removeGroupCommand(name).run()
	return err
}

// AppArmor is Linux's.
func removeProfile(string) (bool, error)      { return false, nil }
func (s *setup) profile(program string) error { return nil }

// GroupsOf gives the numbers of the groups that a user is in.
func GroupsOf(u User) ([]uint32, error) { return []uint32{uint32(u.GID)}, nil }
