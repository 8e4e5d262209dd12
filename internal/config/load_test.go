package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// guideGlobal and guideProject are the examples of the user guide, as it writes them.
const (
	guideGlobal = `group: ai-agents
user: ai-runner
deny_read:
  - ".env"
  - ".env.*"
  - "secrets/"
  - "credentials/"
  - "~/.ssh/"
  - "*.pem"
  - "*.key"
  - "~/.aws/"
  - "~/.gcloud/"
  - "~/.kube/config"
  - "~/.npmrc"
  - "~/.pypirc"
deny_exec:
  - "curl"
  - "wget"
  - "nc"
  - "ssh"
  - "scp"
  - "kubectl delete"
  - "kubectl exec"
allow_net:
  - "api.anthropic.com"
  - "api.openai.com"
  - "api.github.com"
resource_limits:
  max_memory: "4G"
  max_cpu_percent: 80
  max_pids: 1000
`
	guideProject = `deny_read:
  - "terraform.tfstate"
  - "vault-token"
allow_net:
  - "registry.terraform.io"
resource_limits:
  max_memory: "8G"
mask_stdout:
  presets:
    - openai
    - github
  patterns:
    - regex: "stripe_key\\s*[=:]\\s*\\S+"
      show_prefix: 0
      case_insensitive: true
`
	guideMask = `mask_stdout:
  presets:
    - openai
  patterns:
    # Fully mask a custom secret format
    - regex: "myapp-secret-[a-z0-9]+"
      show_prefix: 0
    # Show first 8 chars, mask the rest (e.g. "token-AB***")
    - regex: "token-[a-zA-Z0-9]{16}"
      show_prefix: 8
    # Case-insensitive match (catches PASSWORD=, password=, Password=)
    - regex: "(?:password|secret|token)\\s*[=:]\\s*\\S+"
      show_prefix: 0
      case_insensitive: true
`
)

func TestGuideExamples(t *testing.T) {
	global := parsed(t, guideGlobal)
	if want := (Limits{MaxMemory: 4 << 30, MaxCPUPercent: 80, MaxPids: 1000}); global.Limits != want || global.Group != "ai-agents" || global.User != "ai-runner" {
		t.Errorf("global: %+v", global)
	}
	if n := [3]int{len(global.DenyRead), len(global.DenyExec), len(global.AllowNet)}; n != [3]int{12, 7, 3} {
		t.Errorf("global has %d entries", n)
	}
	project := parsed(t, guideProject)
	all := Merge(global, project)
	if all.Limits != (Limits{MaxMemory: 8 << 30, MaxCPUPercent: 80, MaxPids: 1000}) {
		t.Errorf("limits: %+v", all.Limits)
	}
	if want := strings.Fields("api.anthropic.com api.openai.com api.github.com registry.terraform.io"); !reflect.DeepEqual(all.AllowNet, want) {
		t.Errorf("allow_net: %q", all.AllowNet)
	}
	if n := len(all.DenyRead); n != 14 || all.DenyRead[13] != "vault-token" {
		t.Errorf("deny_read: %q", all.DenyRead)
	}
	if want := []MaskPattern{{`stripe_key\s*[=:]\s*\S+`, 0, true}}; !reflect.DeepEqual(all.Mask.Patterns, want) {
		t.Errorf("mask: %+v", all.Mask)
	}
	if m := parsed(t, guideMask).Mask; len(m.Patterns) != 3 || m.Patterns[1].ShowPrefix != 8 {
		t.Errorf("mask: %+v", m)
	}
}

func parsed(t *testing.T, src string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The default file holds what the guide shows, in its order, before anything of ours.
func TestDefaultFileKeepsTheGuide(t *testing.T) {
	guide, ours := parsed(t, guideGlobal), parsed(t, defaultFile)
	if !reflect.DeepEqual(ours.DenyRead[:len(guide.DenyRead)], guide.DenyRead) {
		t.Errorf("deny_read: %q", ours.DenyRead)
	}
	if !reflect.DeepEqual(ours.DenyExec, guide.DenyExec) || !reflect.DeepEqual(ours.AllowNet, guide.AllowNet) ||
		ours.Limits != guide.Limits || ours.Group != guide.Group || ours.User != guide.User {
		t.Errorf("%+v", ours)
	}
	last := -1
	for _, key := range []string{"group:", "user:", "deny_read:", "deny_exec:", "allow_net:", "resource_limits:"} {
		at := strings.Index("\n"+defaultFile, "\n"+key)
		if at <= last {
			t.Errorf("%s is not where the guide has it", key)
		}
		last = at
	}
}

func TestDefaultsAreTheDefaultFile(t *testing.T) {
	d, file := Defaults(), parsed(t, defaultFile)
	if !reflect.DeepEqual(d, Merge(file, nil)) || !reflect.DeepEqual(d.DenyRead, file.DenyRead) {
		t.Error("Defaults and DefaultFile differ")
	}
	for list, entries := range map[string][]string{"deny_write": d.DenyWrite, "allow_write": d.AllowWrite, "deny_env": d.DenyEnv, "deny_read": d.DenyRead} {
		seen := map[string]bool{}
		for _, e := range entries {
			if err := Check(list, e); err != nil {
				t.Errorf("%s: %v", list, err)
			}
			if seen[e] {
				t.Errorf("%s: %q is there twice", list, e)
			}
			seen[e] = true
		}
	}
}

func TestDefaultEnvironment(t *testing.T) {
	globs := Defaults().DenyEnv
	for _, name := range strings.Fields(`AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GITHUB_TOKEN GH_TOKEN NPM_TOKEN DATABASE_URL PGPASSWORD MY_DB_PASSWORD
		STRIPE_SECRET_KEY npm_config__authToken NPM_CONFIG__AUTH db_password STAGING_DATABASE_URL CARGO_REGISTRIES_CORP_TOKEN AZURE_CLIENT_SECRET SSH_AUTH_SOCK`) {
		if !EnvDenied(globs, name) {
			t.Errorf("%s passes", name)
		}
	}
	for _, name := range strings.Fields(`ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN CLAUDE_CODE_CLIENT_KEY_PASSPHRASE OPENAI_API_KEY GEMINI_API_KEY
		GOOGLE_API_KEY XAI_API_KEY OPENROUTER_API_KEY MISTRAL_API_KEY GROQ_API_KEY DEEPSEEK_API_KEY AWS_BEARER_TOKEN_BEDROCK AZURE_OPENAI_API_KEY COPILOT_GITHUB_TOKEN
		PATH HOME TERM LANG AWS_REGION GOPATH NODE_OPTIONS DOCKER_HOST GOOGLE_CLOUD_PROJECT npm_config_registry npm_config_cache`) {
		if EnvDenied(globs, name) {
			t.Errorf("%s is removed", name)
		}
	}
}

func TestEnvDenied(t *testing.T) {
	for _, tt := range []struct {
		globs, name string
		want        bool
	}{
		{"AWS_*", "AWS_X", true}, {"AWS_*", "AWS", false}, {"AWS_*", "MY_AWS_X", false}, {"*", "", true}, {"A?C", "abc", true}, {"A?C", "AC", false},
		{"AWS_* !AWS_REGION", "AWS_REGION", false}, {"AWS_* !AWS_REGION AWS_REG*", "AWS_REGION", true}, {"*_a*b", "X_acab", true}, {"*ab*ab", "abab", true}, {"", "A", false},
	} {
		if got := EnvDenied(strings.Fields(tt.globs), tt.name); got != tt.want {
			t.Errorf("%q, %q: %v", tt.globs, tt.name, got)
		}
	}
}

func TestThreeStatesOfAllowNet(t *testing.T) {
	for _, tt := range []struct {
		src   string
		isNil bool
		n     int
	}{
		{"", true, 0}, {"group: g", true, 0}, {"allow_net: []", false, 0}, {"allow_net:", false, 0}, {"allow_net:\n  # - a.com\n", false, 0}, {"allow_net: null", false, 0}, {"allow_net: [a.com]", false, 1},
	} {
		c := parsed(t, tt.src)
		if (c.AllowNet == nil) != tt.isNil || len(c.AllowNet) != tt.n {
			t.Errorf("%q: %#v", tt.src, c.AllowNet)
		}
		if all := Merge(c, &Config{}); (all.AllowNet == nil) != tt.isNil {
			t.Errorf("%q merged: %#v", tt.src, all.AllowNet)
		}
	}
	if all := Merge(&Config{}, &Config{AllowNet: []string{}}); all.AllowNet == nil {
		t.Error("a project's empty allow_net leaves the host's network")
	}
}

func TestLoadFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if c, err := LoadProject(filepath.Join(dir, "none")); c != nil || err != nil {
		t.Errorf("missing project file: %v, %v", c, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(dir, "sock")
	fd, _ := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: sock}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, sock} {
		var e *Error
		if _, err := Load(path); !errors.As(err, &e) || e.File != path || !strings.Contains(e.Msg, "not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
		if c, err := LoadProject(path); c != nil || err != nil {
			t.Errorf("%s as the project's: %v, %v", path, c, err)
		}
	}
	big := filepath.Join(dir, "big")
	os.WriteFile(big, make([]byte, maxFileSize+1), 0o600)
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("%v", err)
	}
	link := filepath.Join(dir, "link")
	os.WriteFile(filepath.Join(dir, "real"), []byte("group: g\n"), 0o600)
	os.Symlink("real", link)
	if c, err := LoadProject(link); err != nil || c == nil || c.Group != "g" {
		t.Errorf("link: %v, %v", c, err)
	}
	if os.Getuid() != 0 {
		os.WriteFile(filepath.Join(dir, "secret"), nil, 0)
		if _, err := Load(filepath.Join(dir, "secret")); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "hint: make it readable") {
			t.Errorf("%v", err)
		}
	}
}

// FuzzLoad finds panics, and errors without a place in the file.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{guideGlobal, guideProject, guideMask, defaultFile, "a: [", "\xff", "? a\n: b", "&a *b", "- !x", "allow_net: {a: b}", "{", "\t", "'", "a: |\n x", "%YAML 1.2\n---\na: b", "<<: *a", "a: 'x\n\n y'"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		_, err := Parse("x", src)
		if err == nil {
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%q: %T %v", src, err, err)
		}
		for _, e := range all {
			if e.Line < 1 || e.Col < 1 || e.Col > len([]rune(e.Source))+1 || e.Msg == "" {
				t.Fatalf("%q: %+v", src, e)
			}
			if strings.ContainsAny(e.Error(), "\x1b\r\x00") {
				t.Fatalf("%q: control characters in %q", src, e.Error())
			}
		}
	})
}

func BenchmarkLoadAndMerge(b *testing.B) {
	path := filepath.Join(b.TempDir(), "config.yaml")
	os.WriteFile(path, DefaultFile(), 0o600)
	for b.Loop() {
		c, err := Load(path)
		if err != nil {
			b.Fatal(err)
		}
		Merge(c, nil)
	}
}

// BenchmarkFullParser is what a file costs that the quick parser does not take.
func BenchmarkFullParser(b *testing.B) {
	for b.Loop() {
		d := &decoder{src: defaultFile}
		d.root(d.parseFull(), &Config{})
		if len(d.errs) > 0 {
			b.Fatal(d.errs)
		}
	}
}
