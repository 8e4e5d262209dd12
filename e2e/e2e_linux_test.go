// Package e2e attacks the built aigate binary the way a hostile agent would, and shows that ordinary work
// goes on inside. Every script of testdata/<group>/ runs four times: as a plain user and as root, on the
// bwrap engine and on the native one. A script first shows that its attack succeeds outside the sandbox
// (so that the test can fail), then that it fails inside.
//
//	go test ./e2e                                        everything; as root, or the plain half only
//	go test ./e2e -run TestScripts/plain/native/attack/read_hardlink -v
//	go test ./e2e -run TestWorks/plain/bwrap/git -v      ordinary work, see works_linux_test.go
//	AIGATE_E2E=controls go test ./e2e                    only what happens outside: does each attack work at all?
//	AIGATE_E2E=hollow go test ./e2e                      a sandbox without a policy: does every script notice?
//	AIGATE_E2E_KEEP=1 go test ./e2e                      keep the folder of the scripts for a look
//	AIGATE_BINARY=/path/to/aigate go test ./e2e          test that binary instead of building one
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// plainUser is the user the plain half of the matrix runs as when the tests are started by root.
const plainUser = "aigate-e2e"

var engines = []string{"native", "bwrap"}

// place is where the binaries, the scripts and their folders lie: on a real disk, readable by every user and
// not below /tmp, because the sandbox has a /tmp of its own.
var place string

// controlsOnly cuts every script off at its first sandboxed command.
var controlsOnly = os.Getenv("AIGATE_E2E") == "controls"

// hollow puts testdata/hollow.sh in aigate's place and expects every script to fail, but for those of mayPass: the
// namespaces alone stop them, or only root could do what they try (hollow runs as the plain user), or they look for harm
// that only aigate itself could do.
var hollow = os.Getenv("AIGATE_E2E") == "hollow"

var mayPass = strings.Fields(`
	leave_daemon_fds leave_processes leave_routes leave_run leave_sigkill leave_signal_fcntl net_slowloris
	read_handle read_mknod read_nsenter read_proc_fd read_runner write_cgroup write_cleanup_race write_git_new write_sys`)

func TestMain(m *testing.M) {
	flag.Parse()
	if signal.Ignored(syscall.SIGHUP) { // below nohup, and then by all that we start
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	if n, _ := strconv.Atoi(flag.Lookup("test.parallel").Value.String()); n < 3 { // scripts wait more than they work
		_ = flag.Set("test.parallel", "3")
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if place = os.Getenv("AIGATE_E2E_PLACE"); place != "" {
		return m.Run() // the plain half, started by the root half
	}
	if err := missingTools(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	remove, err := prepare()
	defer remove()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	if os.Getenv("AIGATE_E2E_PLACE") != "" || os.Geteuid() != 0 {
		t.Run("plain", func(t *testing.T) { matrix(t, "plain") })
	} else {
		t.Run("plain", asPlainUser)
		if hollow {
			return
		}
		t.Run("root", func(t *testing.T) { matrix(t, "root") })
		return
	}
	if os.Geteuid() != 0 && os.Getenv("AIGATE_E2E_PLACE") == "" {
		const loud = "NOT RUN: the half of the matrix that has root as the caller; run the tests as root for it"
		if os.Getenv("CI") == "true" {
			t.Error(loud)
		}
		fmt.Fprintln(os.Stderr, "e2e: "+loud)
	}
}

// matrix runs every script on both engines as the current user.
func matrix(t *testing.T, caller string) {
	groups, err := os.ReadDir(filepath.Join(place, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range engines {
		if hollow && engine != "native" {
			continue // the same script
		}
		t.Run(engine, func(t *testing.T) {
			for _, g := range groups {
				if g.Name() == "works" {
					continue // TestWorks runs these
				}
				t.Run(g.Name(), func(t *testing.T) { group(t, caller, engine, g.Name()) })
			}
		})
	}
}

func group(t *testing.T, caller, engine, name string) {
	files, err := filepath.Glob(filepath.Join(place, "testdata", name, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in group %s (%v)", name, err)
	}
	// Short names: the path of a Unix socket has room for 107 bytes.
	root := filepath.Join(place, caller, engine[:1], name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if isNet(file) {
			continue // TestNet runs these
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			s := &story{T: t, caller: caller, engine: engine, script: file}
			defer s.judge()
			testscript.RunT(s, testscript.Params{
				Files:               []string{file},
				WorkdirRoot:         root,
				Setup:               s.setup,
				Cmds:                s.commands(),
				Condition:           s.condition,
				Deadline:            time.Now().Add(5 * time.Minute * patienceFactor),
				RequireUniqueNames:  true,
				RequireExplicitExec: true,
			})
		})
	}
}

// asPlainUser runs this test binary once more under the plain user's uid, with a clean environment.
func asPlainUser(t *testing.T) {
	u, err := user.Lookup(plainUser)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	args := []string{"-test.run=" + onlyThis(t)}
	flag.Visit(func(f *flag.Flag) {
		if slices.Contains([]string{"test.v", "test.parallel", "test.timeout", "test.failfast", "test.skip", "test.count", "starts"}, f.Name) {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.Command(filepath.Join(place, "bin", "e2e.test"), args...)
	cmd.Dir = place
	cmd.Env = []string{"HOME=" + u.HomeDir, "USER=" + plainUser, "PATH=" + searchPath(), "AIGATE_E2E_PLACE=" + place}
	for _, name := range []string{"CI", "AIGATE_E2E", "AIGATE_E2E_KEEP"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{uint32(gid)}},
		Pdeathsig:  syscall.SIGTERM,
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the plain user's half failed (see above): %v", err)
	}
}

// onlyThis is the given -test.run, cut down to the test that t belongs to.
func onlyThis(t *testing.T) string {
	top, _, _ := strings.Cut(t.Name(), "/")
	_, below, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	return strings.TrimSuffix("^"+top+"$/"+below, "/")
}

// prepare makes the place and, for root, the plain user. remove undoes both and may always be called.
func prepare() (remove func(), err error) {
	remove = func() {}
	parent := "/var/lib"
	if os.Geteuid() != 0 {
		if parent, err = os.UserHomeDir(); err != nil {
			return remove, err
		}
	}
	place = filepath.Join(parent, fmt.Sprint("aigate-e2e.", os.Getpid()))
	if err := os.Mkdir(place, 0o755); err != nil {
		return remove, err
	}
	forgetUser := func() {}
	remove = func() {
		forgetUser()
		if os.Getenv("AIGATE_E2E_KEEP") != "" {
			fmt.Fprintln(os.Stderr, "e2e: kept", place)
			return
		}
		if err := removeAll(place); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
		}
	}
	if err := os.Chmod(place, 0o755); err != nil {
		return remove, err
	}
	if err := fill(); err != nil {
		return remove, err
	}
	if os.Geteuid() == 0 {
		forgetUser, err = makeUser()
	}
	return remove, err
}

// fill puts the binaries and the scripts into the place, where both callers can read them.
func fill() error {
	bin := filepath.Join(place, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := copyFile(self, filepath.Join(bin, "e2e.test"), 0o755); err != nil {
		return err
	}
	if err := build("./attacker", filepath.Join(bin, "attacker")); err != nil {
		return err
	}
	if given := os.Getenv("AIGATE_BINARY"); given != "" {
		err = copyFile(given, filepath.Join(bin, "aigate"), 0o755)
	} else if !controlsOnly {
		err = build("..", filepath.Join(bin, "aigate"))
	}
	if err == nil && hollow {
		if err = os.Rename(filepath.Join(bin, "aigate"), filepath.Join(bin, "aigate-real")); err == nil {
			err = copyFile("testdata/hollow.sh", filepath.Join(bin, "aigate"), 0o755)
		}
	}
	if err != nil {
		return err
	}
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		to := filepath.Join(place, f)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, controls(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func build(pkg, to string) error {
	cmd := exec.Command("go", "build", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return os.Chmod(to, 0o755)
}

// makeUser adds the plain user unless another run of these tests has it already. The shared lock on /home
// says that a run is using the user; the last one to leave removes it.
func makeUser() (forget func(), err error) {
	home, err := os.Open("/home")
	if err != nil {
		return func() {}, err
	}
	if err := syscall.Flock(int(home.Fd()), syscall.LOCK_SH); err != nil {
		return func() {}, err
	}
	forget = func() {
		defer home.Close()
		if syscall.Flock(int(home.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return // another run still needs the user
		}
		u, err := user.Lookup(plainUser)
		if err != nil {
			return
		}
		killAllOf(u.Uid)
		if out, err := exec.Command("userdel", plainUser).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: userdel %s: %v %s\n", plainUser, err, out)
		}
	}
	var unknown user.UnknownUserError
	if _, err := user.Lookup(plainUser); errors.As(err, &unknown) {
		out, err := exec.Command("useradd", "--system", "--user-group", "--no-create-home",
			"--home-dir", "/var/lib/"+plainUser, "--shell", "/bin/bash", plainUser).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "already exists") {
			return forget, fmt.Errorf("useradd %s: %w %s", plainUser, err, out)
		}
	}
	u, err := user.Lookup(plainUser)
	if err != nil {
		return forget, err
	}
	dir := filepath.Join(place, "plain")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return forget, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return forget, os.Chown(dir, uid, gid)
}

// missingTools is an error that says how to install what the scripts use and this machine lacks. Tests are
// never skipped for a missing tool: a machine that cannot run the attacks has shown nothing.
func missingTools() error {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	packages := map[string]string{
		"bwrap": "bubblewrap", "busybox": "busybox", "curl": "curl", "dbus-daemon": "dbus", "dbus-send": "dbus", "debugfs": "e2fsprogs",
		"mke2fs": "e2fsprogs", "getfacl": "acl", "git": "git", "ip": "iproute2", "keyctl": "keyutils", "losetup": "mount", "nft": "nftables", "setfacl": "acl",
		"slirp4netns": "slirp4netns",
		"ssh-agent":   "openssh-client", "useradd": "passwd", "ps": "procps", "socat": "socat", "strace": "strace",
		"tar": "tar", "tmux": "tmux", "unshare": "util-linux", "nsenter": "util-linux", "/usr/bin/python3": "python3",
	}
	var missing []string
	for tool, pkg := range packages {
		if _, err := exec.LookPath(tool); err != nil && !slices.Contains(missing, pkg) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("programs the tests need are not installed; to install them:\n\n\tsudo apt-get install -y %s\n", strings.Join(missing, " "))
}
