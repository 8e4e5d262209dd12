package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/match"
)

// TestDefaultPatterns says by example what the built-in lists hide and protect, and what they must
// leave alone or builds and tests break.
func TestDefaultPatterns(t *testing.T) {
	const home, project = "/home/me", "/home/me/app"
	d := Defaults()
	for _, tt := range []struct {
		list          string
		patterns      []string
		named, spared string
	}{
		{"deny_read", d.DenyRead, `.env a/b/.env .env.local .env.production .envrc secrets/ src/secrets/ credentials/ server.pem a/tls.key id_ed25519 prod.tfstate
			terraform.tfstate.backup a/release.keystore vendor/secrets/ ~/.ssh/ ~/.aws/ ~/.kube/config ~/.npmrc ~/.docker/config.json ~/.config/gh/hosts.yml ~/.netrc
			~/.gnupg/ ~/.bash_history ~/.mozilla/ ~/.password-store/ ~/.cache/huggingface/token /etc/shadow /etc/ssh/ssh_host_rsa_key`,
			`.env.example .env.sample .env.template a/.env.example cacert.pem env.go secrets.go secrets credentials.go main.go package.json .npmrc .git/ .git/config
			node_modules/x/test/server.pem node_modules/x/a.key a/node_modules/aws-sdk/lib/credentials/ node_modules/azure/secrets/
			.venv/lib/python3.12/site-packages/certifi/cacert.pem .venv/lib/python3.12/site-packages/tornado/test/test.key
			venv/lib/python3.12/site-packages/azure/keyvault/secrets/ vendor/google.golang.org/grpc/credentials/ vendor/bundle/ruby/3.3.0/gems/x/ca.pem id_rsa.pub
			~/.claude/.credentials.json ~/.claude.json ~/.codex/auth.json ~/.gitconfig ~/.cargo/config.toml ~/.config/git/config /etc/passwd /etc/ssl/certs/ca.pem /etc/hosts`},
		{"deny_write", d.DenyWrite, `.git/hooks/ .git/config .aigate.yaml .vscode/tasks.json .idea/ .envrc .husky/
			app.code-workspace .claude/settings.json ~/.bashrc ~/.zshenv ~/.profile ~/.gitconfig ~/.ssh/ ~/.local/bin/ ~/.config/fish/ ~/.config/autostart/ ~/.config/systemd/
			~/.local/share/dbus-1/ ~/.claude/settings.json ~/.codex/config.toml ~/.cache/pre-commit/ ~/.cache/p10k-instant-prompt-me.zsh ~/.cargo/bin/ ~/go/bin/`,
			`.git/index .git/HEAD .git/objects/ .git/refs/ .vscode/extensions.json package.json Makefile .gitignore .github/ a/hooks/ config hooks/ .env .claude/CLAUDE.md
			~/.cache/pip/ ~/.claude/projects/ ~/.claude/.credentials.json ~/.codex/auth.json ~/.codex/sessions/ ~/.npm/ ~/go/pkg/ ~/.cargo/registry/`},
		{"allow_write", d.AllowWrite, `~/.cache/ ~/.npm/ ~/.cargo/registry/ ~/go/pkg/ ~/.m2/repository/ ~/.claude/ ~/.claude.json ~/.codex/ ~/.local/share/opencode/ ~/.gemini/`,
			`~/.bashrc ~/.ssh/ ~/.cargo/bin/ ~/go/bin/ ~/.local/bin/ ~/.config/ ~/.local/share/ ~/.local/share/pnpm/ ~/ /etc/ /tmp/x`},
	} {
		set, err := match.Parse(tt.patterns, home)
		if err != nil {
			t.Fatal(err)
		}
		denied := func(name string) (string, bool) {
			path := filepath.Join(project, name)
			if inHome, ok := strings.CutPrefix(name, "~/"); ok {
				path = filepath.Join(home, inHome)
			} else if filepath.IsAbs(name) {
				path = filepath.Clean(name)
			}
			return set.MatchPath(project, path, strings.HasSuffix(name, "/"))
		}
		for _, name := range strings.Fields(tt.named) {
			if _, ok := denied(name); !ok {
				t.Errorf("%s does not name %s", tt.list, name)
			}
		}
		for _, name := range strings.Fields(tt.spared) {
			if pattern, ok := denied(name); ok {
				t.Errorf("%s names %s, by %q", tt.list, name, pattern)
			}
		}
	}
}
