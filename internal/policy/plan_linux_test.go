package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/config"
)

// world is a home with a project in it, and what is asked of Resolve.
type world struct {
	t    *testing.T
	home string
	conf config.Config
}

// newWorld makes files from lines: "path", "path/", "path -> target", "path = path" (a hard link).
func newWorld(t *testing.T, lines string) *world {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, home: home, conf: config.Config{AllowNet: []string{}}}
	for line := range strings.Lines(lines) {
		w.make(strings.TrimSpace(line))
	}
	return w
}

func (w *world) make(line string) {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	path, text, _ := strings.Cut(line, ": ")
	path, target, link := strings.Cut(path, " -> ")
	path, same, hard := strings.Cut(path, " = ")
	full := filepath.Join(w.home, path)
	must(os.MkdirAll(filepath.Dir(full), 0o755))
	switch {
	case line == "":
	case strings.HasSuffix(path, "/"):
		must(os.MkdirAll(full, 0o755))
	case link:
		must(os.Symlink(target, full))
	case hard:
		must(os.Link(filepath.Join(w.home, same), full))
	default:
		must(os.WriteFile(full, []byte(strings.ReplaceAll(text, `\n`, "\n")), 0o644))
	}
}

// plan gives the part of the plan that lies in the home, with ~ for it.
func (w *world) plan(dir string) string {
	w.t.Helper()
	cwd := filepath.Join(w.home, dir)
	p, err := Resolve(&w.conf, Host{UID: os.Getuid(), GID: os.Getgid(), Home: w.home, Dir: cwd,
		Project: FindProject(cwd, w.home), Env: []string{"PATH=" + w.home + "/bin"}})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(p.Plan().String()) {
		if strings.Contains(line, w.home+"/") {
			what, _, _ := strings.Cut(strings.ReplaceAll(line, w.home, "~"), "    #")
			out = append(out, strings.Join(strings.Fields(what), " "))
		}
	}
	for _, warning := range p.Warnings {
		out = append(out, "warning "+warning)
	}
	return strings.Join(out, "\n")
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name, files, dir, read, write, exec, want string
	}{
		{name: "a file, a folder, a link, another name of the same file",
			files: "p/.env\np/sub/deep/.env\np/secrets/x\nkeys/real\np/server.pem -> ../keys/real\np/other = p/.env\np/in = p/secrets/x\np/.env.example",
			dir:   "p", read: ".env .env.* !.env.example secrets/ *.pem",
			want: `bind ~/p
protect ~/p/.aigate.yaml (not there yet)
mask ~/p/.env
hide ~/p/secrets
mask ~/keys/real
mask ~/p/sub/deep/.env
mask ~/p/in
mask ~/p/other
anchor ~/p/sub/deep
anchor ~/p/sub
chdir ~/p`},
		{name: "a name of the file that lies elsewhere is told of",
			files: "p/.env\nelsewhere/copy = p/.env", dir: "p", read: ".env",
			want: `bind ~/p
protect ~/p/.aigate.yaml (not there yet)
mask ~/p/.env
chdir ~/p
warning 1 hard links of denied files lie outside of the project and may be readable`},
		{name: "a sub-folder is in the project, and the project's rules hold",
			files: "p/.aigate.yaml\np/.env\np/a/b/x", dir: "p/a/b", read: ".env",
			want: `bind ~/p
protect ~/p/.aigate.yaml
mask ~/p/.env
chdir ~/p/a/b`},
		{name: "git: what it runs, and the way there, is pinned",
			files: "p/.git/HEAD\np/.git/objects/\np/.git/hooks/\np/.git/config: [core]\\nhooksPath = tools/hooks\\n[include]\\npath = ../tools/conf\np/tools/hooks/x\np/tools/conf",
			dir:   "p",
			want: `bind ~/p
pin ~/p/.git
protect ~/p/.git/hooks
protect ~/p/.git/modules (not there yet)
protect ~/p/.git/config
pin ~/p/tools
protect ~/p/tools/hooks
protect ~/p/tools/conf
protect ~/p/.git/commondir (not there yet)
protect ~/p/.aigate.yaml (not there yet)
chdir ~/p`},
		{name: "git: a worktree's shared folder is writable, and guarded as well",
			files: "main/.git/HEAD\nmain/.git/objects/\nmain/.git/hooks/\nmain/.git/config\nmain/.git/worktrees/t/HEAD\nmain/.git/worktrees/t/commondir: ../..\nmain/.git/worktrees/t/gitdir: ../../../../tree/.git\ntree/.git: gitdir: ../main/.git/worktrees/t",
			dir:   "tree",
			want: `bind ~/main/.git
bind ~/tree
protect ~/tree/.git
protect ~/main/.git/hooks
protect ~/main/.git/modules (not there yet)
protect ~/main/.git/config
pin ~/main/.git/worktrees
pin ~/main/.git/worktrees/t
protect ~/main/.git/worktrees/t/commondir
protect ~/main/.git/commondir (not there yet)
protect ~/tree/.aigate.yaml (not there yet)
chdir ~/tree`},
		{name: "a program is blocked by its names; one that is many only by the denied one",
			files: "p/x\nbin/fetch\nbin/get -> fetch-2.0\nbin/fetch-2.0\nbin/sh -> busybox\nbin/wgot -> busybox\nbin/busybox",
			dir:   "p", exec: "fetch wgot", want: `bind ~/p
protect ~/p/.aigate.yaml (not there yet)
block ~/bin/fetch
block ~/bin/wgot
chdir ~/p`},
		{name: "protected names of the user's own that are not there yet",
			files: "p/x", dir: "p", write: "rules/deploy.yaml ./Justfile",
			want: `bind ~/p
protect ~/p/Justfile (not there yet)
protect ~/p/rules (not there yet)
protect ~/p/.aigate.yaml (not there yet)
chdir ~/p`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.files)
			w.conf.DenyRead, w.conf.DenyWrite, w.conf.DenyExec = strings.Fields(tt.read), strings.Fields(tt.write), strings.Fields(tt.exec)
			if got := w.plan(tt.dir); got != tt.want {
				t.Errorf("got\n%s\n\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	w := newWorld(t, "secrets/p/x")
	w.conf.DenyRead = []string{"~/secrets/"}
	_, err := Resolve(&w.conf, Host{UID: os.Getuid(), Home: w.home, Dir: w.home + "/secrets/p", Project: w.home + "/secrets/p"})
	if err == nil || !strings.Contains(err.Error(), "hides the project") {
		t.Errorf("a project in a denied folder: %v", err)
	}
	if _, err = Resolve(&w.conf, Host{Home: w.home, Dir: "/", Project: "/"}); err == nil {
		t.Error("the whole machine as a project was taken")
	}
}

func TestCheckCommand(t *testing.T) {
	w := newWorld(t, "p/curl\nbin/curl\np/mine -> ../bin/curl\nbin/kubectl")
	w.conf.DenyExec = []string{"curl", "kubectl delete", "docker compose down"}
	p, err := Resolve(&w.conf, Host{UID: os.Getuid(), Home: w.home, Dir: w.home + "/p", Project: w.home + "/p", Env: []string{"PATH=" + w.home + "/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		command, path, want string
	}{
		{"curl x", "bin/curl", "curl"},
		{"./curl", "p/curl", "curl"},
		{"./mine", "p/mine", "curl"},
		{"curl", "", "curl"}, // not installed at all
		{"kubectl delete pod", "bin/kubectl", "kubectl delete"},
		{"kubectl -n x --context=y delete pod", "bin/kubectl", "kubectl delete"},
		{"kubectl get pods", "bin/kubectl", ""},
		{"docker --host h compose -f x down", "", "docker compose down"},
		{"docker down compose", "", ""},
		{"curly", "", ""},
	} {
		args := strings.Fields(tt.command)
		path := ""
		if tt.path != "" {
			path = filepath.Join(w.home, tt.path)
		}
		got := ""
		if err := p.CheckCommand(args[0], path, args[1:]); err != nil {
			got = err.(*ExecError).What
		}
		if got != tt.want {
			t.Errorf("%s: denied by %q, want %q", tt.command, got, tt.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	p := &Policy{config: &config.Config{DenyEnv: []string{"AWS_*", "*_TOKEN", "!MY_TOKEN", "plain"}}}
	p.host.Env = []string{"AWS_KEY=1", "x_token=2", "MY_TOKEN=3", "PLAIN=4", "PATH=/bin", "AIGATE=0", "AIGATE_ENGINE=x"}
	p.environment()
	if got := strings.Join(p.Env, " "); got != "MY_TOKEN=3 PATH=/bin AIGATE=1 AIGATE_POLICY=/run/aigate/policy.txt FAKEROOTDONTTRYCHOWN=1" {
		t.Error(got)
	}
	if got := strings.Join(p.Removed, " "); got != "AWS_KEY PLAIN x_token" {
		t.Error(got)
	}
}

func TestFindProject(t *testing.T) {
	w := newWorld(t, ".git/x\na/.git/x\na/b/c/x\nd/e/.aigate.yaml\nd/e/f/x\ng/h/x")
	for dir, want := range map[string]string{"a/b/c": "a", "d/e/f": "d/e", "g/h": "", "": ""} {
		if got := FindProject(filepath.Join(w.home, dir), w.home); got != filepath.Join(w.home, want) {
			t.Errorf("%s: %s", dir, got)
		}
	}
}
