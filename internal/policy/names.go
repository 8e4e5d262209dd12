package policy

import (
	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// names are the rules for an engine that judges by name and place, and so what
// does not exist yet as well: every pattern of deny_read, protected names that
// are not there, and programs by what they are called.
func (p *Policy) names() (out []sandbox.Name) {
	for _, r := range p.deny.Regexes(p.Project, p.outer...) {
		out = append(out, sandbox.Name{Kind: sandbox.Mask, Body: r.Body, Fixed: r.Fixed, DirOnly: r.DirOnly, Ways: r.Ways, Back: back(r.Back), Why: r.Pattern})
	}
	for _, e := range p.Protected {
		if e.Missing {
			out = append(out, sandbox.Name{Kind: sandbox.Protect, Body: match.RegexOf(first(e)), Why: e.Rule})
		}
	}
	for _, r := range p.rules {
		if r.Whole() {
			out = append(out, sandbox.Name{Kind: sandbox.Block, Body: r.Regex(match.RegexOf), Why: r.Text})
		}
	}
	return out
}

// first is the outermost missing folder on the way to a protected name: made and
// filled elsewhere and moved into place, it would bring the name along.
func first(e Protected) string {
	if len(e.Through) > 0 {
		return e.Through[0]
	}
	return e.Path
}

func back(rules []match.Regex) (out []sandbox.Name) {
	for _, r := range rules {
		out = append(out, sandbox.Name{Body: r.Body, DirOnly: r.DirOnly, Why: r.Pattern})
	}
	return out
}
