// Package guard judges programs before they are executed: is this call one that
// deny_exec forbids?
//
// It goes by what a program is called (as the caller wrote it, by the name of
// the file that this leads to, by argv[0]), by what it is (the denied program's
// own file, or a copy of it), and by the words behind it. It follows a call to
// what it comes to: a script's interpreter, the program behind a loader, the
// applet of a program that is many.
//
// The check before a start and the one on every execve inside are this same
// code. It makes no system call of its own on behalf of a caller: whoever asks
// gives the words, and opens files the way the caller sees them. What it
// promises is a guard rail and no boundary: a program that is rebuilt, or
// written anew in any interpreter, is another program.
package guard

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Guard is deny_exec on one machine. Its methods can be called from any
// goroutine.
type Guard struct {
	rules []Rule
	dirs  []string // folders of programs

	learnOnce sync.Once
	known     atomic.Pointer[[]*known] // the programs that rules name
	mu        sync.Mutex
	facts     map[ID]*Facts
}

// New is a guard for the rules; dirs are the folders in which programs lie.
func New(rules []Rule, dirs []string) *Guard {
	return &Guard{rules: rules, dirs: dirs, facts: map[ID]*Facts{}}
}

// A Call is one execve, as far as it matters.
type Call struct {
	Path string // as it was written; "" for the file of a descriptor
	File File
	Args Args // argv[0] is the first
	// Open looks at another file the way the caller would see it.
	Open func(path string) (File, error)

	started bool // by the kernel, as what a program's header names: it loads that program, and no other
}

// A File is what a path led to.
type File struct {
	Path   string // without symlinks
	*Facts        // nil: not known
}

// Facts are what the guard knows of a file's contents.
type Facts struct {
	is         []string // first words of rules whose program this is, or a copy of
	many       bool     // a program of many names
	loader     bool     // executes its argument
	searches   bool     // see image
	header     string   // see image
	interp     string   // a script's interpreter
	interpArg  string
	unreadable bool   // by the wish of a caller who owns it
	installed  string // where, when it is this machine's own program
}

// Args gives the words of a call, one at a time: most are judged by the first
// few. It is false behind the last.
type Args func(i int) (word string, ok bool)

// Words are Args that are there.
func Words(list []string) Args {
	return func(i int) (string, bool) {
		if i >= len(list) {
			return "", false
		}
		return list[i], true
	}
}

// from leaves the first n words out.
func (a Args) from(n int) Args {
	return func(i int) (string, bool) { return a(i + n) }
}

// after puts words before the others.
func (a Args) after(words ...string) Args {
	return func(i int) (string, bool) {
		if i < len(words) {
			return words[i], true
		}
		return a(i - len(words))
	}
}

// A Denial says what was denied.
type Denial struct {
	What   string // the rule, as its writer wrote it
	Reason string // what the call had to do with it
}

// mostHops is how often a call may lead to another: the kernel follows five
// interpreters, and a loader may stand before each.
const mostHops = 10

// Judge says whether a call is denied, and nil when it is not.
func (g *Guard) Judge(c Call) *Denial {
	first := c.Path
	for range mostHops {
		if d := g.one(&c); d != nil {
			if c.Path != first {
				d.Reason += ", by way of " + first
			}
			return d
		}
		next, ok := c.follow()
		if !ok {
			return nil
		}
		c = next
	}
	return nil // the kernel does not go that far (ELOOP)
}

// one judges a call by itself.
func (g *Guard) one(c *Call) *Denial {
	for _, a := range g.acts(c) {
		for i := range g.rules {
			if g.rules[i].denies(&a) {
				return &Denial{What: g.rules[i].Text, Reason: c.reason(&g.rules[i])}
			}
		}
	}
	if c.File.Facts != nil && c.File.unreadable {
		return &Denial{What: path.Base(c.File.Path), Reason: "a program that nobody may read cannot be told from a denied one"}
	}
	return nil
}

// reason is for whoever reads the audit log.
func (c *Call) reason(r *Rule) string {
	name := c.Path
	if name == "" {
		name = c.File.Path
	}
	if path.Base(name) != r.base() && c.File.Facts != nil && r.isOneOf(c.File.is) {
		return "deny_exec, " + name + " is " + r.base()
	}
	return "deny_exec, as " + name
}

// act is one of the programs that a call may come to.
type act struct {
	names []string // by any of which a rule may mean it
	paths []string
	is    []string
	args  Args // behind the name
}

// acts gives them: the program itself and, where it is many, the one that its
// first argument names.
func (g *Guard) acts(c *Call) []act {
	a := act{args: c.Args.from(1)}
	many := false
	add := func(name string) {
		name = strings.TrimPrefix(path.Base(name), "-") // a login shell's
		many = many || ofMany(name)
		a.names = append(a.names, name)
	}
	for _, p := range []string{c.Path, c.File.Path} {
		if p != "" {
			p = strings.TrimSuffix(p, " (deleted)")
			a.paths = append(a.paths, path.Clean(p))
			add(strings.TrimPrefix(path.Base(p), "memfd:"))
		}
	}
	if c.File.Facts != nil {
		a.is, many = c.File.is, many || c.File.many
	}
	// What argv[0] says matters to programs of many names, and git pushes as
	// git-push. Which of the installed ones are that is known, and the word need
	// not be fetched.
	if many || c.File.Facts == nil || c.File.installed == "" || slices.Contains(a.names, "git") {
		if zero, ok := c.Args(0); ok && zero != "" {
			add(zero)
		}
	}
	if known := g.known.Load(); known != nil {
		for _, k := range *known {
			if !k.Many && k.Real == c.File.Path { // the stub lies over it
				a.is = append(a.is[:len(a.is):len(a.is)], k.name)
			}
		}
	}
	out := []act{a}
	for i := 1; many; i++ {
		word, ok := c.Args(i)
		if !ok {
			break
		}
		for _, option := range []string{"--coreutils-prog=", "--coreutils-prog-shebang="} {
			word = strings.TrimPrefix(word, option)
		}
		out = append(out, act{names: []string{path.Base(word)}, args: c.Args.from(i + 1)})
		many = ofMany(path.Base(word)) // busybox busybox wget
	}
	return out
}

// follow gives the call that the kernel, or a loader, makes of this one.
func (c *Call) follow() (next Call, ok bool) {
	f := c.File.Facts
	switch {
	case f == nil:
		return next, false
	case f.interp != "": // binfmt_script
		script := c.Path
		if script == "" {
			script = c.File.Path
		}
		words := []string{f.interp, f.interpArg, script}
		if f.interpArg == "" {
			words = []string{f.interp, script}
		}
		next = Call{Path: f.interp, Args: c.Args.from(1).after(words...), Open: c.Open}
	case f.header != "" && !c.started:
		next = Call{Path: f.header, Args: c.Args, Open: c.Open, started: true}
	case f.loader && !c.started:
		name, at, dirs := loaded(c.Args)
		if name == "" {
			return next, false
		}
		next = Call{Path: name, Args: c.Args.from(at), Open: c.Open}
		if !strings.Contains(name, "/") {
			next.File = c.search(name, dirs, f.searches)
			return next, true
		}
	default:
		return next, false
	}
	file, err := c.Open(next.Path)
	switch {
	case err == nil:
		next.File = file
	case !errors.Is(err, fs.ErrNotExist): // or the kernel will not find it either
		next.File = File{Path: next.Path, Facts: &Facts{unreadable: true}}
	}
	return next, true
}

// search looks for a program without a slash where a loader would. What glibc's
// finds in other ways (LD_LIBRARY_PATH, its cache) are libraries, but for those
// who want it so: a program that is not found is as one that cannot be read.
func (c *Call) search(name string, dirs []string, far bool) File {
	for _, dir := range append(dirs, ".") {
		if f, err := c.Open(path.Join(dir, name)); err == nil {
			return f
		}
	}
	return File{Path: name, Facts: &Facts{unreadable: far}}
}

// loaded reads the words of ld.so(8), glibc's or musl's: the program, where it
// stands, and the folders that are searched for one without a slash.
func loaded(args Args) (name string, at int, dirs []string) {
	for i := 1; ; i++ {
		word, ok := args(i)
		if !ok {
			return "", 0, nil
		}
		if !strings.HasPrefix(word, "--") {
			return word, i, dirs
		}
		option, value, given := strings.Cut(word, "=")
		switch option {
		case "--library-path", "--preload", "--argv0", "--audit", "--inhibit-rpath", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask":
			if !given {
				i++
				value, _ = args(i)
			}
			if option == "--library-path" {
				dirs = append(dirs, strings.FieldsFunc(value, func(r rune) bool { return r == ':' || r == ';' })...)
			}
		}
	}
}

// multiCall are programs that are many: what they do depends on the name by
// which they are called, so that denying one name must leave the others alone.
var multiCall = []string{"busybox", "toybox", "coreutils", "uutils", "sbase-box", "ubase-box", "box", "snap", "ubuntu-core-launcher", "mise", "asdf", "volta-shim", "pyenv", "rbenv"}

// ofMany says that a program of this name is many.
func ofMany(name string) bool {
	for _, m := range multiCall {
		if rest, ok := strings.CutPrefix(name, m); ok && (rest == "" || rest[0] == '-' || rest[0] == '.' || rest[0] == '_') {
			return true
		}
	}
	return false
}
