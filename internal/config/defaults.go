package config

import (
	_ "embed"
)

//go:embed default.yaml
var defaultFile string

// DefaultFile is the commented file that `aigate init` writes.
func DefaultFile() []byte { return []byte(defaultFile) }

// Defaults is the policy without any file: what DefaultFile says with the built-in lists.
func Defaults() Config {
	c, err := Parse("the built-in policy", DefaultFile())
	if err != nil {
		panic(err) // a test loads it
	}
	return Merge(c, nil)
}

// builtinDenyWrite is what the user's next shell, git or editor would run. Files below ~/ are
// listed though most of them lie outside every writable root: the home may be the project. None
// needs a look at every file of the project, which would double the cost of a start; what lies
// deeper (a nested repository's hooks, .vscode, .aigate.yaml) the policy meets on the one walk
// that looks for deny_read.
func builtinDenyWrite() []string {
	return []string{
		// aigate's own rules.
		"./.aigate.yaml",
		// git: hooks, and settings that name programs. Hook managers run files of the work tree.
		".git/hooks/", ".git/config", ".git/config.worktree", ".git/info/attributes",
		"./.husky/", "./.githooks/", "./.lefthook/", "./lefthook.yml", "./.lefthook.yml", "./.pre-commit-config.yaml", "./.overcommit.yml",
		// Editors that run tasks, settings or scripts of the folder they open.
		".vscode/tasks.json", ".vscode/settings.json", ".vscode/launch.json", ".vscode/mcp.json",
		"./*.code-workspace", "./.idea/", "./.zed/", "./.fleet/",
		"./.nvim.lua", "./.nvimrc", "./.exrc", "./.vimrc", "./.gvimrc", "./.lvimrc", "./.dir-locals.el", "./.dir-locals-2.el",
		// Shells that run what a folder holds.
		"./.envrc", "./mise.toml", "./.mise.toml", "./.mise/", ".config/mise/", "./.autoenv.zsh", "./.autoenv",
		// Agents that run hooks and servers from a folder, outside the sandbox too.
		".claude/settings.json", ".claude/settings.local.json", ".claude/hooks/", "./.mcp.json",
		".cursor/hooks.json", ".cursor/mcp.json", "./.codex/", ".gemini/settings.json", ".qwen/settings.json",
		"./.opencode/", "./opencode.json", "./opencode.jsonc",

		// The home: shells,
		"~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.bash_logout", "~/.bash_aliases", "~/.profile", "~/.inputrc",
		"~/.zshrc", "~/.zshenv", "~/.zprofile", "~/.zlogin", "~/.zlogout", "~/.zsh/", "~/.oh-my-zsh/", "~/.p10k.zsh",
		"~/.config/fish/", "~/.config/zsh/", "~/.kshrc", "~/.cshrc", "~/.tcshrc", "~/.login", "~/.hushlogin",
		"~/.pam_environment", "~/.config/environment.d/", "~/.config/direnv/", "~/.config/mise/", "~/.config/starship.toml",
		// programs on PATH and what loads them,
		"~/.local/bin/", "~/bin/", "~/.cargo/bin/", "~/.cargo/env", "~/go/bin/", "~/.npm-global/", "~/.yarn/bin/", "~/.bun/bin/", "~/.deno/bin/",
		"~/.nvm/", "~/.pyenv/", "~/.rbenv/", "~/.asdf/", "~/.volta/", "~/.sdkman/", "~/.rustup/", "~/.local/share/mise/",
		// git, ssh, package managers,
		"~/.gitconfig", "~/.config/git/", "~/.ssh/", "~/.gnupg/", "~/.npmrc", "~/.yarnrc", "~/.yarnrc.yml", "~/.bunfig.toml",
		"~/.cargo/config", "~/.cargo/config.toml", "~/.config/pip/", "~/.pip/", "~/.config/uv/", "~/.config/go/", "~/.gemrc", "~/.bundle/config",
		"~/.m2/settings.xml", "~/.gradle/init.d/", "~/.gradle/init.gradle", "~/.gradle/gradle.properties", "~/.pythonrc.py", "~/.irbrc", "~/.pryrc",
		// editors and terminals,
		"~/.vimrc", "~/.vim/", "~/.gvimrc", "~/.exrc", "~/.config/nvim/", "~/.local/share/nvim/", "~/.emacs", "~/.emacs.d/", "~/.config/emacs/",
		"~/.nanorc", "~/.config/Code/", "~/.vscode/", "~/.vscode-server/", "~/.config/zed/", "~/.config/JetBrains/", "~/.local/share/JetBrains/", "~/.config/helix/",
		"~/.tmux.conf", "~/.config/tmux/", "~/.tmux/", "~/.screenrc", "~/.lessfilter", "~/.config/kitty/", "~/.config/alacritty/", "~/.config/wezterm/",
		// the desktop session.
		"~/.config/autostart/", "~/.config/systemd/", "~/.local/share/systemd/", "~/.local/share/dbus-1/", "~/.local/share/applications/",
		"~/.config/mimeapps.list", "~/.xprofile", "~/.xinitrc", "~/.xsession", "~/.xsessionrc", "~/.Xresources", "~/Library/LaunchAgents/",
		// Inside ~/.cache: what a shell, editor or hook runs from there.
		"~/.cache/p10k-*", "~/.cache/gitstatus/", "~/.cache/zsh/", "~/.cache/oh-my-zsh/", "~/.cache/fish/", "~/.cache/nvim/", "~/.cache/pre-commit/",
		// Inside the agents' folders: hooks, servers, plugins, programs.
		"~/.claude/settings.json", "~/.claude/settings.local.json", "~/.claude/hooks/", "~/.claude/plugins/", "~/.claude/local/",
		"~/.claude/commands/", "~/.claude/agents/", "~/.claude/skills/", "~/.claude/*.sh",
		"~/.codex/packages/", "~/.codex/config.toml", "~/.codex/hooks.json", "~/.codex/hooks/", "~/.codex/rules/",
		"~/.gemini/settings.json", "~/.gemini/extensions/", "~/.qwen/settings.json", "~/.qwen/extensions/",
		"~/.cursor/mcp.json", "~/.cursor/hooks.json", "~/.cursor/extensions/", "~/.copilot/mcp-config.json", "~/.copilot/hooks/",
		"~/.continue/config.ts", "~/.continue/config.json", "~/.continue/config.yaml",
		"~/.config/opencode/opencode.json", "~/.config/opencode/opencode.jsonc", "~/.config/opencode/config.json",
		"~/.config/opencode/plugin/", "~/.config/opencode/plugins/", "~/.config/opencode/tool/", "~/.config/opencode/tools/",
	}
}

// builtinAllowWrite is what package managers and agents must be able to write, where it exists.
// No folder on anybody's PATH is among them.
func builtinAllowWrite() []string {
	return []string{
		"~/.cache/", "~/Library/Caches/",
		// JavaScript.
		"~/.npm/", "~/.yarn/cache/", "~/.yarn/berry/", "~/.local/share/pnpm/store/", "~/.pnpm-store/", "~/.pnpm-state/", "~/.local/state/pnpm/", "~/.bun/install/cache/",
		// Go, Rust, C.
		"~/go/pkg/", "~/.cargo/registry/", "~/.cargo/git/", "~/.cargo/.package-cache", "~/.cargo/.package-cache-mutate", "~/.cargo/.global-cache", "~/.ccache/",
		// JVM, .NET.
		"~/.m2/repository/", "~/.gradle/caches/", "~/.gradle/wrapper/", "~/.gradle/daemon/", "~/.gradle/native/", "~/.gradle/workers/", "~/.gradle/.tmp/",
		"~/.ivy2/", "~/.sbt/boot/", "~/.konan/", "~/.nuget/packages/", "~/.local/share/NuGet/",
		// Python, Ruby, PHP, Elixir, Haskell, Dart, Terraform.
		"~/.local/share/jupyter/runtime/", "~/.bundle/cache/", "~/.composer/cache/", "~/.hex/packages/", "~/.cabal/packages/", "~/.cabal/store/",
		"~/.pub-cache/hosted/", "~/.pub-cache/git/", "~/.terraform.d/plugin-cache/",
		// Agents.
		"~/.claude/", "~/.claude.json", "~/.claude.json.backup", "~/.local/state/claude/",
		"~/.codex/", "~/.gemini/", "~/.qwen/", "~/.copilot/", "~/.cursor/", "~/.config/cursor/", "~/.continue/", "~/.aider/", "~/.cline/", "~/.pi/",
		"~/.config/opencode/", "~/.local/share/opencode/", "~/.local/state/opencode/",
		"~/.local/share/amp/", "~/.local/state/amp/", "~/.local/share/goose/", "~/.local/state/goose/", "~/.local/share/crush/", "~/.local/state/crush/",
		"~/.factory/", "~/.augment/", "~/.kiro/", "~/.local/share/kiro-cli/",
	}
}

// builtinDenyEnv are variables that hold secrets of clouds, registries and databases. The keys
// that agents use to reach their own model (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY,
// CLAUDE_CODE_OAUTH_TOKEN, ...) must pass.
func builtinDenyEnv() []string {
	return []string{
		// By their form.
		"*_PASSWORD", "*_PASSWD", "*_PASSPHRASE", "*_SECRET", "*_SECRET_KEY", "*_PRIVATE_KEY", "PASSWORD", "PASSWD", "SECRET", "SECRET_KEY",
		"*_SECRET_ACCESS_KEY", "*_CONNECTION_STRING",
		// Clouds.
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AZURE_CLIENT_SECRET", "AZURE_STORAGE_*", "AZURE_DEVOPS_EXT_PAT", "ARM_CLIENT_SECRET", "ARM_ACCESS_KEY", "ARM_SAS_TOKEN",
		"GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "GCP_CREDENTIALS", "GCP_SA_KEY", "CLOUDSDK_AUTH_*",
		"DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN", "DO_API_TOKEN", "HCLOUD_TOKEN", "LINODE_TOKEN", "LINODE_CLI_TOKEN", "HEROKU_API_KEY", "FLY_API_TOKEN", "FLY_ACCESS_TOKEN",
		"CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY", "CF_API_TOKEN", "CF_API_KEY", "VERCEL_TOKEN", "NETLIFY_AUTH_TOKEN", "RENDER_API_KEY", "RAILWAY_TOKEN", "SUPABASE_ACCESS_TOKEN",
		"SUPABASE_SERVICE_ROLE_KEY", "VAULT_TOKEN", "CONSUL_HTTP_TOKEN", "NOMAD_TOKEN", "TFE_TOKEN", "TF_TOKEN_*", "PULUMI_ACCESS_TOKEN", "ALICLOUD_ACCESS_KEY", "OCI_CLI_KEY_CONTENT",
		// Code hosts and registries.
		"GITHUB_TOKEN", "GH_TOKEN", "GITHUB_PAT", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "HOMEBREW_GITHUB_API_TOKEN", "GITLAB_TOKEN", "GITLAB_PRIVATE_TOKEN", "GL_TOKEN",
		"CI_JOB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "BITBUCKET_TOKEN", "BITBUCKET_APP_PASSWORD", "GITEA_TOKEN",
		"NPM_TOKEN", "NPM_AUTH_TOKEN", "NODE_AUTH_TOKEN", "npm_config_*auth*", "YARN_NPM_AUTH_*", "PYPI_TOKEN", "PYPI_API_TOKEN", "POETRY_PYPI_TOKEN_*", "UV_PUBLISH_TOKEN",
		"CARGO_REGISTRY_TOKEN", "CARGO_REGISTRIES_*_TOKEN", "GEM_HOST_API_KEY", "RUBYGEMS_API_KEY", "NUGET_API_KEY", "HEX_API_KEY", "COMPOSER_AUTH", "DOCKER_AUTH_CONFIG",
		"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "JFROG_ACCESS_TOKEN", "ARTIFACTORY_*KEY", "ARTIFACTORY_*TOKEN",
		// Databases and queues.
		"DATABASE_URL", "*_DATABASE_URL", "DATABASE_URI", "POSTGRES_URL", "POSTGRESQL_URL", "MYSQL_URL", "MONGO_URL", "MONGODB_URI", "MONGO_URI", "REDIS_URL", "AMQP_URL", "RABBITMQ_URL",
		"PGPASSWORD", "MYSQL_PWD", "SQLALCHEMY_DATABASE_URI", "*_DSN",
		// Services.
		"STRIPE_*KEY", "TWILIO_AUTH_TOKEN", "SENDGRID_API_KEY", "MAILGUN_API_KEY", "SLACK_*TOKEN", "SLACK_WEBHOOK_URL", "DISCORD_TOKEN", "DISCORD_BOT_TOKEN", "TELEGRAM_BOT_TOKEN",
		"SENTRY_AUTH_TOKEN", "DD_API_KEY", "DD_APP_KEY", "DATADOG_API_KEY", "NEW_RELIC_*KEY", "GRAFANA_*TOKEN", "SNYK_TOKEN", "SONAR_TOKEN", "CODECOV_TOKEN", "JIRA_API_TOKEN", "ATLASSIAN_API_TOKEN",
		"LINEAR_API_KEY", "NOTION_TOKEN", "NOTION_API_KEY",
		// Password managers, and agents whose sockets are out of reach anyway.
		"BW_SESSION", "OP_SESSION_*", "OP_SERVICE_ACCOUNT_TOKEN", "OP_CONNECT_TOKEN", "SOPS_AGE_KEY", "ANSIBLE_VAULT_*",
		"SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY",
		// The agents' own.
		"!CLAUDE_CODE_*", "!SENTRY_DSN",
	}
}

// BuiltinDenyWrite is the built-in part of deny_write, for callers that treat the user's own
// rules differently.
func BuiltinDenyWrite() []string { return builtinDenyWrite() }

// BuiltinAllowWrite is that of allow_write.
func BuiltinAllowWrite() []string { return builtinAllowWrite() }
