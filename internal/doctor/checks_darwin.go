package doctor

import (
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what is found out once.
type Machine struct{ Project string }

// NewMachine is this one.
func NewMachine(project string) *Machine { return &Machine{project} }

// Explain has nothing to add to what sandbox-exec says.
func Explain() string { return "" }

// Base are the checks of the system.
func (m *Machine) Base() []Check {
	return []Check{
		{
			Name: "sandbox-exec", For: "sandbox isolation (Seatbelt: files, network, programs)", Try: trySeatbelt,
			Without: "every run is refused",
		}, {
			Name: "macOS", Try: func() Outcome {
				v, err := unix.Sysctl("kern.osproductversion")
				if err != nil {
					return Outcome{Result: Warn, State: "unknown", Why: fmt.Sprintf("sysctl kern.osproductversion: %v", err)}
				}
				return Outcome{Result: OK, State: "v" + v}
			},
		},
	}
}

// Around are lines about what we are in.
func (m *Machine) Around() []Check { return nil }

// trySeatbelt runs a program under a profile that denies it one file, and sees it denied. Profiles go by
// real paths: /etc is a link.
func trySeatbelt() Outcome {
	const profile = `(version 1)(allow default)(deny file-read-data (literal "/private/etc/hosts"))`
	run := func(args ...string) (string, error) {
		out, err := exec.Command("/usr/bin/sandbox-exec", append([]string{"-p", profile}, args...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if said, err := run("/usr/bin/true"); err != nil {
		return Outcome{Result: Fail, State: "no", Why: fmt.Sprintf("sandbox-exec: %v %s", err, said), Fix: []string{
			"profiles cannot be nested: start aigate outside of the sandbox (an app's, a CI's) that this is"}}
	}
	if _, err := run("/bin/cat", "/private/etc/hosts"); err == nil {
		return Outcome{Result: Fail, State: "no", Why: "sandbox-exec runs, and what its profile denies is allowed"}
	}
	return Outcome{Result: OK, State: "works"}
}
