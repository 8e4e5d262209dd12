package e2e

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestWorks shows that what a user does all day goes on inside as it does outside: every script of testdata/works,
// as plain user and as root, on both engines. Most run the same thing outside first. Scripts that take long, or
// make files by the hundred thousand, leave root out with «[root] skip»: nothing in them depends on the caller.
//
// The scripts named agent_* run the real agents, at the versions of agents/package.json, against modelserver.
// They are installed from npm once per machine, into /var/cache/aigate-e2e (or ~/.cache/aigate-e2e).
func TestWorks(t *testing.T) {
	if hollow || controlsOnly {
		t.Skip("there is no attack here that could succeed")
	}
	if os.Getenv("AIGATE_E2E_PLACE") != "" {
		t.Run("plain", func(t *testing.T) { works(t, "plain") })
		return
	}
	prepareWorks(t)
	if os.Geteuid() != 0 {
		t.Run("plain", func(t *testing.T) { works(t, "plain") })
		return
	}
	t.Run("plain", asPlainUser)
	t.Run("root", func(t *testing.T) { works(t, "root") })
}

func works(t *testing.T, caller string) {
	files, err := filepath.Glob(filepath.Join(place, "testdata/works/*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			root := filepath.Join(place, caller, engine[:1], "works")
			if err := os.MkdirAll(root, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if isNet(file) {
					continue
				}
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
					t.Parallel()
					w := &work{story: &story{T: t, caller: caller, engine: engine, script: file}}
					testscript.RunT(w.story, testscript.Params{
						Files:               []string{file},
						WorkdirRoot:         root,
						Setup:               w.setup,
						Cmds:                w.commands(),
						Condition:           w.condition,
						Deadline:            time.Now().Add(8 * time.Minute),
						RequireUniqueNames:  true,
						RequireExplicitExec: true,
					})
				})
			}
		})
	}
}

// work is a story with a terminal.
type work struct {
	*story
	socket string // of the tmux server, when there is one
	count  int    // of terminals so far
}

func (w *work) commands() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := w.story.commands()
	maps.Copy(cmds, map[string]func(*testscript.TestScript, bool, []string){
		"same":     w.same,
		"terminal": w.terminal,
		"keys":     w.keys,
		"press":    w.press,
		"shows":    w.shows,
		"screen":   w.screen,
		"resize":   w.resize,
		"hangup":   w.hangup,
		"fromfile": w.fromFile,
		"scratch":  w.scratch,
		"within":   w.within,
		"patience": w.setPatience,
	})
	return cmds
}

func (w *work) setup(env *testscript.Env) error {
	if err := w.story.setup(env); err != nil {
		return err
	}
	env.Vars = append(env.Vars, "AGENTS="+filepath.Join(place, "agents/node_modules/.bin"))
	w.names["AGENTS"] = true
	return nil
}

func (w *work) condition(cond string) (bool, error) {
	switch cond {
	case "agents":
		_, err := os.Stat(filepath.Join(place, "agents/node_modules/.bin"))
		return err == nil, nil
	case "java":
		_, err := exec.LookPath("java")
		return err == nil, nil
	case "chromium":
		_, err := exec.LookPath("chromium")
		return err == nil, nil
	}
	return w.story.condition(cond)
}

// same CMD... runs CMD outside and inside and wants the same output, the same errors and the same exit status.
func (w *work) same(ts *testscript.TestScript, neg bool, args []string) {
	run := func(args ...string) (stdout, stderr string, status int) {
		stderr = w.exec(ts, args...)
		return strings.TrimSuffix(w.output, stderr), stderr, w.status
	}
	out, errs, status := run(args...)
	outIn, errsIn, statusIn := run(append([]string{"aigate", "run", "--"}, args...)...)
	w.wantSandbox(ts, errsIn)
	var kept []string
	for line := range strings.Lines(errsIn) {
		if !strings.HasPrefix(line, "[aigate] ") {
			kept = append(kept, line)
		}
	}
	for _, d := range []struct{ what, outside, inside string }{
		{"standard output", out, outIn},
		{"standard error", errs, strings.Join(kept, "")},
		{"exit status", fmt.Sprint(status), fmt.Sprint(statusIn)},
	} {
		if d.outside != d.inside {
			ts.Fatalf("%s differs\noutside: %q\ninside:  %q", d.what, d.outside, d.inside)
		}
	}
}

// onTerminal says on the screen that CMD has ended: tmux itself at times does not notice. Ctrl-C is for CMD alone.
const onTerminal = `trap : INT QUIT; "$@"; s=$?; echo; echo "[ended with $s]"; trap "" INT QUIT; exec sleep 1000`

// terminal COLSxROWS CMD... runs CMD on a terminal of its own. The screen stays when CMD has ended.
func (w *work) terminal(ts *testscript.TestScript, neg bool, args []string) {
	var cols, rows int
	if n, err := fmt.Sscanf(args[0], "%dx%d", &cols, &rows); n != 2 || err != nil || len(args) < 2 {
		ts.Fatalf("usage: terminal COLSxROWS command...")
	}
	w.hangup(ts, false, nil)
	conf := filepath.Join(w.work, "tmux.conf")
	ts.Check(os.WriteFile(conf, []byte("set -g status off\nset -s escape-time 0\nset -g default-terminal screen-256color\n"), 0o644))
	w.count++ // a server that was killed lets go of its socket when it likes
	w.socket = filepath.Join(w.work, fmt.Sprint("tmux", w.count))
	ts.Defer(func() { w.hangup(ts, false, nil) })
	w.must(ts, append([]string{"tmux", "-S", w.socket, "-f", conf, "new-session", "-d", "-x", fmt.Sprint(cols), "-y", fmt.Sprint(rows), "--",
		"sh", "-c", onTerminal, "sh"}, args[1:]...)...)
}

// tmux asks the server of the terminal. It leaves the last command's output alone.
func (w *work) tmux(ts *testscript.TestScript, args ...string) string {
	cmd := exec.Command("tmux", append([]string{"-S", w.socket}, args...)...)
	cmd.Env = w.environ(ts)
	out, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// keys KEY... types; keys are named as tmux does (C-c, Enter) or are the text itself.
func (w *work) keys(ts *testscript.TestScript, neg bool, args []string) {
	w.tmux(ts, append([]string{"send-keys", "--"}, args...)...)
}

// press KEY TEXT presses KEY until the terminal shows TEXT: agents want Ctrl-C twice within a second to end.
func (w *work) press(ts *testscript.TestScript, neg bool, args []string) {
	for limit := time.Now().Add(w.patience); time.Now().Before(limit); time.Sleep(300 * time.Millisecond) {
		if strings.Contains(w.tmux(ts, "capture-pane", "-p"), args[1]) {
			return
		}
		w.keys(ts, neg, args[:1])
	}
	ts.Fatalf("the terminal shows:\n%s", w.tmux(ts, "capture-pane", "-p"))
}

// shows TEXT waits until the terminal shows TEXT (with !: until it does not).
func (w *work) shows(ts *testscript.TestScript, neg bool, args []string) {
	var screen string
	for limit := time.Now().Add(w.patience); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		screen = w.tmux(ts, "capture-pane", "-p")
		if strings.Contains(screen, args[0]) != neg {
			return
		}
	}
	ts.Fatalf("the terminal shows:\n%s", screen)
}

// screen FILE keeps what the terminal shows, once it has come to rest.
func (w *work) screen(ts *testscript.TestScript, neg bool, args []string) {
	last := ""
	for limit := time.Now().Add(w.patience); time.Now().Before(limit); time.Sleep(300 * time.Millisecond) {
		now := w.tmux(ts, "capture-pane", "-p")
		if now == last {
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(now), 0o644))
			return
		}
		last = now
	}
	ts.Fatalf("the terminal does not come to rest")
}

// resize COLSxROWS changes the terminal's size.
func (w *work) resize(ts *testscript.TestScript, neg bool, args []string) {
	cols, rows, _ := strings.Cut(args[0], "x")
	w.tmux(ts, "resize-window", "-x", cols, "-y", rows)
}

// hangup takes the terminal away. It may be called at any time, and when there is none.
func (w *work) hangup(ts *testscript.TestScript, neg bool, args []string) {
	if w.socket != "" {
		_ = exec.Command("tmux", "-S", w.socket, "kill-server").Run()
		w.socket = ""
	}
}

// fromfile NAME FILE sets the variable NAME to the first line of FILE.
func (w *work) fromFile(ts *testscript.TestScript, neg bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	w.setenv(ts, args[0], line)
}

// scratch DIR makes a folder outside of the script's own place, and removes it at the end.
func (w *work) scratch(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.Mkdir(args[0], 0o755))
	ts.Defer(func() {
		if err := removeAll(args[0]); err != nil {
			w.Error(err)
		}
	})
}

// within DURATION CMD... does what the script's command CMD does, in that time.
func (w *work) within(ts *testscript.TestScript, neg bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	start := time.Now()
	w.commands()[args[1]](ts, neg, args[2:])
	if took := time.Since(start); took > limit {
		ts.Fatalf("took %v", took.Round(time.Millisecond))
	}
}

// patience DURATION is how long a command may take from now on.
func (w *work) setPatience(ts *testscript.TestScript, neg bool, args []string) {
	var err error
	w.patience, err = time.ParseDuration(args[0])
	ts.Check(err)
}

var worksPrepared bool

// prepareWorks builds and installs what the scripts need and the harness does not. TestWorks and TestNet both ask for it.
func prepareWorks(t *testing.T) {
	if worksPrepared {
		return
	}
	worksPrepared = true
	packages := map[string]string{
		"gdb": "gdb", "go": "golang-go", "less": "less", "make": "make", "musl-gcc": "musl-tools",
		"wget": "wget", "ssh": "openssh-client", "node": "nodejs", "npm": "npm", "vim": "vim", "locale": "libc-bin",
	}
	missing := map[string]bool{}
	for tool, pkg := range packages {
		if _, err := exec.LookPath(tool); err != nil {
			missing[pkg] = true
		}
	}
	if exec.Command("/usr/bin/python3", "-c", "import ensurepip, venv").Run() != nil {
		missing["python3-venv"] = true
	}
	if len(missing) > 0 {
		t.Fatalf("programs the tests need are not installed; to install them:\n\n\tsudo apt-get install -y %s\n",
			strings.Join(slices.Sorted(maps.Keys(missing)), " "))
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: NOT RUN: works/chromium; there is no chromium (on Debian: apt-get install chromium)")
	}
	if _, err := exec.LookPath("java"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: NOT RUN: works/net_java; there is no java (on Debian: apt-get install default-jdk-headless)")
	}
	if err := build("./modelserver", filepath.Join(place, "bin/modelserver")); err != nil {
		t.Fatal(err)
	}
	// Where Go lies is not on every PATH.
	if at, err := exec.LookPath("go"); err != nil {
		t.Fatal(err)
	} else if at, err = filepath.EvalSymlinks(at); err != nil {
		t.Fatal(err)
	} else if err := os.Symlink(at, filepath.Join(place, "bin/go")); err != nil {
		t.Fatal(err)
	}
	agents, err := installAgents()
	if err != nil {
		t.Errorf("the scripts with real agents can't run: %v", err)
		return
	}
	if err := os.Symlink(agents, filepath.Join(place, "agents")); err != nil {
		t.Fatal(err)
	}
}

// installAgents gives the folder that holds the agents. It is made once per machine and list of versions, and is
// complete when it exists.
func installAgents() (string, error) {
	list, err := os.ReadFile("agents/package.json")
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("aigate-e2e/agents-%.8x", sha256.Sum256(list))
	dir := filepath.Join("/var/cache", name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if os.Geteuid() != 0 {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		if dir = filepath.Join(cache, name); exists(dir) {
			return dir, nil
		}
	}
	part := fmt.Sprint(dir, ".part", os.Getpid())
	defer os.RemoveAll(part)
	if err := os.MkdirAll(part, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(part, "package.json"), list, 0o644); err != nil {
		return "", err
	}
	install := exec.Command("timeout", "500", "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--umask=022")
	install.Dir = part
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w\n%s", err, out)
	}
	if out, err := exec.Command("chmod", "-R", "a+rX", part).CombinedOutput(); err != nil {
		return "", fmt.Errorf("chmod: %w\n%s", err, out)
	}
	if err := os.Rename(part, dir); err != nil && !exists(dir) {
		return "", err
	}
	return dir, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
