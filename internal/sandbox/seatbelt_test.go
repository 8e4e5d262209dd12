package sandbox

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/gate"
)

var update = flag.Bool("update", false, "write what the profiles are now")

// nasty holds what means something in SBPL, in TinyScheme's strings and in
// regular expressions.
const nasty = "/Users/ada/a \"b\" (c) \\d\n;e #|f|# $g^h*?[i]{j}+k.l/mü\u0308\t\x01"

// seatbeltPlans are one of each: no network, the gate, the host's.
func seatbeltPlans() map[string]*Plan {
	gated := &Plan{
		Dir: "/Users/ada/shop", OwnNet: true, Gate: &gate.Front{Variant: gate.Proxy, Localhost: []uint16{11434}},
		Publish: []gate.Port{{Outside: 3000, Inside: 3000}},
		Steps: []Step{
			{Kind: Root, Path: "/"}, {Kind: Dev, Path: "/dev"}, {Kind: Proc, Path: "/proc"},
			{Kind: Scratch, Path: "/private/tmp", Mode: 0o1777}, {Kind: Scratch, Path: "/private/var/folders/x/T", Mode: 0o700}, {Kind: Kit, Path: KitDir},
			{Kind: Make, Path: "/Users/ada/.npm"},
			{Kind: Bind, Path: "/Users/ada/.claude.json", Mode: ModeFile}, {Kind: Bind, Path: "/Users/ada/.npm", Mode: ModeDir},
			{Kind: Bind, Path: "/Users/ada/shop", Mode: ModeDir, Why: "the project"}, {Kind: Bind, Path: "/private/tmp/wanted", Mode: ModeDir},
			{Kind: Pin, Path: "/Users/ada/shop/.git"},
			{Kind: Protect, Path: "/Users/ada/shop/.git/config"}, {Kind: Protect, Path: "/Users/ada/shop/.git/hooks"},
			{Kind: Protect, Path: "/Users/ada/shop/.vscode", View: SocketView},
			{Kind: Mask, Path: "/Users/ada/shop/a/b/.env"}, {Kind: Hide, Path: "/Users/ada/.ssh"}, {Kind: Hide, Path: "/Users/ada/.aigate"},
			{Kind: Mask, Path: "/Users/ada/shop/agent.sock", Why: "socket of the host"},
			{Kind: Block, Path: "/usr/bin/curl"},
		},
		Names: []Name{
			{Kind: Mask, Body: `/Users/ada/shop(/[^/]+)*/\.[Ee][Nn][Vv]`},
			{Kind: Mask, Body: `/Users/ada/shop(/[^/]+)*/\.[Ee][Nn][Vv]\.[^/]*`, Back: []Name{{Body: `/Users/ada/shop(/[^/]+)*/\.env\.example`}}},
			{Kind: Mask, Body: `/Users/ada/shop(/[^/]+)*/secrets`, DirOnly: true},
			{Kind: Mask, Body: `/Users/ada/shop(/[^/]+)*/certs`, DirOnly: true, Back: []Name{{Body: `/Users/ada/shop/test/certs`, DirOnly: true}}},
			{Kind: Mask, Body: `/Users/ada/shop/deploy/key`, Ways: []string{`/Users/ada/shop/deploy`}},
			{Kind: Mask, Body: `/[Uu]sers/ada/\.gnupg`, Fixed: "/Users/ada/.gnupg"},
			{Kind: Protect, Body: `/Users/ada/shop/\.[Vv][Ss][Cc][Oo][Dd][Ee]`},
			{Kind: Protect, Body: `/Users/ada/shop/\.[Ee][Nn][Vv][Rr][Cc]`},
			{Kind: Block, Body: `/[Cc][Uu][Rr][Ll]$`},
		},
	}
	none := *gated
	none.Gate, none.Publish = nil, nil
	host := none
	host.OwnNet = false
	return map[string]*Plan{"gate": gated, "none": &none, "host": &host, "nasty": {
		OwnNet: true, Dir: nasty,
		Steps: []Step{{Kind: Bind, Path: nasty, Mode: ModeDir, Why: "the project"}, {Kind: Protect, Path: nasty + "/\"))(allow default)"},
			{Kind: Mask, Path: nasty + "/\\"}, {Kind: Mask, Path: nasty + "/\\\""}, {Kind: Hide, Path: nasty + "/e\u0301 \u00e9"}, {Kind: Block, Path: nasty + "/curl"}},
		Names: []Name{{Kind: Mask, Body: `/x"\\\(y\)`}},
	}}
}

var seat = Seat{Tmp: "/private/tmp/aigate-1", TTY: "/dev/ttys007", Proxy: 50123}

func TestSeatbeltGolden(t *testing.T) {
	for name, plan := range seatbeltPlans() {
		file := filepath.Join("testdata", "seatbelt", name+".sb")
		tried := withTries(*plan, seat.Tmp)
		got := tried.Seatbelt(seat)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what it was; look, and then: go test ./internal/sandbox -run Golden -update\n%s", file, got)
		}
	}
}

// What is not among these may not be known to every macOS that aigate is for; a
// profile with an unknown word is refused as a whole. All are in use by others:
// Chromium, openai/codex, anthropic-experimental/sandbox-runtime, microsoft/mxc.
var operations = strings.Fields(`default process-exec process-fork process-info* signal sysctl-read mach-lookup ipc-posix-sem
	ipc-posix-shm-read-data ipc-posix-shm-write-create ipc-posix-shm-write-unlink file-read* file-read-data file-read-xattr
	file-write* file-write-data file-write-create file-write-unlink file-ioctl pseudo-tty system-socket network-bind network-outbound network-inbound`)
var filterNames = strings.Fields(`target sysctl-name sysctl-name-prefix global-name ipc-posix-name-regex literal subpath regex require-all require-not
	vnode-type extension socket-domain local remote ip unix-socket`)

// an expr is a list, or a word, or a string.
type expr struct {
	list []expr
	word string
	text string
	kind byte // '(', 'w', '"'
}

// parseSBPL reads as TinyScheme does.
func parseSBPL(t testing.TB, s string) (out []expr) {
	t.Helper()
	for {
		var e expr
		var ok bool
		if e, s, ok = nextExpr(t, s); !ok {
			return out
		}
		out = append(out, e)
	}
}

func nextExpr(t testing.TB, s string) (e expr, rest string, ok bool) {
	t.Helper()
	for s != "" && strings.ContainsRune(" \n\t;", rune(s[0])) {
		if s[0] == ';' {
			_, s, _ = strings.Cut(s, "\n")
			continue
		}
		s = s[1:]
	}
	switch {
	case s == "":
		return e, "", false
	case s[0] == '(':
		e.kind, s = '(', s[1:]
		for {
			var inner expr
			if inner, s, ok = nextExpr(t, s); !ok {
				t.Fatal("a list without an end")
			}
			if inner.kind == ')' {
				return e, s, true
			}
			e.list = append(e.list, inner)
		}
	case s[0] == ')':
		return expr{kind: ')'}, s[1:], true
	case s[0] == '"':
		return stringExpr(t, s[1:])
	}
	n := strings.IndexAny(s, " \n\t()\";")
	return expr{kind: 'w', word: s[:n]}, s[n:], true
}

func stringExpr(t testing.TB, s string) (e expr, rest string, ok bool) {
	t.Helper()
	e.kind = '"'
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return e, s[i+1:], true
		case c != '\\':
			e.text += string([]byte{c})
		default:
			i++
			switch s[i] {
			case 'n':
				e.text += "\n"
			case 't':
				e.text += "\t"
			case 'r':
				e.text += "\r"
			case 'x':
				const digits = "0123456789abcdef"
				e.text += string([]byte{byte(strings.IndexByte(digits, s[i+1])<<4 | strings.IndexByte(digits, s[i+2]))})
				i += 2
			default:
				e.text += s[i : i+1]
			}
		}
	}
	t.Fatal("a string without an end")
	return e, "", false
}

// Whatever a path holds stays inside of its string.
func TestSeatbeltStrings(t *testing.T) {
	for name, plan := range seatbeltPlans() {
		var texts []string
		var look func(e expr)
		look = func(e expr) {
			if e.kind == '"' {
				texts = append(texts, e.text)
			}
			for n, in := range e.list {
				if n == 0 && in.kind == 'w' && !slices.Contains(filterNames, in.word) && in.word != "allow" && in.word != "deny" && in.word != "version" {
					t.Errorf("%s: unknown filter %q", name, in.word)
				}
				look(in)
			}
		}
		for n, e := range parseSBPL(t, plan.Seatbelt(seat)) {
			if e.kind != '(' || len(e.list) < 2 {
				t.Fatalf("%s: %v at the top", name, e)
			}
			if n > 0 {
				for _, op := range e.list[1:] {
					if op.kind == 'w' && !slices.Contains(operations, op.word) {
						t.Errorf("%s: unknown operation %q", name, op.word)
					}
				}
			}
			look(e)
		}
		for _, s := range plan.Steps {
			if s.Kind >= Bind && !slices.Contains(texts, s.Path) {
				t.Errorf("%s: %q is in no string", name, s.Path)
			}
		}
		for _, n := range plan.Names {
			if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, n.Body) || n.Fixed != "" && s == n.Fixed }) {
				t.Errorf("%s: %q is in no string", name, n.Body)
			}
		}
	}
}

// An act is what a process does.
type act struct {
	op, path string
	dir      bool
}

func latin(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

func (e expr) matches(a act) bool {
	switch e.list[0].word {
	case "literal":
		return a.path == e.list[1].text
	case "subpath":
		return a.path == e.list[1].text || strings.HasPrefix(a.path, e.list[1].text+"/")
	case "regex":
		return regexp.MustCompile("(?s)" + latin(e.list[1].text)).MatchString(latin(a.path))
	case "vnode-type":
		return a.dir && e.list[1].word == "DIRECTORY"
	case "require-not":
		return !e.list[1].matches(a)
	case "require-all":
		return !slices.ContainsFunc(e.list[1:], func(in expr) bool { return !in.matches(a) })
	case "remote", "local": // of a Unix socket, or "localhost:80"
		in := e.list[2]
		return e.list[1].word == "ip" && in.text == a.path || e.list[1].word == "unix-socket" && in.matches(a)
	}
	return false
}

// verdict reads a profile in one of the ways in which the order of rules has been
// described: the last that matches, whatever it is; or the last with a filter
// before those without; or those for the operation before those for its group.
func verdict(rules []expr, a act, way string) bool {
	group := ""
	for _, g := range []string{"file-read", "file-write"} {
		if strings.HasPrefix(a.op, g) {
			group = g + "*"
		}
	}
	rank, allowed := 0, false
	for _, r := range rules[1:] {
		var own, grouped, filtered, matched bool
		for _, e := range r.list[1:] {
			switch {
			case e.kind == 'w':
				own, grouped = own || e.word == a.op, grouped || e.word == group || e.word == "default"
			default:
				filtered = true
				matched = matched || e.matches(a)
			}
		}
		if !own && !grouped || filtered && !matched {
			continue
		}
		now := 1
		if way == "filtered first" && filtered {
			now = 2
		}
		if way == "operation first" && own {
			now = 2
		}
		if r.list[1].word == "default" {
			now = 0
		}
		if now >= rank {
			rank, allowed = now, r.list[0].word == "allow"
		}
	}
	return allowed
}

func TestSeatbeltVerdicts(t *testing.T) {
	const p = "/Users/ada/shop"
	type list = []act
	read := func(paths ...string) (out list) {
		for _, path := range paths {
			out = append(out, act{op: "file-read-data", path: path})
		}
		return out
	}
	write := func(paths ...string) (out list) {
		for _, path := range paths {
			for _, op := range []string{"file-write-data", "file-write-create", "file-write-unlink", "file-write-mode"} {
				out = append(out, act{op: op, path: path})
			}
		}
		return out
	}
	only := func(op string, paths ...string) (out list) {
		for _, path := range paths {
			out = append(out, act{op: op, path: path})
		}
		return out
	}
	allowed := slices.Concat(
		list{{op: "file-read-data", path: p + "/test/certs", dir: true}},
		read(p+"/test/certs/x"),
		read("/etc/hosts", "/Users/ada/notes", p+"/main.go", p+"/.envrcs", p+"/.env.example", p+"/x/.env.example", "/dev/null", "/dev/urandom", "/dev/ttys007", "/dev/fd/3",
			seat.Tmp+"/x", "/private/tmp/wanted/x", p+"/.git/config", p+"/secrets"),
		write(p+"/main.go", p+"/new/deep", seat.Tmp+"/x", "/Users/ada/.npm/x", "/private/tmp/wanted/x", "/Users/ada/.claude.json", p+"/.gitignore", p+"/.git/index"),
		only("file-read-metadata", p+"/.env", p+"/a/b/.env", "/Users/ada/.ssh", "/private/tmp/x"),
		only("process-exec", "/usr/bin/git", p+"/run", p+"/curlish"),
		only("file-write-create", "/Users/ada/.npm"),
		only("network-outbound", "localhost:50123", "localhost:11434", "localhost:3000", seat.Tmp+"/sock", p+"/own.sock"),
		only("network-bind", "localhost:3000", seat.Tmp+"/sock"),
		only("network-inbound", "localhost:3000"))
	denied := slices.Concat(
		list{{op: "file-read-data", path: p + "/certs", dir: true}},
		read(p+"/certs/x", p+"/y/test/certs/x"),
		read(p+"/.env", p+"/a/b/.env", p+"/new/.ENV", p+"/.env.local", p+"/.env/x", p+"/.env.local/.env.example", p+"/secrets/x", p+"/y/secrets/x", p+"/deploy/key",
			"/Users/ada/.ssh", "/Users/ada/.ssh/id", "/Users/ada/.gnupg", "/Users/ada/.gnupg/x", "/Users/ada/.aigate/config.yaml", "/private/tmp/other", "/private/tmp/aigate-2/x", "/private/var/folders/x/T/y",
			"/dev/ttys001", "/dev/disk0", "/dev/bpf0", "/dev/cu.modem", seat.Tmp+"/try.denied", seat.Tmp+"/try-named.abc"),
		list{{op: "file-read-data", path: p + "/secrets", dir: true}},
		write("/etc/hosts", "/Users/ada/.zshrc", "/Users/ada/shop2/x", "/Users/ada/.npmrc", "/private/tmp/other", "/private/tmp", p+"/.git/config", p+"/.git/hooks", p+"/.git/hooks/pre-commit",
			p+"/.vscode", p+"/.VSCode/tasks.json", p+"/.envRC", p+"/.env", p+"/new/.ENV", p+"/a/b/.env", seat.Tmp+"/policy.txt", seat.Tmp+"/try.kept", "/dev/disk0", "/dev/ttys001"),
		only("file-write-unlink", p, p+"/.git", p+"/a", p+"/a/b", p+"/deploy", "/Users/ada/.npm", seat.Tmp, "/private/tmp/wanted"),
		only("file-write-create", "/Users/ada/new", p+"/.v\u017fcode", p+"/con\ufb01g", p+"/.g\u200cit", seat.Tmp+".beside"),
		only("process-exec", "/usr/bin/curl", p+"/curl", "/opt/homebrew/bin/CURL"),
		only("file-link", p+"/x"), only("file-mount", "/"), only("lsopen", ""), only("job-creation", ""), only("appleevent-send", ""), only("mach-register", "x"),
		only("network-outbound", "localhost:80", "localhost:22", "*:443", p+"/agent.sock", "/private/var/run/docker.sock", "/private/var/run/mDNSResponder", "/Users/ada/.docker/run/docker.sock", "/private/tmp/com.apple.launchd.x/Listeners"),
		only("network-bind", "localhost:8080", "*:3000", "/private/tmp/other.sock"),
		only("network-inbound", "*:3000"), only("file-ioctl", "/dev/ttys001"))
	plan := withTries(*seatbeltPlans()["gate"], seat.Tmp)
	rules := parseSBPL(t, plan.Seatbelt(seat))
	for _, way := range []string{"last", "filtered first", "operation first"} {
		for want, acts := range map[bool]list{true: allowed, false: denied} {
			for _, a := range acts {
				if got := verdict(rules, a, way); got != want {
					t.Errorf("%s: %s %q allowed: %v", way, a.op, a.path, got)
				}
			}
		}
	}
}

// What the last stage tries before the start is refused by the profile, so that a
// start that is refused tells of the system and not of us.
func TestSeatbeltTries(t *testing.T) {
	ops := map[string]string{"read": "file-read-data", "write": "file-write-data", "create": "file-write-create", "rename": "file-write-unlink", "connect": "network-outbound"}
	for name, p := range seatbeltPlans() {
		plan := withTries(*p, seat.Tmp)
		rules := parseSBPL(t, plan.Seatbelt(seat))
		checks := tries(&plan, seat.Tmp, 1)
		for _, c := range checks {
			path := c.Path
			if c.Op == "connect" {
				path = "localhost:" + path
			}
			if op := ops[c.Op]; op != "" && verdict(rules, act{op: op, path: path}, "last") {
				t.Errorf("%s: %s %s is allowed", name, c.Op, c.Path)
			}
		}
		if verdict(rules, act{op: "file-read-data", path: seat.Tmp + "/try-named.ok"}, "last") != true {
			t.Errorf("%s: what is taken back is denied", name)
		}
		if n := len(checks); n != 10 && !(name == "host" && n == 9) {
			t.Errorf("%s: %d checks", name, n)
		}
	}
}

// Without a gate there is no way to any port; with the host's network there are
// all, and still no socket of another program's.
func TestSeatbeltNetworks(t *testing.T) {
	for name, want := range map[string]string{"none": "", "gate": "localhost:50123 localhost:11434 localhost:3000", "host": "*:*"} {
		s := seat
		if name != "gate" {
			s.Proxy = 0
		}
		rules := parseSBPL(t, seatbeltPlans()[name].Seatbelt(s))
		var got []string
		for _, r := range rules {
			for _, e := range r.list[1:] {
				if r.list[0].word == "allow" && r.list[1].word == "network-outbound" && e.kind == '(' && e.list[0].word == "remote" && e.list[1].word == "ip" {
					got = append(got, e.list[2].text)
				}
			}
			if r.list[0].word == "allow" && strings.HasPrefix(r.list[1].word, "network") && len(r.list) == 2 {
				t.Errorf("%s: %v without a filter", name, r.list[1].word)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q", name, got)
		}
		for _, sock := range []string{"/private/var/run/docker.sock", "/Users/ada/shop/agent.sock", "/private/tmp/com.apple.launchd.x/Listeners"} {
			if verdict(rules, act{op: "network-outbound", path: sock}, "last") {
				t.Errorf("%s: %s can be reached", name, sock)
			}
		}
		for _, service := range []string{"com.apple.SecurityServer", "com.apple.securityd.xpc", "com.apple.coreservices.launchservicesd", "com.apple.coreservices.appleevents", "com.apple.pasteboard.1", "com.apple.tccd"} {
			if strings.Contains(seatbeltPlans()[name].Seatbelt(s), service) {
				t.Errorf("%s: %s", name, service)
			}
		}
	}
}
