package account

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	recordPath = "/var/lib/aigate/setup.json"
	lockPath   = "/var/lib/aigate/lock"

	// firstPerson is where people's accounts begin, UID_MIN in login.defs(5).
	firstPerson = 1000
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

func findGroup(name string) (gid int, found bool, err error) {
	line, err := look("group", name, func(f []string) bool { return f[0] == name })
	if line == nil || err != nil {
		return -1, false, err
	}
	gid, err = strconv.Atoi(line[2])
	return gid, err == nil, err
}

func findUser(name string) (User, bool, error) {
	return asUser(look("passwd", name, func(f []string) bool { return f[0] == name }))
}

func findUserByID(uid int) (User, bool, error) {
	id := strconv.Itoa(uid)
	return asUser(look("passwd", id, func(f []string) bool { return f[2] == id }))
}

func asUser(f []string, err error) (u User, found bool, _ error) {
	if f == nil || err != nil {
		return u, false, err
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	return User{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6]}, true, errors.Join(err1, err2)
}

// fields is how many a line of /etc/passwd or /etc/group has at least.
var fields = map[string]int{"passwd": 7, "group": 4}

// look gives the line that fits, from the system's file or, where accounts come
// from elsewhere too (LDAP, systemd), by getent(1). nil when there is none.
func look(database, key string, fits func([]string) bool) ([]string, error) {
	text, err := os.ReadFile("/etc/" + database)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if f := search(text, database, fits); f != nil {
		return f, nil
	}
	getent, err := find("getent")
	if err != nil {
		return nil, nil
	}
	out, err := exec.Command(getent, database, key).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) { // 2: no such entry
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("getent %s: %w", database, err)
	}
	return search(out, database, fits), nil
}

func search(text []byte, database string, fits func([]string) bool) []string {
	for line := range bytes.Lines(text) {
		f := strings.Split(strings.TrimSuffix(string(line), "\n"), ":")
		if len(f) >= fields[database] && fits(f) {
			return f
		}
	}
	return nil
}

// members are the users that a group denies files to: those that are named in
// it, and those whose first group it is.
func members(gid int, name string) (all []string, err error) {
	line, err := look("group", name, func(f []string) bool { return f[0] == name })
	if err != nil {
		return nil, err
	}
	if line != nil {
		for m := range strings.SplitSeq(line[3], ",") {
			if m != "" {
				all = with(all, m)
			}
		}
	}
	users, err := os.ReadFile("/etc/passwd")
	id := strconv.Itoa(gid)
	search(users, "passwd", func(f []string) bool {
		if f[3] == id {
			all = with(all, f[0])
		}
		return false
	})
	return all, err
}

// GroupsOf gives the numbers of all groups that a user is in.
func GroupsOf(u User) (ids []uint32, err error) {
	text, err := os.ReadFile("/etc/group")
	if err != nil {
		return nil, err
	}
	ids = []uint32{uint32(u.GID)}
	search(text, "group", func(f []string) bool {
		id, err := strconv.ParseUint(f[2], 10, 32)
		if err == nil && slices.Contains(strings.Split(f[3], ","), u.Name) {
			ids = append(ids, uint32(id))
		}
		return false
	})
	return ids, nil
}

// The programs that make and remove accounts, shadow's and, where those are not
// installed, busybox's. Their arguments are a table that tests compare.
type program func(name, group, home string) []string

var tools = map[string][]program{
	"add group": {
		func(name, _, _ string) []string { return []string{"groupadd", "--system", name} },
		func(name, _, _ string) []string { return []string{"addgroup", "-S", name} },
	},
	"add user": {
		func(name, group, home string) []string {
			return []string{"useradd", "--system", "--gid", group, "--no-create-home", "--home-dir", home, "--shell", nologin(), "--comment", "aigate sandbox", name}
		},
		func(name, group, home string) []string {
			return []string{"adduser", "-S", "-D", "-H", "-h", home, "-s", nologin(), "-G", group, "-g", "aigate sandbox", name}
		},
	},
	"remove user": {
		func(name, _, _ string) []string { return []string{"userdel", name} },
		func(name, _, _ string) []string { return []string{"deluser", name} },
	},
	"remove group": {
		func(name, _, _ string) []string { return []string{"groupdel", name} },
		func(name, _, _ string) []string { return []string{"delgroup", name} },
	},
}

// nologin is a shell that lets nobody in.
func nologin() string {
	for _, path := range []string{"/usr/sbin/nologin", "/sbin/nologin"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return "/bin/false"
}

func addGroup(name string) error             { return use("add group", name, "", "") }
func addUser(name, group, home string) error { return use("add user", name, group, home) }
func removeUser(name string) error           { return use("remove user", name, "", "") }
func removeGroup(name string) error          { return use("remove group", name, "", "") }

// use runs the first program of a kind that is there.
func use(kind, name, group, home string) error {
	var missing []string
	for _, p := range tools[kind] {
		args := p(name, group, home)
		path, err := find(args[0])
		if err != nil {
			missing = append(missing, args[0])
			continue
		}
		out, err := patiently(path, args[1:])
		if err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(out))
		}
		return nil
	}
	return fmt.Errorf("none of %s is installed (on Debian: apt install passwd)", strings.Join(missing, " and "))
}

// patiently waits where another program changes accounts at the same moment,
// which holds their files locked (shadow's lckpwdf(3)).
func patiently(path string, args []string) (out []byte, err error) {
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		cmd := exec.Command(path, args...)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
		out, err = cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("try again later")) || time.Since(began) > 10*time.Second {
			return out, err
		}
	}
}

// find looks where root's programs are, whatever the PATH is: it came from a
// user.
func find(name string) (string, error) {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}
