// Package sandbox runs a command so that the kernel, not the command, decides
// what it can reach.
//
// It promises: what the plan hides cannot be read, what it does not open for
// writing does not change, nothing of the host's processes, sockets, keyrings
// or terminal is in reach, the payload runs with the caller's own uid and gid,
// without a capability and with no_new_privs; if any part of that cannot be
// put in place nothing is started; and when the supervisor dies, by any signal,
// so does everything inside.
//
// A policy becomes a Plan (an ordered list of mounts, plain data), a plan
// becomes a program (a list of system calls), and one of two engines executes
// it: native makes the namespaces itself, bwrap lets bubblewrap make them and
// adds what is left from outside. See user_namespaces(7), mount_namespaces(7),
// pid_namespaces(7), seccomp(2), landlock(7).
package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/limit"
)

// Kind is what a step of a Plan does to its path.
type Kind uint8

// The kinds, in the order in which a plan holds them.
const (
	Root    Kind = iota // the host's tree, read-only, nosuid, nodev, with all submounts
	Dev                 // a private /dev: null zero full random urandom tty, own pts, shm
	Proc                // a /proc of the sandbox's own processes
	Scratch             // a private empty directory in memory
	Kit                 // aigate's own read-only folder: empty file, empty folder, stub, policy text
	Make                // a folder made for the time of the run, if it is left empty
	Bind                // the host's directory or file, writable as it is outside
	Show                // the host's directory or file, read-only, in a place that Scratch emptied
	Pin                 // a directory bound onto itself: it cannot be renamed or removed
	Protect             // bound onto itself read-only
	Text                // a file (or symlink) that reads as Step.Text
	Mask                // a file (or symlink) that reads as empty
	Hide                // a directory that lists as empty
	Block               // a program replaced by the stub that says "blocked"
	Anchor              // a directory that keeps its place and name, though nothing is mounted on it that could be seen
)

var kindNames = [...]string{"root", "dev", "proc", "scratch", "kit", "make", "bind", "show", "pin", "protect", "text", "mask", "hide", "block", "anchor"}

func (k Kind) String() string { return kindNames[k] }

// MarshalText gives the kind's name, for --json.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Step is one mount of a plan.
type Step struct {
	Kind Kind        `json:"kind"`
	Path string      `json:"path"`           // absolute, no symlink in it but perhaps the last element
	Why  string      `json:"why,omitempty"`  // the rule it comes from
	Mode uint32      `json:"mode,omitempty"` // Scratch: permission bits
	View Placeholder `json:"view,omitempty"` // Protect of a placeholder: what the payload sees there
	Text string      `json:"text,omitempty"` // with TextView, or of a Text step
}

// Placeholder says what stands at a protected path that did not exist.
type Placeholder string

// A missing name is made impossible to create by mounting something there for
// the time of the run.
const (
	NoPlaceholder Placeholder = ""
	SocketView    Placeholder = "socket" // git takes no notice of sockets
	FileView      Placeholder = "file"   // an empty file
	JSONView      Placeholder = "json"   // a file that holds {}
	DirView       Placeholder = "dir"    // an empty directory
	TextView      Placeholder = "text"   // a file that holds Step.Text
)

// Plan is what the payload's world is made of.
type Plan struct {
	Steps []Step `json:"steps"`
	Dir   string `json:"dir"` // where the payload starts
	// OwnNet gives a network namespace with loopback alone.
	OwnNet bool `json:"own_net"`
	// Gate is the way out of that namespace, nil for none.
	Gate *gate.Front `json:"gate,omitempty"`
	// Publish are servers inside that the caller's machine can reach.
	Publish []gate.Port `json:"publish,omitempty"`
	// Limits are what the whole sandbox may use.
	Limits limit.Limits `json:"limits"`
	// RootUser: uid 0 inside is uid 0 outside, so files of /proc and /sys that
	// the kernel guards by uid alone need a mount over them.
	RootUser bool `json:"root_user"`
	// PolicyText is the file that AIGATE_POLICY names.
	PolicyText string `json:"-"`
	// Names are rules for what may come into being, for an engine that judges
	// every name when it is used; the others have a watcher.
	Names []Name `json:"names,omitempty"`
}

// frame are the steps that a plan begins with: what there is of the host's tree,
// and where it can be written. What is hidden and protected comes on top of them.
func (p *Plan) frame() []Step {
	n := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind > Show })
	if n < 0 {
		return p.Steps
	}
	return p.Steps[:n]
}

// Name is a rule for what may not exist yet.
type Name struct {
	Kind    Kind     `json:"kind"`            // Mask, Protect or Block
	Body    string   `json:"body,omitempty"`  // an expression of paths without its ^ and $; whole with Block
	Fixed   string   `json:"fixed,omitempty"` // a place instead
	DirOnly bool     `json:"dir_only,omitempty"`
	Ways    []string `json:"ways,omitempty"` // folders that must stay where they are, as Body
	Back    []Name   `json:"back,omitempty"` // what is not meant
	Why     string   `json:"why,omitempty"`
}

// String prints the plan, a line a step, as `aigate run --dry-run` shows it.
func (p *Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%-8s %s", s.Kind, quote(s.Path))
		if s.View != NoPlaceholder {
			fmt.Fprintf(&b, " (not there yet)")
		}
		if s.Why != "" {
			fmt.Fprintf(&b, "    # %s", onOneLine(s.Why))
		}
		b.WriteByte('\n')
	}
	net := "the host's"
	if p.Gate != nil {
		net = p.Gate.String()
	} else if p.OwnNet {
		net = "own namespace, loopback alone"
	}
	for _, port := range p.Publish {
		net += ", " + port.String()
	}
	fmt.Fprintf(&b, "%-8s %s\n", "network", net)
	if limits := p.Limits.String(); limits != "" {
		fmt.Fprintf(&b, "%-8s %s\n", "limits", limits)
	}
	fmt.Fprintf(&b, "%-8s %s\n", "chdir", quote(p.Dir))
	return b.String()
}

// onOneLine is a rule as a terminal may get it: a pattern can hold anything.
func onOneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// quote leaves ordinary paths alone and makes odd ones readable on one line.
func quote(s string) string {
	q := fmt.Sprintf("%q", s)
	if q == `"`+s+`"` && !strings.ContainsAny(s, " #") {
		return s
	}
	return q
}

// KitDir is aigate's own read-only folder inside. It lies below /run, which is
// private, and is a mount of its own, so the payload can neither change nor
// move it.
const KitDir = "/run/aigate"

// Files of the kit. Masks are clones of these, and as the kit is mounted
// read-only, so is every clone.
const (
	kitEmpty  = KitDir + "/empty"
	kitVoid   = KitDir + "/void"
	kitSocket = KitDir + "/socket"
	kitJSON   = KitDir + "/json"
	kitStub   = KitDir + "/blocked"
	// PolicyFile is what AIGATE_POLICY names.
	PolicyFile = KitDir + "/policy.txt"
)

// File types of Bind and Show, in Step.Mode: what kind of mount point to make
// where the path lies in a Scratch folder.
const (
	ModeFile = 0o100000
	ModeDir  = 0o040000
)

// textFile is the kit's file for a Text step: "/etc/hosts" is etc-hosts there.
func textFile(s Step) string {
	return path.Join(KitDir, strings.ReplaceAll(strings.Trim(s.Path, "/"), "/", "-"))
}
