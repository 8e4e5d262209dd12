package policy

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// alwaysNeeded are folders of the home without which common tools fail on a
// new account: compilers' caches, npm, Go's modules.
var alwaysNeeded = []string{".cache", ".npm", "go/pkg"}

// agentFolders are what agents make at their first start, by command.
var agentFolders = map[string][]string{
	"claude":       {".claude"},
	"claude-code":  {".claude"}, // npx @anthropic-ai/claude-code
	"codex":        {".codex"},
	"opencode":     {".local/share/opencode", ".local/state/opencode", ".config/opencode"},
	"gemini":       {".gemini"},
	"qwen":         {".qwen"},
	"cursor":       {".cursor"},
	"cursor-agent": {".cursor"},
	"copilot":      {".copilot"},
	"aider":        {".aider"},
	"cline":        {".cline"},
}

// needed adds folders that allow_write opens where they exist and that would
// be made now, if the home could be written. They are made for the time of the
// run and stay if something was put into them.
func (p *Policy) needed() {
	if p.Home == "" || below(p.Home, p.Project) || unix.Access(p.Home, unix.W_OK) != nil {
		return
	}
	list := slices.Clone(alwaysNeeded)
	for _, word := range p.host.Command {
		list = append(list, agentFolders[filepath.Base(word)]...)
	}
	for _, rel := range list {
		if slices.Contains(p.config.AllowWrite, "~/"+rel+"/") {
			p.need(rel)
		}
	}
}

func (p *Policy) need(rel string) {
	var missing []string
	at := p.Home
	for part := range strings.SplitSeq(rel, "/") {
		at = filepath.Join(at, part)
		var st unix.Stat_t
		err := unix.Lstat(at, &st)
		switch {
		case err == unix.ENOENT, err == nil && st.Mode == placeholderDir:
			missing = append(missing, at)
		case err != nil || !isDir(st) || len(missing) == 0 && unix.Access(at, unix.W_OK) != nil:
			return
		}
	}
	if len(missing) == 0 {
		return
	}
	for _, dir := range missing {
		if !slices.Contains(p.Made, dir) {
			p.Made = append(p.Made, dir)
		}
	}
	p.open(at, true, "allow_write ~/"+rel+"/")
}
