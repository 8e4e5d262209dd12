package cli

import (
	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/doctor"
)

// accounts are the lines about what `aigate setup` makes: the sandbox's user, and where AppArmor asks
// for one, a profile of the program.
func (p *patient) accounts() []doctor.Check {
	checks := []doctor.Check{p.accountCheck()}
	if state := account.Profile(); state != "" {
		checks = append(checks, doctor.Check{Name: "AppArmor", For: "restricts user namespaces to programs with a profile",
			Try: func() doctor.Outcome { return profileOutcome(state, p.Namespaces(), p.Facts().AppArmorLabel) }})
	}
	return checks
}

// profileOutcome says what the profile comes to, given whether namespaces are to be had.
func profileOutcome(state string, namespaces bool, label string) doctor.Outcome {
	if namespaces {
		return doctor.Outcome{Result: doctor.OK, State: state}
	}
	o := doctor.Outcome{Result: doctor.Fail, State: state, Without: "every run of a plain user is refused", Fix: []string{"sudo aigate setup"}}
	switch state {
	case "missing":
		o.Why = "aigate's program has no profile"
	case "other path":
		o.Why = "the profile that setup wrote is for a program at another path"
	default:
		o.Why = "the profile is there, and this process has another: " + label
		o.Fix = []string{"sudo apparmor_parser -r /etc/apparmor.d/aigate, or sudo aigate setup again"}
	}
	return o
}
