package cli

import (
	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/doctor"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// patient is the machine under a configuration.
type patient struct {
	*doctor.Machine
	conf config.Config
}

func newPatient(conf config.Config) *patient {
	return &patient{doctor.NewMachine(projectFolder()), conf}
}

func (p *patient) checks() []doctor.Check {
	return append(p.Base(),
		doctor.Check{
			Name: "seatbelt", For: "a sandbox of aigate's with one of everything", Without: "every run is refused",
			Try: func() doctor.Outcome { return outcome(sandbox.Probe(sandbox.SeatbeltEngine, "")) },
		}, doctor.Check{
			Name: "proxy", For: "network by name (allow_net)", Without: "a run with hosts in allow_net is refused",
			Try: func() doctor.Outcome {
				_, _, err := sandbox.ProbeGate(sandbox.SeatbeltEngine, "")
				return outcome(err)
			},
		}, p.accountCheck())
}

func outcome(err error) doctor.Outcome {
	if err != nil {
		return doctor.Outcome{Result: doctor.Fail, State: "no", Why: err.Error()}
	}
	return doctor.Outcome{Result: doctor.OK, State: "works"}
}

// mode is the sentence at the end of the guide's example.
func (p *patient) mode(r *doctor.Report) string {
	switch {
	case !r.Works:
		return "none: `aigate run` would refuse"
	case p.conf.AllowNet == nil:
		return "sandbox-exec + the host's network (isolation of files and commands; the network is open)"
	case len(p.conf.AllowNet) == 0:
		return "sandbox-exec + no network (full isolation)"
	}
	return "sandbox-exec + proxy (full isolation)"
}
