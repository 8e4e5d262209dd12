package policy

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// usualPlaces are searched beside PATH: a payload sets its own PATH.
var usualPlaces = []string{
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
	"/snap/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin", "/run/current-system/sw/bin",
	"~/.local/bin", "~/bin", "~/go/bin", "~/.cargo/bin", "~/.nix-profile/bin", "~/.npm-global/bin",
}

// multiCall are programs that are many: what they do depends on the name by
// which they are called, so that denying one name must leave the others alone.
var multiCall = []string{"busybox", "toybox", "coreutils", "uutils", "sbase-box", "ubase-box", "box", "snap", "ubuntu-core-launcher", "mise", "asdf", "volta-shim", "pyenv", "rbenv"}

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
		real, st, err := realPath(d)
		if err == nil && isDir(st) && !slices.Contains(out, real) {
			out = append(out, real)
		}
	}
	return out
}

// programs lists every program that a rule without a sub-command names.
func (p *Policy) programs() (out []Entry) {
	names := wholeNames(p.config.DenyExec)
	if len(names) == 0 {
		return nil
	}
	dirs := p.folders()
	for _, name := range names {
		if filepath.IsAbs(name) {
			out = append(out, program(name, name, dirs)...)
		}
		for _, dir := range dirs {
			out = append(out, program(filepath.Join(dir, filepath.Base(name)), name, dirs)...)
		}
	}
	return out
}

// wholeNames are the rules that deny a program altogether.
func wholeNames(rules []string) (out []string) {
	for _, r := range rules {
		if f := strings.Fields(r); len(f) == 1 {
			out = append(out, f[0])
		}
	}
	return out
}

// program gives what the stub has to cover for a denied name at path: itself
// and, when it is a link to a program that has no other names, that program.
func program(path, name string, dirs []string) []Entry {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || isDir(st) {
		return nil
	}
	dir, err := realDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	out := []Entry{{Path: filepath.Join(dir, filepath.Base(path)), Rule: name}}
	if !isLink(st) {
		return out
	}
	real, st, err := realPath(path)
	if err != nil || isDir(st) || manyNames(real, st, name, dirs) {
		return out
	}
	return append(out, Entry{Path: real, Rule: name})
}

func (p *Policy) addBlocked(e Entry) {
	if p.visible(e.Path) && !slices.ContainsFunc(p.Blocked, func(b Entry) bool { return b.Path == e.Path }) {
		p.Blocked = append(p.Blocked, e)
	}
}

// manyNames says that a program answers to other names than the denied one.
func manyNames(real string, st unix.Stat_t, name string, dirs []string) bool {
	base := filepath.Base(real)
	if base == name || strings.HasPrefix(base, name+".") || strings.HasPrefix(base, name+"-") {
		return false
	}
	for _, m := range multiCall {
		if base == m || strings.HasPrefix(base, m+"-") || strings.HasPrefix(base, m+".") {
			return true
		}
	}
	return st.Nlink > 1 || linkedByOthers(real, name, dirs)
}

// linkedByOthers looks whether another name in the folders of programs leads to
// the same file.
func linkedByOthers(real, name string, dirs []string) bool {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink == 0 || e.Name() == name {
				continue
			}
			if to, _, err := realPath(filepath.Join(dir, e.Name())); err == nil && to == real {
				return true
			}
		}
	}
	return false
}

// ExecError says that the command asked for is denied.
type ExecError struct{ Rule string }

func (e *ExecError) Error() string { return fmt.Sprintf("blocked: '%s' is denied by policy", e.Rule) }

// CheckCommand judges the command of a run before anything is started: by the
// name it was called by, by the name of the file that it resolves to, and by
// its sub-command.
func (p *Policy) CheckCommand(name, path string, args []string) error {
	names := []string{filepath.Base(name)}
	real, _, err := realPath(path)
	if err == nil {
		names = append(names, filepath.Base(real))
	}
	for _, b := range p.Blocked {
		if b.Path == path || b.Path == real {
			return &ExecError{b.Rule}
		}
	}
	for _, rule := range p.config.DenyExec {
		f := strings.Fields(rule)
		if len(f) == 0 {
			continue
		}
		if !slices.Contains(names, f[0]) && f[0] != path && f[0] != real {
			continue
		}
		if hasSubcommand(args, f[1:]) {
			return &ExecError{rule}
		}
	}
	return nil
}

// hasSubcommand says whether the words of sub appear in order among the
// arguments that are not options. An option's value may stand between (`kubectl
// -n x delete`); what looks like a value is passed over, and so a sub-command
// that is really an argument of another one is refused too: the safe error.
func hasSubcommand(args, sub []string) bool {
	i := 0
	for _, a := range args {
		if i == len(sub) {
			break
		}
		if a == sub[i] {
			i++
		}
	}
	return i == len(sub)
}
