// Package doctor finds out what a sandbox can have on this machine, and says so.
//
// What it promises:
//
//   - A line of the report is the outcome of having done the thing: a namespace that was made, a
//     listener that answered a call, an ACL that was set. A file that is there proves nothing.
//   - Nothing stays behind, and nothing is changed.
//   - A cause is named where the kernel's answer and the machine's settings leave one; where they
//     leave none, the kernel's answer itself is shown.
//
// A check is plain data with a function that tries; what the outcomes come to (blame.go, containers.go)
// is computed from plain values. The kernel is touched in *_linux.go alone. What other packages know
// better (engines, limits, accounts) the caller adds as checks of its own.
package doctor

import (
	"maps"
	"slices"
)

// Result is how a check came out.
type Result string

// The results. Absent is a thing that nothing needs here, or that has a substitute.
const (
	OK     Result = "ok"
	Warn   Result = "warn"   // it works, and a promise is weaker
	Fail   Result = "fail"   // a run that needs it is refused
	Absent Result = "absent" // not there, and not missed
)

// Missing is the state of a program that a package would bring.
const Missing = "missing"

// A Check is a line of the report before it was tried.
type Check struct {
	Name    string
	For     string // what it is for
	Try     func() Outcome
	Without string            // what is weaker, or refused, where it is not there
	Fix     []string          // what changes that
	Install map[string]string // the package that brings it, by package manager
	Quiet   bool              // no line in the text when all is well
}

// An Outcome is what came of trying.
type Outcome struct {
	Result  Result
	State   string   // a version or a word
	Why     string   // what the kernel or the program answered, when it was no
	Without string   // in the check's place, when it depends on the outcome
	Fix     []string // likewise
}

// A Finding is a line of the report.
type Finding struct {
	Name    string            `json:"name"`
	Result  Result            `json:"result"`
	State   string            `json:"state"`
	For     string            `json:"for,omitempty"`
	Why     string            `json:"why,omitempty"`
	Without string            `json:"consequence,omitempty"`
	Fix     []string          `json:"fix,omitempty"`
	Install map[string]string `json:"install,omitempty"` // a command for each package manager

	quiet bool
}

// Run tries the check.
func (c Check) Run() Finding {
	o := c.Try()
	f := Finding{Name: c.Name, Result: o.Result, State: o.State, For: c.For, Why: o.Why, quiet: c.Quiet}
	if o.Result == OK {
		return f
	}
	f.Without, f.Fix = c.Without, c.Fix
	if o.Without != "" {
		f.Without = o.Without
	}
	if len(o.Fix) > 0 {
		f.Fix = o.Fix
	}
	if o.State != Missing {
		return f
	}
	for _, manager := range slices.Sorted(maps.Keys(c.Install)) {
		if f.Install == nil {
			f.Install = map[string]string{}
		}
		f.Install[manager] = installCommand(manager, c.Install[manager])
	}
	return f
}

// Report is all of it.
type Report struct {
	Checks []Finding `json:"checks"`
	Engine string    `json:"engine"` // that a run would take; "" when none works
	Mode   string    `json:"isolation_mode"`
	Works  bool      `json:"works"`            // a run here would start
	Why    string    `json:"reason,omitempty"` // why not, in run's own words
}

// Weaker are the findings that cost a promise or a possibility.
func (r *Report) Weaker() (out []Finding) {
	for _, f := range r.Checks {
		if f.Result != OK && (f.Why != "" || f.Without != "") {
			out = append(out, f)
		}
	}
	return out
}
