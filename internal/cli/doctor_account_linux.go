package cli

import (
	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/doctor"
)

// accounts are the lines about what `aigate setup` makes: the sandbox's user, and where AppArmor asks
// for one, a profile of the program.
func (p *patient) accounts() []doctor.Check {
	checks := []doctor.Check{{
		Name: "account", For: "whom persistent ACLs deny files to, and run --as-runner", Try: p.tryAccount,
		Fix: []string{"sudo aigate setup"},
	}}
	if state := account.Profile(); state != "" {
		checks = append(checks, doctor.Check{Name: "AppArmor", For: "restricts user namespaces to programs with a profile",
			Try: func() doctor.Outcome { return profileOutcome(state, p.Namespaces(), p.Facts().AppArmorLabel) }})
	}
	return checks
}

func (p *patient) tryAccount() doctor.Outcome {
	group, user := orDefault(p.conf.Group, "ai-agents"), orDefault(p.conf.User, "ai-runner")
	state, err := account.State(group, user)
	switch {
	case err != nil:
		return doctor.Outcome{Result: doctor.Warn, State: "unknown", Why: err.Error()}
	case state == "ready":
		return doctor.Outcome{Result: doctor.OK, State: state}
	case state == "not set up":
		return doctor.Outcome{Result: doctor.Absent, State: state, Without: "deny_read has one layer, the sandbox, and run --as-runner is refused"}
	}
	return doctor.Outcome{Result: doctor.Warn, State: state, Why: "group " + group + ", user " + user + ": " + state,
		Without: "run --as-runner is refused, and ACLs may deny nothing"}
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
