package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// Seat is what the profile of a run has to know beside its plan.
type Seat struct {
	Tmp   string // the run's own folder for temporary files
	TTY   string // the payload's terminal, "" without one
	Proxy uint16 // where the gate listens, 0 for none
}

// Seatbelt writes the plan in the language of macOS's sandbox (SBPL), for
// sandbox-exec(1). It is text alone, so that it can be tested on any system.
//
// Everything is denied that is not named. Of what is named, the last rule that
// matches decides; but a rule without a filter does not take back one that has
// one, and a rule for one operation (file-read-data) comes before rules for its
// group (file-read*). Apple documents none of it; those who measured it do:
// github.com/microsoft/mxc pull 754, github.com/GreyhavenHQ/greywall pull 20,
// github.com/anthropic-experimental/sandbox-runtime. So that no reading of the
// order makes a difference, allows come first and have the plainest filters,
// and denies name the same operations and come last.
//
// Paths are compared as the kernel has them, without symlinks. The usual volume
// knows no case; see match.Regex.
func (p *Plan) Seatbelt(s Seat) string {
	b := &profile{}
	b.line("(version 1)")
	b.line("(deny default)")
	b.processes()
	b.services()
	b.reads(p, s)
	b.writes(p, s)
	b.terminal(s.TTY)
	b.network(p, s)
	b.denies(p)
	b.deniesByName(p.Names)
	return b.String()
}

type profile struct{ strings.Builder }

func (b *profile) line(format string, a ...any) { fmt.Fprintf(b, format+"\n", a...) }

// rule writes operations and the filters of which any will do; none for none.
func (b *profile) rule(what string, filters []string) {
	if len(filters) > 0 {
		b.line("(%s\n  %s)", what, strings.Join(filters, "\n  "))
	}
}

// processes may be started, and see and signal each other. Programs that are
// setuid are not started by Seatbelt itself.
func (b *profile) processes() {
	b.line("; processes")
	b.line("(allow process-exec)")
	b.line("(allow process-fork)")
	b.line("(allow process-info* (target same-sandbox))")
	b.line("(allow signal (target same-sandbox))")
	b.line("; what a runtime asks of the machine; not the processes of others (kern.proc, kern.procargs2)")
	b.line("(allow sysctl-read")
	for _, name := range []string{"hw.", "machdep.cpu.", "kern.os"} {
		b.line("  (sysctl-name-prefix %s)", sbpl(name))
	}
	for _, name := range []string{"kern.argmax", "kern.hostname", "kern.maxfiles", "kern.maxfilesperproc", "kern.maxproc", "kern.ngroups",
		"kern.secure_kernel", "kern.tcsm_available", "kern.tcsm_enable", "kern.usrstack64", "kern.version", "kern.boottime", "kern.clockrate",
		"machdep.ptrauth_enabled", "security.mac.lockdown_mode_state", "sysctl.proc_cputype", "vm.loadavg", "vm.pagesize"} {
		b.line("  (sysctl-name %s)", sbpl(name))
	}
	b.line(")")
}

// services: the user's name, time and log, changes of files. What is left out on
// purpose: securityd (the keychain), trustd (fetches what a certificate names),
// launchd, LaunchServices and Apple events (start programs outside), pasteboard,
// cfprefsd, mDNSResponder (questions carry data out). Docs: macos.md.
func (b *profile) services() {
	b.line("; services of the system")
	var names []string
	for _, name := range []string{"com.apple.system.opendirectoryd.libinfo", "com.apple.system.opendirectoryd.membership", "com.apple.bsd.dirhelper",
		"com.apple.system.notification_center", "com.apple.system.logger", "com.apple.logd", "com.apple.FSEvents"} {
		names = append(names, "(global-name "+sbpl(name)+")")
	}
	b.rule("allow mach-lookup", names)
	b.line("(allow ipc-posix-sem)")
	b.line("(allow ipc-posix-shm-read-data ipc-posix-shm-write-create ipc-posix-shm-write-unlink")
	b.line("  (ipc-posix-name-regex %s))", sbpl(`^/(psm_|__KMP_REGISTERED_LIB_)`)) // Python's and OpenMP's
}

// reads: all that the user may read, but for devices and the temporary files of
// others. What is denied follows at the end.
func (b *profile) reads(p *Plan, s Seat) {
	b.line("; reading")
	b.line("(allow file-read*)")
	b.line("(deny file-read-data (subpath \"/dev\"))")
	var devices []string
	for _, d := range []string{"/dev", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/dtracehelper", "/dev/autofs_nowait",
		"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
		devices = append(devices, literalPath(d))
	}
	b.rule("allow file-read-data", append(devices, subpath("/dev/fd")))
	b.rule("deny file-read-data file-read-xattr", p.paths(subpath, Scratch))
	var open []string
	for _, step := range p.Steps {
		if (step.Kind == Bind || step.Kind == Show) && p.inScratch(step.Path) {
			open = append(open, opened(step))
		}
	}
	b.rule("allow file-read-data file-read-xattr", append(open, subpath(s.Tmp)))
}

func (p *Plan) inScratch(path string) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == Scratch && strings.HasPrefix(path, s.Path+"/") })
}

// writes: what the plan opens.
func (b *profile) writes(p *Plan, s Seat) {
	b.line("; writing")
	b.rule("allow file-write-data file-ioctl", []string{literalPath("/dev/null"), literalPath("/dev/zero"), literalPath("/dev/tty"), literalPath("/dev/ptmx"), literalPath("/dev/dtracehelper"), subpath("/dev/fd")})
	open := []string{subpath(s.Tmp)}
	pinned := []string{literalPath(s.Tmp)}
	for _, step := range p.Steps {
		switch step.Kind {
		case Bind:
			open = append(open, opened(step))
			if step.Mode == ModeDir {
				pinned = append(pinned, literalPath(step.Path))
			}
		case Pin:
			pinned = append(pinned, literalPath(step.Path))
		}
	}
	b.rule("allow file-write*", open)
	b.rule("allow file-write-create", p.paths(literalPath, Make))
	// What leads to a denied or protected name stays where it is, or the name would be another.
	var ways []string
	for _, n := range p.Names {
		ways = append(ways, n.Ways...)
	}
	for _, step := range p.Steps {
		if slices.Contains([]Kind{Mask, Hide, Protect, Text}, step.Kind) {
			pinned = append(pinned, p.above(step.Path)...)
		}
	}
	slices.Sort(pinned)
	slices.Sort(ways)
	b.rule("deny file-write-unlink", append(slices.Compact(pinned), anyOf(slices.Compact(ways), "$")...))
	b.line("; letters beyond ASCII that are the same as ASCII to a volume without case, and such as HFS+ passes over")
	b.rule("deny file-write-create", []string{regex("(" + strings.Join(confusing, "|") + ")")})
}

// confusing are letters that fold into ASCII, and characters that are none.
var confusing = []string{"\u017f", "\u212a", "\ufb00", "\ufb01", "\ufb02", "\ufb03", "\ufb04", "\ufb05", "\ufb06",
	"\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e",
	"\u206a", "\u206b", "\u206c", "\u206d", "\u206e", "\u206f", "\ufeff"}

// above are the folders on the way to a path, below a writable one.
func (p *Plan) above(path string) (out []string) {
	root := ""
	for _, s := range p.Steps {
		if s.Kind == Bind && s.Mode == ModeDir && strings.HasPrefix(path, s.Path+"/") && (root == "" || len(s.Path) < len(root)) {
			root = s.Path
		}
	}
	if root == "" {
		return nil
	}
	for at := path[:strings.LastIndexByte(path, '/')]; len(at) > len(root); at = at[:strings.LastIndexByte(at, '/')] {
		out = append(out, literalPath(at))
	}
	return out
}

// terminal opens the payload's own, and those that it makes. The terminals of
// others have names of the same form, and can be typed into.
func (b *profile) terminal(tty string) {
	b.line("; terminals")
	b.line("(allow pseudo-tty)")
	if tty != "" {
		b.rule("allow file-read-data file-write-data file-ioctl", []string{literalPath(tty)})
	}
	b.line("(allow file-read-data file-write-data file-ioctl")
	b.line("  (require-all (regex %s) (extension \"com.apple.sandbox.pty\")))", sbpl("^/dev/ttys[0-9]+$"))
}

// network: Seatbelt knows two remote hosts, "*" and "localhost".
func (b *profile) network(p *Plan, s Seat) {
	b.line("; network")
	b.line("(allow system-socket (socket-domain AF_UNIX))")
	own := []string{s.Tmp, p.project()}
	for _, dir := range own {
		if dir != "" {
			b.line("(allow network-bind (local unix-socket %s))", subpath(dir))
			b.line("(allow network-outbound (remote unix-socket %s))", subpath(dir))
		}
	}
	if !p.OwnNet {
		b.line("(allow network-outbound (remote ip \"*:*\"))")
		b.line("(allow network-bind (local ip \"*:*\"))")
		b.line("(allow network-inbound (local ip \"*:*\"))")
		b.line("(allow network-outbound (literal \"/private/var/run/mDNSResponder\"))")
		b.line("(allow system-socket)")
		b.rule("allow mach-lookup", []string{`(global-name "com.apple.trustd.agent")`, `(global-name "com.apple.networkd")`, `(global-name "com.apple.ocspd")`,
			`(global-name "com.apple.SystemConfiguration.DNSConfiguration")`, `(global-name "com.apple.SystemConfiguration.configd")`})
		b.line("(allow sysctl-read (sysctl-name-prefix \"net.routetable.\"))")
		return
	}
	var out []string
	if s.Proxy != 0 {
		out = append(out, local("remote", s.Proxy))
	}
	if p.Gate != nil {
		for _, port := range p.Gate.Localhost {
			out = append(out, local("remote", port))
		}
	}
	var in []string
	for _, port := range p.Publish {
		out, in = append(out, local("remote", port.Inside)), append(in, local("local", port.Inside))
	}
	b.rule("allow network-outbound", out)
	b.rule("allow network-bind", in)
	b.rule("allow network-inbound", in)
}

func local(side string, port uint16) string {
	return fmt.Sprintf("(%s ip \"localhost:%d\")", side, port)
}

// project is the first folder that is open for writing.
func (p *Plan) project() string {
	for _, s := range p.Steps {
		if s.Kind == Bind && s.Mode == ModeDir && s.Why == "the project" {
			return s.Path
		}
	}
	return ""
}

// unreadable are the operations that a denied file is kept from. Its size and
// times can be seen: programs that list a folder take an error there for a broken
// disk.
const unreadable = "deny file-read-data file-read-xattr file-write*"

// denies are the plan's, for what is there.
func (b *profile) denies(p *Plan) {
	both := func(path string) string { return literalPath(path) + " " + subpath(path) }
	b.line("; what stays as it is")
	b.rule("deny file-write*", p.paths(both, Protect, Text))
	b.line("; what cannot be read")
	b.rule(unreadable+" network-bind network-outbound", p.paths(both, Mask, Hide))
	b.line("; programs")
	b.rule("deny process-exec", p.paths(literalPath, Block))
}

// deniesByName are for what may come into being.
func (b *profile) deniesByName(names []Name) {
	var protect, block, mask []string
	groups, order := map[string]*group{}, []*group{}
	for _, n := range names {
		switch {
		case n.Kind == Block:
			block = append(block, regex(n.Body))
		case n.Kind == Protect:
			protect = append(protect, n.Body)
		case n.Fixed != "" && len(n.Back) == 0: // spelled as tools spell it
			mask = append(mask, literalPath(n.Fixed)+" "+subpath(n.Fixed))
		default:
			key := fmt.Sprint(n.DirOnly, n.Back)
			if groups[key] == nil {
				groups[key] = &group{dirOnly: n.DirOnly, back: n.Back}
				order = append(order, groups[key])
			}
			groups[key].bodies = append(groups[key].bodies, n.Body)
		}
	}
	for _, g := range order {
		mask = append(mask, g.filters()...)
	}
	b.line("; the same by name, for what comes into being")
	b.rule("deny file-write*", append(anyOf(protect, "$"), anyOf(protect, "/")...))
	b.rule(unreadable, mask)
	b.rule("deny process-exec", block)
}

// A group is the rules from which the same is taken back.
type group struct {
	bodies  []string
	dirOnly bool
	back    []Name
}

func (g *group) filters() (out []string) {
	var not, notBelow, notDir []string
	for _, back := range g.back {
		notBelow = append(notBelow, back.Body)
		if back.DirOnly {
			notDir = append(notDir, back.Body)
		} else {
			not = append(not, back.Body)
		}
	}
	for _, here := range anyOf(g.bodies, "$") {
		filters := []string{here}
		if g.dirOnly {
			filters = append(filters, "(vnode-type DIRECTORY)")
		}
		for _, r := range anyOf(not, "$") {
			filters = append(filters, "(require-not "+r+")")
		}
		for _, r := range anyOf(notDir, "$") {
			filters = append(filters, "(require-not (require-all "+r+" (vnode-type DIRECTORY)))")
		}
		out = append(out, all(filters))
	}
	for _, below := range anyOf(g.bodies, "/") {
		filters := []string{below}
		for _, r := range anyOf(notBelow, "/") {
			filters = append(filters, "(require-not "+r+")")
		}
		out = append(out, all(filters))
	}
	return out
}

// anyOf puts expressions of paths together, as many as make one of a good size.
func anyOf(bodies []string, end string) (out []string) {
	const most = 1 << 10
	for i := 0; i < len(bodies); {
		n, size := i+1, len(bodies[i])
		for ; n < len(bodies) && size+len(bodies[n]) < most; n++ {
			size += len(bodies[n])
		}
		if body := strings.Join(bodies[i:n], "|"); n-i > 1 {
			out = append(out, regex("^("+body+")"+end))
		} else {
			out = append(out, regex("^"+body+end))
		}
		i = n
	}
	return out
}

func all(filters []string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	return "(require-all " + strings.Join(filters, " ") + ")"
}

// paths writes a filter for every step of some kinds.
func (p *Plan) paths(filter func(string) string, kinds ...Kind) (out []string) {
	for _, s := range p.Steps {
		if slices.Contains(kinds, s.Kind) {
			out = append(out, filter(s.Path))
		}
	}
	return out
}

func opened(s Step) string {
	if s.Mode == ModeDir {
		return subpath(s.Path)
	}
	return literalPath(s.Path)
}

func literalPath(path string) string { return "(literal " + sbpl(path) + ")" }
func subpath(path string) string     { return "(subpath " + sbpl(path) + ")" }
func regex(expr string) string       { return "(regex " + sbpl(expr) + ")" }

// sbpl writes a string. SBPL is read by TinyScheme, where a backslash stands
// before a quote, another one, n, t, r, and x with two digits.
func sbpl(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
