package account

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// onCopy runs the test once more where /etc, /var/lib and /usr/sbin are layers over the machine's: nothing that it makes of accounts is
// ever seen outside. Other tests do so at the same time and are given the same free uids, so each sees its own processes only:
// userdel(8) does not remove a user who has any. It says whether this is that other process.
func onCopy(t *testing.T) bool {
	t.Helper()
	if os.Getenv("ACCOUNT_TEST_COPY") == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("NOT RUN: needs root, to make accounts")
		}
		t.Skip("needs root, to make accounts")
	}
	layers := t.TempDir()
	const script = `set -e
mount -t tmpfs none "$1"
for at in /etc /var/lib /usr/sbin; do
	mkdir -p "$1/up$at" "$1/work$at"
	mount -t overlay -o "lowerdir=$at,upperdir=$1/up$at,workdir=$1/work$at" none $at
done
rm -rf /var/lib/aigate
shift
exec "$@"`
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", script, "sh", layers, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "ACCOUNT_TEST_COPY="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

const group, runner = "aigate-test-g", "aigate-test-u"

// said collects what Setup and Reset say.
type said []string

func (s *said) line(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func (s said) has(t *testing.T, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(strings.Join(s, "\n"), p) {
			t.Errorf("not said: %q in\n%s", p, strings.Join(s, "\n"))
		}
	}
}

func do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func mustSetup(t *testing.T) said {
	t.Helper()
	var s said
	if err := Setup(Names{group, runner}, "", "/usr/local/bin/aigate", s.line); err != nil {
		t.Fatal(err)
	}
	return s
}

func exists(t *testing.T, database, name string) bool {
	t.Helper()
	return exec.Command("getent", database, name).Run() == nil
}

func TestSetupAndReset(t *testing.T) {
	if !onCopy(t) {
		return
	}
	files := do(t, "sh", "-c", "cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")
	mustSetup(t).has(t, "made the group "+group, "made the user "+runner)
	u, found, err := findUser(runner)
	gid, _, _ := findGroup(group)
	if err != nil || !found || u.UID == 0 || u.UID >= firstPerson || u.GID != gid || unfitUser(u) != "" {
		t.Errorf("%+v %v, group %d", u, err, gid)
	}
	if line := do(t, "getent", "shadow", runner); !strings.HasPrefix(strings.Split(line, ":")[1], "!") {
		t.Errorf("the password is not locked: %s", line)
	}
	if groups := strings.Fields(do(t, "id", "-Gn", runner)); !reflect.DeepEqual(groups, []string{group}) {
		t.Errorf("its groups are %v", groups)
	}
	st, err := os.Stat(homeOf(runner))
	if err != nil || st.Mode().Perm() != 0o700 || int(st.Sys().(*syscall.Stat_t).Uid) != u.UID {
		t.Errorf("its home: %v %v", st, err)
	}
	if state, err := State(group, runner); state != "ready" || err != nil {
		t.Errorf("state: %q %v", state, err)
	}
	before := do(t, "sh", "-c", "cat /etc/passwd /etc/group; cat "+recordPath)
	mustSetup(t).has(t, "group "+group+" is there already", "user "+runner+" is there already")
	if after := do(t, "sh", "-c", "cat /etc/passwd /etc/group; cat "+recordPath); after != before {
		t.Errorf("a second setup changed\n%s to\n%s", before, after)
	}
	put := filepath.Join(homeOf(runner), "deep/er/file")
	if err := errors.Join(os.MkdirAll(filepath.Dir(put), 0o700), os.WriteFile(put, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var s said
	if err := Reset(s.line); err != nil {
		t.Fatal(err)
	}
	s.has(t, "removed the user "+runner, "removed the group "+group, "removed the folder "+homeOf(runner), "removed "+recordPath)
	if got := do(t, "sh", "-c", "cat /etc/passwd /etc/group /etc/shadow /etc/gshadow"); got != files {
		t.Errorf("the accounts were\n%s and are\n%s", files, got)
	}
	if _, err := os.Stat(filepath.Dir(recordPath)); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
	s = nil
	if err := Reset(s.line); err != nil || len(s) > 0 {
		t.Errorf("a second reset: %v %q", err, s)
	}
}

// Whatever was done before it was interrupted, the next one ends it, and a reset removes it.
func TestInterrupted(t *testing.T) {
	if !onCopy(t) {
		return
	}
	for name, done := range map[string]func(){
		"nothing made": func() { Record{Groups: []string{group}}.save() },
		"group made":   func() { Record{Groups: []string{group}}.save(); addGroup(group) },
		"user noted":   func() { Record{Groups: []string{group}, Users: []string{runner}}.save(); addGroup(group) },
		"user made": func() {
			Record{Groups: []string{group}, Users: []string{runner}}.save()
			addGroup(group)
			addUser(runner, group, homeOf(runner))
		},
	} {
		for _, again := range []bool{true, false} {
			done()
			if again {
				mustSetup(t)
			}
			var s said
			if err := Reset(s.line); err != nil || exists(t, "passwd", runner) || exists(t, "group", group) {
				t.Errorf("%s, setup again %v: %v %q", name, again, err, s)
			}
		}
	}
}

// What was there before is used when it is fit, refused when it is not, and never removed.
func TestTakenNames(t *testing.T) {
	if !onCopy(t) {
		return
	}
	do(t, "useradd", "--user-group", "--no-create-home", "aigate-test-p")
	for _, c := range []struct {
		name  string
		make  [][]string
		n     Names
		as    string
		wants string // "" where it is fit
	}{
		{"a fit group", [][]string{{"groupadd", "--system", group}}, Names{group, runner}, "", ""},
		{"a fit pair", [][]string{{"groupadd", "--system", group}, {"useradd", "--system", "-g", group, "-s", "/bin/false", runner}}, Names{group, runner}, "", ""},
		{"a group with people in it", [][]string{{"groupadd", "--system", group}, {"usermod", "-aG", group, "aigate-test-p"}}, Names{group, runner}, "", "aigate-test-p would be denied"},
		{"the caller in it", [][]string{{"groupadd", "--system", group}, {"usermod", "-aG", group, "aigate-test-p"}}, Names{group, runner}, "aigate-test-p", "you are in it"},
		{"a person's group", nil, Names{"aigate-test-p", runner}, "", "a person's group"},
		{"a person", nil, Names{group, "aigate-test-p"}, "", "a person's account"},
		{"the caller", nil, Names{group, "aigate-test-p"}, "aigate-test-p", "is you"},
		{"root", nil, Names{group, "root"}, "", "it is root"},
		{"root's group", nil, Names{"root", runner}, "", "it is root's"},
		{"somebody's first group", [][]string{{"groupadd", "--system", group}, {"useradd", "--system", "-g", group, "-s", "/bin/false", "aigate-test-s"}}, Names{group, runner}, "", "aigate-test-s would be denied"},
		{"a user who can log in", [][]string{{"useradd", "--system", "-s", "/bin/sh", runner}}, Names{group, runner}, "", "it can log in"},
		{"a user of another group", [][]string{{"useradd", "--system", "-s", "/bin/false", runner}}, Names{group, runner}, "", "its group is not"},
		{"no name", nil, Names{"bad name", runner}, "", "is no name for a group"},
	} {
		for _, args := range c.make {
			do(t, args...)
		}
		before := do(t, "sh", "-c", "cat /etc/passwd /etc/group")
		var s said
		err := Setup(c.n, c.as, "/usr/local/bin/aigate", s.line)
		switch {
		case c.wants == "" && err != nil, c.wants != "" && (err == nil || !strings.Contains(err.Error(), c.wants)):
			t.Errorf("%s: %v", c.name, err)
		case c.wants != "" && do(t, "sh", "-c", "cat /etc/passwd /etc/group") != before:
			t.Errorf("%s: refused, and something was changed", c.name)
		case c.wants == "":
			s.has(t, "will leave it")
		}
		if err := Reset(s.line); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if after := do(t, "sh", "-c", "cat /etc/passwd /etc/group"); after != before {
			t.Errorf("%s: a reset made\n%s of\n%s", c.name, after, before)
		}
		for _, name := range []string{runner, "aigate-test-s"} {
			exec.Command("userdel", name).Run()
		}
		exec.Command("groupdel", group).Run()
	}
}

// TestLocked has another program change accounts when a reset begins: it waits.
func TestLocked(t *testing.T) {
	if !onCopy(t) {
		return
	}
	mustSetup(t)
	const lock = "/etc/passwd.lock"
	if err := os.WriteFile(lock, []byte(fmt.Sprint(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { os.Remove(lock) })
	var s said
	if err := Reset(s.line); err != nil {
		t.Error(err)
	}
	if exists(t, "passwd", runner) {
		t.Errorf("%s is still there", runner)
	}
}

func TestNotRoot(t *testing.T) {
	if os.Geteuid() == 0 {
		if !onCopy(t) {
			return
		}
		if err := syscall.Setresuid(65534, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if err := Setup(Names{group, runner}, "", "", t.Logf); !errors.Is(err, ErrPrivileges) || !strings.Contains(err.Error(), "operation requires elevated privileges") {
		t.Error(err)
	}
	if err := Reset(t.Logf); !errors.Is(err, ErrPrivileges) {
		t.Error(err)
	}
}

// busybox's programs take other arguments, and there is no Debian that has them.
func TestTools(t *testing.T) {
	shell := nologin()
	want := map[string][2]string{
		"add group":    {"groupadd --system g", "addgroup -S g"},
		"add user":     {"useradd --system --gid g --no-create-home --home-dir /h --shell " + shell + " --comment aigate sandbox u", "adduser -S -D -H -h /h -s " + shell + " -G g -g aigate sandbox u"},
		"remove user":  {"userdel u", "deluser u"},
		"remove group": {"groupdel g", "delgroup g"},
	}
	for kind, programs := range tools {
		name := map[bool]string{true: "g", false: "u"}[strings.HasSuffix(kind, "group")]
		for i, p := range programs {
			if got := strings.Join(p(name, "g", "/h"), " "); got != want[kind][i] {
				t.Errorf("%s: %q, want %q", kind, got, want[kind][i])
			}
		}
	}
}
