package sandbox

import (
	"path"
	"slices"
	"strconv"

	"github.com/AxeForging/aigate/internal/seatbelt"
)

// A profile is read by a system that nobody documents. So each has a few rules
// about files in the run's own folder, in the form that all others have, and the
// last stage inside tries what they should refuse before the command starts: if
// one day a rule means something else, nothing is started.
const (
	policyName = "policy.txt"    // what AIGATE_POLICY names: read-only
	tryDenied  = "try.denied"    // by its path
	tryKept    = "try.kept"      // protected
	tryNamed   = "TRY-named.abc" // by a rule for names, in another case; taken back is try-named.ok
)

// withTries is the plan with those rules.
func withTries(p Plan, tmp string) Plan {
	p.Steps = append(slices.Clone(p.Steps),
		Step{Kind: Protect, Path: path.Join(tmp, policyName), Why: "aigate's own"},
		Step{Kind: Protect, Path: path.Join(tmp, tryKept), Why: "tried before the start"},
		Step{Kind: Mask, Path: path.Join(tmp, tryDenied), Why: "tried before the start"})
	name := tmp + "/[Tt][Rr][Yy]-[Nn][Aa][Mm][Ee][Dd]\\."
	p.Names = append(slices.Clone(p.Names), Name{Kind: Mask, Body: name + "[^/]*", Back: []Name{{Body: name + "[Oo][Kk]"}}, Why: "tried before the start"})
	return p
}

// tries are what has to be refused inside.
func tries(p *Plan, tmp string, supervisor int) []seatbelt.Check {
	checks := []seatbelt.Check{
		{Op: "read", Path: path.Join(tmp, tryDenied)},
		{Op: "rename", Path: path.Join(tmp, tryDenied)},
		{Op: "write", Path: path.Join(tmp, tryKept)},
		{Op: "rename", Path: path.Join(tmp, tryKept)},
		{Op: "rename", Path: tmp},
		{Op: "create", Path: path.Join(tmp, tryNamed)},
		{Op: "create", Path: tmp + ".beside"},
		{Op: "create", Path: path.Join(tmp, "try-\u017f")},
		{Op: "signal", Path: strconv.Itoa(supervisor)},
	}
	if p.OwnNet {
		checks = append(checks, seatbelt.Check{Op: "connect", Path: "9"}) // discard, which nobody has
	}
	return checks
}
