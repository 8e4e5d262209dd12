package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/AxeForging/aigate/internal/gate"
)

// Text is the file that AIGATE_POLICY names: what is denied, in plain words,
// for the agent to read when something fails.
func (p *Policy) Text() string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("You run in a sandbox made by aigate. It is a rule, not a fault, when one of these fails.")
	line("The kernel enforces it; trying other ways does not help. Ask the user to change the rules.")
	line("")
	line("%s", deniedWords)
	for _, r := range p.config.DenyRead {
		line("  %s", r)
	}
	line("Can be written: everything below")
	for _, w := range p.Writable {
		line("  %s", quoted(w.Path))
	}
	for _, s := range p.Private {
		line("  %s (%s)", s.Path, privateWords)
	}
	line("%s", keptWords)
	for _, e := range p.Protected {
		line("  %s", quoted(e.Path))
	}
	line("Git cannot replace these either: a checkout, merge, rebase or pull that changes one fails, and so do git config,")
	line("remote add, branch -m and setting an upstream. Ask the user to do that outside. Name the remote branch to pull.")
	line("Everything else is read-only.")
	line("Commands that are refused:")
	for _, r := range p.config.DenyExec {
		line("  %s", r)
	}
	var ports []uint16
	if p.Front != nil && p.Front.Variant == gate.ByPort {
		ports = p.Front.Ports
	}
	for _, l := range p.Network.text(ports) {
		line("%s", l)
	}
	if len(p.Removed) > 0 {
		line("Removed from the environment: %s", strings.Join(p.Removed, " "))
	}
	if masked := p.masks(); masked != "" {
		line("Shown as *** in what you print: %s", masked)
	}
	return b.String()
}

func quoted(s string) string {
	if strings.ContainsAny(s, " \"'") || strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) >= 0 {
		return fmt.Sprintf("%q", s)
	}
	return s
}
