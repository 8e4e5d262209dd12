package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/guard"
)

// usualPlaces are searched beside PATH: a payload sets its own PATH.
var usualPlaces = []string{
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
	"/snap/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin", "/run/current-system/sw/bin",
	"~/.local/bin", "~/bin", "~/go/bin", "~/.cargo/bin", "~/.nix-profile/bin", "~/.npm-global/bin",
}

// folders gives the folders of programs, without symlinks, each once.
func (p *Policy) folders() (out []string) {
	list := append(filepath.SplitList(getenv(p.host.Env, "PATH")), usualPlaces...)
	for _, d := range list {
		if rest, ok := strings.CutPrefix(d, "~/"); ok {
			if p.Home == "" {
				continue
			}
			d = filepath.Join(p.Home, rest)
		}
		if !filepath.IsAbs(d) {
			d = filepath.Join(p.Dir, d)
		}
		real, st, err := p.realPath(d)
		if err == nil && isDir(st) && !slices.Contains(out, real) {
			out = append(out, real)
		}
	}
	return out
}

// commands makes the guard of deny_exec, and lists the programs to lay stubs
// over: those of rules without a sub-command.
func (p *Policy) commands() error {
	if len(p.config.DenyExec) == 0 {
		return nil
	}
	rules, err := guard.ParseRules(p.config.DenyExec, p.Home)
	if err != nil {
		return fmt.Errorf("deny_exec: %w", err)
	}
	dirs := p.folders()
	p.rules, p.execs = rules, guard.New(rules, dirs)
	whole := slices.DeleteFunc(slices.Clone(rules), func(r guard.Rule) bool { return !r.Whole() })
	for _, f := range guard.Find(whole, dirs) {
		p.addBlocked(Entry{Path: f.Path, Rule: f.Rule()})
		if f.Real != f.Path && !f.Many {
			p.addBlocked(Entry{Path: f.Real, Rule: f.Rule()})
		}
	}
	return nil
}

func (p *Policy) addBlocked(e Entry) {
	if p.visible(e.Path) && !slices.ContainsFunc(p.Blocked, func(b Entry) bool { return b.Path == e.Path }) {
		p.Blocked = append(p.Blocked, e)
	}
}

// Guard judges programs inside as CheckCommand does before; nil where no rule
// denies any.
func (p *Policy) Guard() *guard.Guard { return p.execs }

// ExecError says that the command asked for is denied.
type ExecError struct{ *guard.Denial }

func (e *ExecError) Error() string { return fmt.Sprintf("blocked: '%s' is denied by policy", e.What) }

// CheckCommand judges the command of a run before anything is started. Path is
// where its name leads, "" when nothing was found.
func (p *Policy) CheckCommand(name, path string, args []string) error {
	if p.execs == nil {
		return nil
	}
	c := guard.Call{Path: path, Args: guard.Words(append([]string{name}, args...)), Open: p.execs.LookAt}
	if path == "" {
		c.Path = name
	} else if f, err := p.execs.LookAt(path); err == nil {
		c.File = f
	}
	if d := p.execs.Judge(c); d != nil {
		return &ExecError{d}
	}
	for _, b := range p.Blocked {
		if b.Path == path || b.Path == c.File.Path {
			return &ExecError{&guard.Denial{What: b.Rule, Reason: "deny_exec, as " + path}}
		}
	}
	return nil
}
