package acl

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/AxeForging/aigate/internal/match"
	"golang.org/x/sys/unix"
)

// everything and nothing are what the policy denies.
var (
	everything = Rules{Denied: func(string, bool) bool { return true }, Linked: noLinks}
	nothing    = Rules{Denied: func(string, bool) bool { return false }, Linked: noLinks}
)

func noLinks() (map[match.Inode]bool, error) { return nil, nil }

// folder is one that every user may enter, on a disk.
func folder(t *testing.T) string {
	dir := t.TempDir()
	for at := dir; at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func put(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// getfacl is what another program makes of the lists.
func getfacl(t *testing.T, paths ...string) string {
	t.Helper()
	return run(t, append([]string{"getfacl", "-pnE"}, paths...)...)
}

// agent is a command that the sandbox's user runs, outside of any sandbox.
func agent(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(agents.User), Gid: uint32(agents.Group), Groups: []uint32{100}}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// root skips what takes another user's processes, loudly where it must not be missed.
func root(t *testing.T) {
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("NOT RUN: needs root, to be another user")
	}
	t.Skip("needs root, to be another user")
}

func wantAll(t *testing.T, r Report, set, cleared int) {
	t.Helper()
	if len(r.Failed) > 0 || r.Set != set || r.Cleared != cleared {
		t.Errorf("got %+v, want %d set and %d cleared", r, set, cleared)
	}
}

// The layer alone: the sandbox's user cannot read what is denied, with no sandbox anywhere, and everybody else can.
func TestDenialBites(t *testing.T) {
	root(t)
	dir := folder(t)
	file := put(t, dir+"/.env", 0o644)
	deep := put(t, dir+"/secrets/a/b/token", 0o644)
	shared := put(t, dir+"/shared", 0o640) // readable by another group of the agent's
	if err := os.Chown(shared, 0, 100); err != nil {
		t.Fatal(err)
	}
	other := put(t, dir+"/README", 0o644)
	for _, path := range []string{file, deep, shared, other} {
		if out, err := agent("cat", path); err != nil {
			t.Fatalf("the control shows nothing: %v %s", err, out)
		}
	}
	wantAll(t, Sync([]string{file, dir + "/secrets", shared}, agents, everything), 6, 0)
	for _, args := range [][]string{
		{"cat", file}, {"cat", deep}, {"cat", shared}, {"ls", dir + "/secrets"}, {"ls", dir + "/secrets/a"},
		{"sh", "-c", "cd " + dir + "/secrets"}, {"cp", file, "/dev/null"}, {"sh", "-c", ": >>" + file},
	} {
		if out, err := agent(args...); err == nil || !strings.Contains(out, "ermission denied") && !strings.Contains(out, "can't cd") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	if out, err := agent("cat", other); err != nil {
		t.Errorf("what is not denied: %v %s", err, out)
	}
	// What is made in a denied folder later is denied as well.
	late := put(t, dir+"/secrets/a/late", 0o644)
	if err := os.Rename(late, dir+"/late"); err != nil {
		t.Fatal(err)
	}
	if out, err := agent("cat", dir+"/late"); err == nil {
		t.Errorf("made later: %s", out)
	}
	// Another name of the file does not help.
	if err := os.Link(file, dir+"/linked"); err != nil {
		t.Fatal(err)
	}
	if out, err := agent("cat", dir+"/linked"); err == nil {
		t.Errorf("by a hard link: %s", out)
	}
	wantAll(t, Sync([]string{dir}, agents, nothing), 0, 7)
	for _, path := range []string{file, deep, shared, dir + "/late"} {
		if out, err := agent("cat", path); err != nil {
			t.Errorf("allowed again: %v %s", err, out)
		}
	}
}

// What was there before is there after, to the letter.
func TestGivesBackExactly(t *testing.T) {
	dir := folder(t)
	for _, c := range []struct {
		name string
		mode os.FileMode
		acl  []string
	}{
		{"plain", 0o644, nil}, {"private", 0o600, nil}, {"group", 0o664, nil}, {"closed", 0, nil}, {"odd", 0o247, nil}, {"run", 0o755, nil},
		{"named", 0o644, []string{"-m", "u:5:rw,g:7:r"}},
		{"masked", 0o664, []string{"-m", "u:5:rwx,m::r"}},
		{"mask-alone", 0o664, []string{"-m", "m::r"}},
		{"denied-others", 0o644, []string{"-m", "u:5:---,g:7:---"}},
	} {
		for _, kind := range []string{"file", "dir"} {
			path := filepath.Join(dir, kind+"-"+c.name)
			if put(t, path+"/x", 0o644); kind == "file" {
				os.RemoveAll(path)
				put(t, path, 0o600)
			}
			if err := os.Chmod(path, c.mode|0o100*map[string]os.FileMode{"dir": 1}[kind]); err != nil {
				t.Fatal(err)
			}
			if c.acl != nil {
				run(t, append([]string{"setfacl"}, append(c.acl, path)...)...)
			}
		}
	}
	for name, acl := range map[string]string{"default-named": "u:5:rwx", "default-plain": "u::rwx,g::rx,o::-", "default-group": "g:7:rx,m::r"} {
		put(t, filepath.Join(dir, name, "x"), 0o644)
		run(t, "setfacl", "-d", "-m", acl, filepath.Join(dir, name))
	}
	before := getfacl(t, "-R", dir)
	modes := run(t, "find", dir, "-printf", "%p %m %U:%G\\n")
	r := Sync([]string{dir}, agents, everything)
	if len(r.Failed) > 0 {
		t.Errorf("%+v", r)
	}
	if len(r.Defaults) != 1 || r.Defaults[0] != dir+"/default-plain" {
		t.Errorf("default lists that name nobody: %v", r.Defaults)
	}
	if got := run(t, "find", dir, "-printf", "%p %m %U:%G\\n"); got != modes {
		t.Errorf("modes were\n%s and are\n%s", modes, got)
	}
	if denied := getfacl(t, "-R", dir); strings.Count(denied, "\nuser:991:---\n") != r.Set || strings.Count(denied, "\ngroup:990:---\n") != r.Set {
		t.Errorf("not as setfacl would have it:\n%s", denied)
	}
	if again := Sync([]string{dir}, agents, everything); again.Set != 0 || again.Same != r.Set {
		t.Errorf("a second time: %+v", again)
	}
	had := nothing
	had.HadDefault = func(path string) bool { return path == dir+"/default-plain" }
	wantAll(t, Sync([]string{dir}, agents, had), 0, r.Set)
	after := getfacl(t, "-R", dir)
	if squash(before) != squash(after) {
		t.Errorf("it was\n%s and is\n%s", before, after)
	}
}

// squash writes a mask that names nobody the way that Clear does: as what it leaves the group.
func squash(all string) string {
	return strings.NewReplacer("group::rw-\t\t\t#effective:r--\nmask::r--\n", "group::r--\n", "group::rw-\nmask::r--\n", "group::r--\n").Replace(all)
}

// A folder's default list takes the place of the umask. What is made in a denied folder is open to nobody to whom it was closed.
func TestInheritedLeavesNobodyMore(t *testing.T) {
	dir := folder(t)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, mode := range []os.FileMode{0o755, 0o777, 0o750, 0o700} {
		at := fmt.Sprintf("%s/%o", dir, mode)
		put(t, at+"/x", 0o644)
		if err := os.Chmod(at, mode); err != nil {
			t.Fatal(err)
		}
		wantAll(t, Sync([]string{at}, agents, everything), 2, 0)
		if err := os.WriteFile(at+"/late", nil, 0o666); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(at + "/late")
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("in a folder of %o: %v %v", mode, st.Mode(), err)
		}
	}
}

// ssh refuses keys that others could read, and judges by the mode.
func TestKeysStayUsable(t *testing.T) {
	dir := folder(t)
	key := dir + "/id"
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public := run(t, "ssh-keygen", "-y", "-f", key)
	wantAll(t, Sync([]string{key}, agents, everything), 1, 0)
	if got := run(t, "ssh-keygen", "-y", "-f", key); got != public {
		t.Errorf("ssh-keygen: %s", got)
	}
	run(t, "setfacl", "-m", "u:5:r", key) // so that this test can fail
	if out, err := exec.Command("ssh-keygen", "-y", "-f", key).CombinedOutput(); err == nil || !strings.Contains(string(out), "UNPROTECTED") {
		t.Errorf("the control shows nothing: %v %s", err, out)
	}
}

// git looks at the executable bits, tar and cp at everything.
func TestGitSeesNoChange(t *testing.T) {
	dir := folder(t)
	put(t, dir+"/.env", 0o644)
	put(t, dir+"/tool", 0o755)
	git := []string{"git", "-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.invalid", "-c", "safe.directory=*"}
	run(t, append(git, "init", "-q")...)
	run(t, append(git, "add", "-A")...)
	run(t, append(git, "commit", "-qm", "x")...)
	Sync([]string{dir}, agents, everything)
	if out := run(t, append(git, "status", "--porcelain")...); out != "" {
		t.Errorf("git status: %s", out)
	}
}

func TestLinks(t *testing.T) {
	dir := folder(t)
	put(t, dir+"/in/file", 0o644)
	outside := put(t, dir+"/outside/file", 0o644)
	if err := errors.Join(os.Symlink("../outside", dir+"/in/folder"), os.Symlink("../outside/file", dir+"/in/link"),
		os.Symlink("nowhere", dir+"/in/dead"), os.Symlink("in", dir+"/way")); err != nil {
		t.Fatal(err)
	}
	before := getfacl(t, outside, dir+"/outside")
	wantAll(t, Sync([]string{dir + "/way", dir + "/in/dead", dir + "/absent"}, agents, everything), 2, 0) // itself is followed
	if after := getfacl(t, outside, dir+"/outside"); after != before {
		t.Errorf("changed by a link inside of a denied folder:\n%s", after)
	}
	// A file that is denied by another name stays denied.
	if err := os.Link(dir+"/in/file", dir+"/in/other"); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/in/file", &st); err != nil {
		t.Fatal(err)
	}
	asked := 0
	rules := nothing
	rules.Linked = func() (map[match.Inode]bool, error) {
		asked++
		return map[match.Inode]bool{{Dev: uint64(st.Dev), Ino: st.Ino}: true}, nil
	}
	wantAll(t, Sync([]string{dir + "/in/file", dir + "/in/other"}, agents, rules), 0, 0)
	if list, err := read(dir+"/in/file", accessAttr); err != nil || !list.Denies(agents) || asked != 1 {
		t.Errorf("%v %v, asked %d times", list, err, asked)
	}
}

// Only what rules still deny keeps the denial, also deep below a folder that is allowed.
func TestPartlyAllowed(t *testing.T) {
	dir := folder(t)
	put(t, dir+"/secrets/a.txt", 0o644)
	put(t, dir+"/secrets/sub/b.pem", 0o644)
	wantAll(t, Sync([]string{dir + "/secrets"}, agents, everything), 4, 0)
	rules := Rules{Linked: noLinks, Denied: func(path string, dir bool) bool { return strings.HasSuffix(path, ".pem") && !dir }}
	r := Sync([]string{dir + "/secrets"}, agents, rules)
	wantAll(t, r, 0, 3)
	if got := getfacl(t, dir+"/secrets/sub/b.pem"); !strings.Contains(got, "group:990:---") {
		t.Errorf("still denied, and lost it:\n%s", got)
	}
}

func TestOddNames(t *testing.T) {
	dir := folder(t)
	long := strings.Repeat("n", 250)
	var set int
	for _, name := range []string{"new\nline", "\xff\xfe", "-rf", " ", "*", "ü", "$(id)", "'\"", long} {
		put(t, filepath.Join(dir, "d", name, name), 0o644)
		set += 2
	}
	deep := dir + "/d"
	for range 12 { // 3,000 bytes: longer than PATH_MAX is for the next test
		deep += "/d" + long[1:]
	}
	put(t, deep+"/token", 0o644)
	set += 13
	wantAll(t, Sync([]string{dir + "/d"}, agents, everything), set+1, 0)
	if got := getfacl(t, deep+"/token"); !strings.Contains(got, "group:990:---") {
		t.Errorf("at the end of a long path:\n%s", got)
	}
	wantAll(t, Sync([]string{dir + "/d"}, agents, nothing), 0, set+1)
}

// Reasons are told once each, and do not keep the other files from being denied.
func TestFailures(t *testing.T) {
	root(t)
	dir := folder(t)
	for i := range 5 {
		put(t, fmt.Sprintf("%s/mine/%d", dir, i), 0o644)
		put(t, fmt.Sprintf("%s/roots/%d", dir, i), 0o644)
	}
	run(t, "chown", "-R", "5:5", dir+"/mine")
	cmd := exec.Command(os.Args[0], "-test.run=^TestFailuresInside$", "-test.v")
	cmd.Env = append(os.Environ(), "ACL_TEST_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 5, Gid: 5}}
	if self, err := os.ReadFile("/proc/self/exe"); err != nil || os.WriteFile(dir+"/test", self, 0o755) != nil {
		t.Fatal("cannot copy the test's binary")
	}
	cmd.Path = dir + "/test"
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFailuresInside") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFailuresInside(t *testing.T) {
	dir := os.Getenv("ACL_TEST_DIR")
	if dir == "" {
		return
	}
	r := Sync([]string{dir + "/mine", dir + "/roots", "/proc/self/status", "/sys/kernel"}, agents, everything)
	if r.Set != 6 || len(r.Failed) != 2 {
		t.Errorf("%+v", r)
	}
	for _, f := range r.Failed {
		switch f.Reason {
		case unix.EPERM:
			if f.Count != 6 || !strings.HasPrefix(f.Example, dir+"/roots") {
				t.Errorf("%+v", f)
			}
		case unix.EOPNOTSUPP:
		default:
			t.Errorf("%+v", f)
		}
	}
}

// 50,000 files. How long it takes is for docs/accounts.md; the ratio to setfacl -R is logged.
func TestMany(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 50,000 files")
	}
	dir := folder(t)
	const folders, files = 100, 500
	for d := range folders {
		at := fmt.Sprintf("%s/d/%d", dir, d)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range files {
			fd, err := unix.Open(fmt.Sprintf("%s/%d", at, f), unix.O_CREAT|unix.O_WRONLY, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
		}
	}
	const all = folders*(files+1) + 1
	for _, step := range []struct {
		what         string
		rules        Rules
		set, cleared int
	}{{"deny", everything, all, 0}, {"deny again", everything, 0, 0}, {"allow", nothing, 0, all}} {
		start := time.Now()
		wantAll(t, Sync([]string{dir + "/d"}, agents, step.rules), step.set, step.cleared)
		t.Logf("%s: %v", step.what, time.Since(start).Round(time.Millisecond))
	}
	start := time.Now()
	run(t, "setfacl", "-R", "-m", "u:991:---,g:990:---,d:u:991:---,d:g:990:---", dir+"/d")
	t.Logf("setfacl -R: %v", time.Since(start).Round(time.Millisecond))
}
