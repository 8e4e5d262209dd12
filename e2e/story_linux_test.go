package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A story is one script's run: who calls, on which engine, and the secret that must not come out. It is also
// the script's testscript.T, so that a script is one test and not a test within a test.
type story struct {
	*testing.T
	caller, engine string

	secret  string // what every denied file of this script holds
	id      string // marks every process of this script, see leftovers
	name    string // $NAME: for things whose names are shared by the whole machine
	work    string
	status  int // of the last sandbox, attack or outside
	output  string
	kept    map[string]string // path → fingerprint, see snapshot
	running map[string]*background
	failed  bool            // and was meant to, see judge
	names   map[string]bool // of the environment, see environ
	script  string          // its file

	patience time.Duration // how long a command may take
}

func (s *story) Run(_ string, f func(testscript.T)) { f(s) }
func (s *story) Verbose() bool                      { return testing.Verbose() }
func (s *story) Parallel()                          {} // group has done it, before the script's clock starts

// FailNow is what testscript calls when a script fails. In front of the hollow sandbox that is as it should be.
func (s *story) FailNow() {
	if !hollow {
		s.T.FailNow()
	}
	s.failed = true
	panic(errFailed)
}

func (s *story) Fatal(args ...any) {
	s.Log(args...)
	s.FailNow()
}

var errFailed = errors.New("the script failed")

// judge says what a script's end means in front of the hollow sandbox.
func (s *story) judge() {
	if !hollow {
		return
	}
	if r := recover(); r != nil && r != errFailed {
		panic(r)
	}
	if name := strings.TrimSuffix(filepath.Base(s.script), ".txt"); !s.failed && !slices.Contains(mayPass, name) {
		s.Errorf("%s passes with a sandbox that has no policy: it shows nothing", name)
	}
}

// setup gives the script a home of its own and a clean environment.
func (s *story) setup(env *testscript.Env) error {
	s.secret = "hunter2-" + strings.ToLower(rand.Text()[:12])
	s.id = rand.Text()
	s.name = strings.ToLower(s.id[:10])
	s.work = env.WorkDir
	s.kept = map[string]string{}
	s.running = map[string]*background{}
	s.patience = slow
	home := filepath.Join(s.work, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	pidns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return err
	}
	mntns, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	_ = os.RemoveAll(filepath.Join(s.work, ".tmp"))
	env.Vars = []string{
		"WORK=" + s.work,
		"HOME=" + home,
		"USER=" + s.caller,
		"PATH=" + searchPath(),
		"LANG=C.UTF-8",
		"SHELL=/bin/sh",
		"TERM=xterm",
		"AIGATE_ENGINE=" + s.engine,
		"AIGATE_E2E_ID=" + s.id,
		"HOST_PIDNS=" + pidns, // attacks that would hurt the host refuse to run in these namespaces
		"HOST_MNTNS=" + mntns,
		"PYTHONDONTWRITEBYTECODE=1",
		"NAME=" + s.name,
	}
	s.names = map[string]bool{}
	for _, v := range env.Vars {
		name, _, _ := strings.Cut(v, "=")
		s.names[name] = true
	}
	text, err := os.ReadFile(s.script)
	if err != nil {
		return err
	}
	for _, m := range envLine.FindAllSubmatch(text, -1) {
		s.names[string(m[1])] = true
	}
	s.Cleanup(s.leftovers)
	return nil
}

// envLine is testscript's own command that sets a variable.
var envLine = regexp.MustCompile(`(?m)^(?:\[.*\] *)?env (\w+)=`)

func searchPath() string {
	return filepath.Join(place, "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

func (s *story) condition(cond string) (bool, error) {
	switch cond {
	case "root", "plain":
		return s.caller == cond, nil
	case "native", "bwrap":
		return s.engine == cond, nil
	case "tiocsti": // does this kernel let a process that is not privileged push input into its terminal?
		if s.caller == "root" {
			return true, nil
		}
		text, err := os.ReadFile("/proc/sys/dev/tty/legacy_tiocsti")
		return err != nil || strings.TrimSpace(string(text)) == "1", nil
	case "counted": // does the kernel count what a sandbox uses, or has aigate to look?
		cmd := exec.Command(filepath.Join(place, "bin", "aigate"), "run", "--defaults", "--verbose", "--", "true")
		cmd.Env, cmd.Dir = append(os.Environ(), "AIGATE_ENGINE="+s.engine), s.work
		out, err := cmd.CombinedOutput()
		return strings.Contains(string(out), "limits: processors, memory and processes by the kernel"), err
	case "int80": // does this kernel still take 32-bit system calls?
		return exec.Command(filepath.Join(place, "bin", "attacker"), "int80-getpid").Run() == nil, nil
	case "corefile": // are core dumps plain files here?
		text, err := os.ReadFile("/proc/sys/kernel/core_pattern")
		return err == nil && strings.TrimSpace(string(text)) == "core", nil
	case "loop": // are there loop devices, which containers lack?
		_, err := os.Stat("/dev/loop-control")
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition")
}

// commands are what the scripts are written in, besides testscript's own.
func (s *story) commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"project":   s.project,
		"secret":    s.putSecret,
		"secretenv": s.secretEnv,
		"outside":   s.outside,
		"sandbox":   s.sandbox,
		"attack":    s.attack,
		"status":    s.wantStatus,
		"leaked":    s.leaked,
		"snapshot":  s.snapshot,
		"unchanged": s.unchanged,
		"settles":   s.settles,
		"start":     s.start,
		"finish":    s.finish,
		"signal":    s.signal,
		"alive":     s.alive,
		"appears":   s.appears,
		"pause":     s.pause,
		"quiet":     s.quiet,
		"machine":   s.machine,
	}
}

// controls cuts a script off at its first sandboxed command when only the controls are asked for.
func controls(script []byte) []byte {
	if !controlsOnly {
		return script
	}
	var out []string
	lines := strings.Split(string(script), "\n")
	inside := false
	for i, line := range lines {
		if strings.HasPrefix(line, "-- ") {
			out = append(out, lines[i:]...)
			break
		}
		for _, word := range strings.Fields(line) {
			if word == "!" || strings.HasPrefix(word, "[") {
				continue
			}
			inside = inside || word == "sandbox" || word == "attack" || strings.Contains(line, "aigate run")
			break
		}
		if !inside {
			out = append(out, line)
		}
	}
	return []byte(strings.Join(out, "\n"))
}

// project [FOLDER] makes the usual project, $HOME/app or FOLDER, and goes there: a git repository with one commit, a
// .env that holds the secret, and the policy: config.yaml of the script, or what aigate init writes. $PROJECT
// is its path.
func (s *story) project(ts *testscript.TestScript, neg bool, args []string) {
	home := ts.Getenv("HOME")
	dir := filepath.Join(home, "app")
	if len(args) > 0 {
		dir = ts.MkAbs(args[0])
	}
	ts.Check(os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	s.setenv(ts, "PROJECT", dir)
	for path, text := range map[string]string{
		filepath.Join(home, ".gitconfig"):      "[user]\n\tname = E2E\n\temail = e2e@example.invalid\n[init]\n\tdefaultBranch = main\n[advice]\n\tdefaultBranchName = false\n",
		filepath.Join(home, ".bashrc"):         "# the user's own\n",
		filepath.Join(dir, "README.md"):        "ordinary text\n",
		filepath.Join(dir, "src/main.c"):       "int main(void) { return 0; }\n",
		filepath.Join(dir, ".gitignore"):       ".env\n",
		filepath.Join(dir, ".env"):             "PASSWORD=" + s.secret + "\n",
		filepath.Join(home, ".ssh/id_ed25519"): "PRIVATE " + s.secret + "\n",
	} {
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(os.WriteFile(path, []byte(text), 0o644))
	}
	ts.Check(ts.Chdir(dir))
	s.must(ts, "git", "init", "-q")
	s.must(ts, "git", "add", "-A")
	s.must(ts, "git", "commit", "-q", "-m", "first")
	if text, err := os.ReadFile(filepath.Join(s.work, "config.yaml")); err == nil {
		ts.Check(os.MkdirAll(filepath.Join(home, ".aigate"), 0o755))
		ts.Check(os.WriteFile(filepath.Join(home, ".aigate/config.yaml"), text, 0o644))
	} else if _, err := os.Stat(filepath.Join(home, ".aigate")); err != nil && !controlsOnly {
		s.must(ts, "aigate", "init")
		s.unmask(ts, filepath.Join(home, ".aigate/config.yaml"))
	}
}

// unmask takes mask_stdout out of the configuration of an attack: a secret that is masked in the output has leaked, and
// would not be seen to.
func (s *story) unmask(ts *testscript.TestScript, path string) {
	if !strings.Contains(s.script, "/attack/") {
		return
	}
	text, err := os.ReadFile(path)
	ts.Check(err)
	before, rest, ok := strings.Cut(string(text), "\nmask_stdout:\n")
	_, after, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		ts.Fatalf("no mask_stdout in %s to take out", path)
	}
	ts.Check(os.WriteFile(path, []byte(before+"\n"+after), 0o644))
}

// secret FILE... writes the secret into files, and the folders they need.
func (s *story) putSecret(ts *testscript.TestScript, neg bool, args []string) {
	for _, f := range args {
		f = ts.MkAbs(f)
		ts.Check(os.MkdirAll(filepath.Dir(f), 0o755))
		ts.Check(os.WriteFile(f, []byte("PASSWORD="+s.secret+"\n"), 0o644))
	}
}

// secretenv NAME puts the secret into the environment of what follows.
func (s *story) secretEnv(ts *testscript.TestScript, neg bool, args []string) {
	s.setenv(ts, args[0], s.secret)
}

// outside CMD... runs the attack without the sandbox; it must exit 0 (with ! not 0).
func (s *story) outside(ts *testscript.TestScript, neg bool, args []string) {
	s.exec(ts, args...)
	if neg == (s.status == 0) {
		ts.Fatalf("outside the sandbox: exit status %d", s.status)
	}
}

// sandbox CMD... runs CMD inside; the sandbox must start, and CMD exit 0 (with ! not 0).
func (s *story) sandbox(ts *testscript.TestScript, neg bool, args []string) {
	s.wantSandbox(ts, s.exec(ts, append([]string{"aigate", "run", "--"}, args...)...))
	if neg == (s.status == 0) {
		ts.Fatalf("in the sandbox: exit status %d", s.status)
	}
}

// attack CMD... runs CMD inside; the sandbox must start, and CMD may exit as it likes. An attack would hurt the machine
// if aigate did nothing, so «attacker inside» runs it only when its namespaces are not those of the tests.
func (s *story) attack(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! attack")
	}
	stderr := s.exec(ts, append([]string{"aigate", "run", "--", "attacker", "inside"}, args...)...)
	s.wantSandbox(ts, stderr)
	if !strings.Contains(stderr, "attacker: inside\n") {
		ts.Fatalf("the attack was not started (exit status %d)", s.status)
	}
}

func (s *story) wantSandbox(ts *testscript.TestScript, stderr string) {
	if !strings.Contains(stderr, "[aigate] sandbox active:") {
		ts.Fatalf("the sandbox did not start (exit status %d)", s.status)
	}
	if strings.Contains(s.output, "NOT IN A SANDBOX") {
		ts.Fatalf("aigate says that the sandbox is active, but it has none")
	}
}

// status N: the exit status of the last outside, sandbox or attack.
func (s *story) wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if got := fmt.Sprint(s.status); (got == args[0]) == neg {
		ts.Fatalf("exit status %s", got)
	}
}

// leaked: the secret is in the output of the last command (or, with an argument, in that file).
func (s *story) leaked(ts *testscript.TestScript, neg bool, args []string) {
	where, what := "the output", s.output
	if len(args) > 0 {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		ts.Check(err)
		where, what = args[0], string(text)
	}
	switch found := strings.Contains(what, s.secret); {
	case found && neg:
		ts.Fatalf("LEAKED: the secret is in %s", where)
	case !found && !neg:
		ts.Fatalf("the control shows nothing: the secret is not in %s", where)
	}
}

// slow is how long one command may take unless the script says so; hardly any needs a tenth of it.
var slow = 30 * time.Second * patienceFactor

// patienceFactor is for machines that are emulated.
var patienceFactor = func() time.Duration {
	n, err := strconv.Atoi(os.Getenv("AIGATE_E2E_SLOW"))
	if err != nil {
		return 1
	}
	return time.Duration(n)
}()

// exec runs a command, keeps its output and status for the commands that look at them, and returns stderr.
func (s *story) exec(ts *testscript.TestScript, args ...string) (stderr string) {
	if len(args) == 0 {
		ts.Fatalf("no command")
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	path, err := lookPath(ts, args[0])
	ts.Check(err)
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Dir, cmd.Env = ts.MkAbs("."), s.environ(ts)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	ts.Stdout().Write(out.Bytes())
	ts.Stderr().Write(errs.Bytes())
	s.output = out.String() + errs.String()
	s.status = exitStatus(cmd)
	if ctx.Err() != nil {
		ts.Fatalf("%v: still running after %v", args, s.patience)
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		ts.Fatalf("%v: %v", args, err)
	}
	return errs.String()
}

func (s *story) must(ts *testscript.TestScript, args ...string) {
	s.exec(ts, args...)
	if s.status != 0 {
		ts.Fatalf("%v: exit status %d", args, s.status)
	}
}

func exitStatus(cmd *exec.Cmd) int {
	if cmd.ProcessState == nil {
		return -1
	}
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return cmd.ProcessState.ExitCode()
}
