package cli

import (
	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/doctor"
)

// accountCheck is the line about the sandbox's user, which `aigate setup` makes.
func (p *patient) accountCheck() doctor.Check {
	return doctor.Check{
		Name: "account", For: "whom persistent ACLs deny files to, and run --as-runner", Try: p.tryAccount,
		Fix: []string{"sudo aigate setup"},
	}
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
