package cli

import (
	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/doctor"
)

// patient is the machine under a configuration.
type patient struct {
	*doctor.Machine
	conf config.Config
}

func newPatient(conf config.Config) *patient {
	return &patient{doctor.NewMachine(projectFolder()), conf}
}

func (p *patient) checks() []doctor.Check { return p.Base() }

// mode is the sentence at the end of the guide's example.
func (p *patient) mode(r *doctor.Report) string {
	if !r.Works {
		return "none: `aigate run` would refuse"
	}
	r.Engine = "seatbelt"
	switch {
	case p.conf.AllowNet == nil:
		return "sandbox-exec + the host's network (isolation of files and commands; the network is open)"
	case len(p.conf.AllowNet) == 0:
		return "sandbox-exec + no network (full isolation)"
	}
	return "sandbox-exec + proxy (full isolation)"
}
