package policy

import (
	"fmt"
	"os"
	"strings"

	"github.com/AxeForging/aigate/internal/gate"
)

// gateway prepares the way to the gate. What every program reads to find names
// leads to the gate's resolver: /etc/resolv.conf, and /etc/hosts, whose names
// would have addresses that no rule means.
func (p *Policy) gateway() (err error) {
	if !p.Network.Gated() {
		return nil
	}
	variant := getenv(p.host.Env, "AIGATE_GATE")
	if p.Network.Slirp {
		variant = string(gate.Slirp)
	}
	if p.Front, err = gate.NewFront(p.Network.Rules, variant); err != nil {
		return err
	}
	p.text("/etc/resolv.conf", resolvConf, "asks the gate")
	if len(p.Texts) > 0 {
		p.Search = searchList(p.Texts[0].Text)
	}
	before := len(p.Texts)
	p.text("/etc/hosts", hosts, "this machine's own names")
	p.Loopback4 = len(p.Texts) > before && !strings.Contains(p.Texts[before].Text, "::1 ")
	for _, e := range p.Shown { // in /run, for programs that know the place
		if !e.Dir && strings.HasSuffix(e.Path, "resolv.conf") {
			p.text(e.Path, resolvConf, "asks the gate")
		}
	}
	return nil
}

// text replaces a file, or a link to one, wherever it leads. One that is not
// there needs nothing: without resolv.conf the resolver of 127.0.0.1 is asked,
// and that is the gate's, too.
func (p *Policy) text(path string, inside func(outside string) string, rule string) {
	if !exists(path) {
		return
	}
	b, _ := os.ReadFile(path) // a link to nowhere is an empty file
	p.Texts = append(p.Texts, Text{Path: path, Text: inside(string(b)), Rule: rule})
}

// resolvConf keeps what says how to look names up, and replaces who is asked.
func resolvConf(outside string) string {
	var b strings.Builder
	b.WriteString("# written by aigate: names are looked up outside, by the host's own resolver\n")
	fmt.Fprintf(&b, "nameserver %s\n", gate.Resolver4)
	for line := range strings.Lines(outside) {
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case f[0] == "search", f[0] == "domain", f[0] == "options":
			b.WriteString(strings.Join(f, " ") + "\n")
		}
	}
	return b.String()
}

// hosts keeps the names of loopback addresses.
func hosts(outside string) string {
	var b strings.Builder
	var four, six bool
	for line := range strings.Lines(outside) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[0], "127.") && f[0] != "::1" {
			continue
		}
		four, six = four || f[0] == "127.0.0.1", six || f[0] == "::1"
		b.WriteString(strings.Join(f, " ") + "\n")
	}
	bare := !four && !six
	if !four {
		b.WriteString("127.0.0.1 localhost\n")
	}
	if bare { // where localhost has one address outside, it has no other inside
		b.WriteString("::1 localhost ip6-localhost ip6-loopback\n")
	}
	return b.String()
}

// searchList is what resolv.conf(5) completes names with: its last line counts.
func searchList(resolvConf string) (list []string) {
	for line := range strings.Lines(resolvConf) {
		switch f := strings.Fields(line); {
		case len(f) > 1 && f[0] == "domain":
			list = f[1:2]
		case len(f) > 1 && f[0] == "search":
			list = f[1:]
		}
	}
	return list
}
