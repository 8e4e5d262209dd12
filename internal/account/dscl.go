package account

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// macOS keeps local accounts in its directory service. What is asked of it, and
// what it answers, is plain data here, so that it can be tested anywhere;
// accounts_darwin.go runs the programs. See dscl(1) and dseditgroup(8).

const (
	dscl        = "/usr/bin/dscl"
	dseditgroup = "/usr/sbin/dseditgroup"

	// Accounts below 500 are services, which the login window does not show.
	// Apple's own go up to about 300.
	firstFree, lastFree = 400, 499
)

// The keys of records.
const (
	groupID  = "PrimaryGroupID"
	userID   = "UniqueID"
	homeKey  = "NFSHomeDirectory"
	shellKey = "UserShell"
)

// A command is a program and its arguments.
type command []string

func readRecord(kind, name string, keys ...string) command {
	return append(command{dscl, ".", "-read", "/" + kind + "/" + name}, keys...)
}

// listOf asks for one key of all records: a line for each, its name and the value.
func listOf(kind, key string) command { return command{dscl, ".", "-list", "/" + kind, key} }

func addGroupCommand(name string, gid int) command {
	return command{dseditgroup, "-o", "create", "-n", ".", "-i", strconv.Itoa(gid), "-r", "aigate sandbox", name}
}

// addUserCommands make a user who can log in nowhere. A record that was begun and
// not finished is finished: to create what is there changes its value.
func addUserCommands(name string, uid, gid int, home string) (all []command) {
	record := "/Users/" + name
	for _, set := range [][2]string{
		{"", ""}, {"IsHidden", "1"}, {"RealName", "aigate sandbox"}, {"Password", "*"}, {shellKey, "/usr/bin/false"},
		{homeKey, home}, {groupID, strconv.Itoa(gid)},
		{userID, strconv.Itoa(uid)}, // last: without it there is no user yet
	} {
		c := command{dscl, ".", "-create", record}
		if set[0] != "" {
			c = append(c, set[0], set[1])
		}
		all = append(all, c)
	}
	return all
}

func removeUserCommand(name string) command { return command{dscl, ".", "-delete", "/Users/" + name} }

func removeGroupCommand(name string) command {
	return command{dseditgroup, "-o", "delete", "-n", ".", name}
}

// parseRecord reads what -read prints: "Key: value", the value on lines of its
// own, behind a blank, when it is long or holds blanks, and "No such key: Key".
func parseRecord(text string) map[string]string {
	values, key := map[string]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, " ") {
			if key != "" {
				values[key] = strings.TrimSpace(values[key] + line)
			}
			continue
		}
		key = ""
		if name, value, ok := strings.Cut(line, ":"); ok && name != "No such key" {
			// A key of another kind of attribute is written "dsAttrTypeNative:key".
			if after, native := strings.CutPrefix(line, "dsAttrTypeNative:"); native {
				name, value, _ = strings.Cut(after, ":")
			}
			key = name
			values[key] = strings.TrimSpace(value)
		}
	}
	return values
}

// parseList reads what -list prints.
func parseList(text string) map[string]int {
	ids := map[string]int{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if id, err := strconv.Atoi(f[len(f)-1]); err == nil {
			ids[f[0]] = id
		}
	}
	return ids
}

// freeID gives a number that no user and no group has, from the top.
func freeID(taken ...map[string]int) (int, error) {
	for id := lastFree; id >= firstFree; id-- {
		free := true
		for _, ids := range taken {
			for _, other := range ids {
				free = free && other != id
			}
		}
		if free {
			return id, nil
		}
	}
	return 0, fmt.Errorf("no number between %d and %d is free for an account", firstFree, lastFree)
}

// asMacUser reads a user's record; one without a number is not finished.
func asMacUser(name string, r map[string]string) (u User, found bool, err error) {
	if r[userID] == "" {
		return User{}, false, nil
	}
	u = User{Name: name, Home: r[homeKey], Shell: r[shellKey]}
	var err1, err2 error
	u.UID, err1 = strconv.Atoi(r[userID])
	u.GID, err2 = strconv.Atoi(r[groupID])
	return u, true, errors.Join(err1, err2)
}

// membersOf are those whose first group it is, and those that it lists.
func membersOf(gid int, firsts map[string]int, listed string) (all []string) {
	for name, id := range firsts {
		if id == gid {
			all = with(all, name)
		}
	}
	for _, name := range strings.Fields(listed) {
		all = with(all, name)
	}
	return all
}
