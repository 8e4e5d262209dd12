package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// config gives what all files say together, or the built-in policy.
func (f *runFlags) config(h policy.Host) (*config.Config, error) {
	if f.given != nil {
		return f.given.Config, nil
	}
	if f.defaults {
		c := config.Defaults()
		return &c, nil
	}
	if h.Home == "" {
		return nil, errors.New("no home folder, so no configuration: set HOME, or use `aigate run --defaults -- command`")
	}
	files, err := readFiles(h)
	if err != nil {
		return nil, err
	}
	applied, err := files.trusted(f.try == nil)
	if err != nil {
		return nil, err
	}
	merged := config.Merge(files.base, applied)
	return &merged, nil
}

var errNotInitialized = errors.New("aigate not initialized: run `aigate init` to create ~/.aigate/config.yaml, or use `aigate run --defaults -- command`")

// print shows the plan instead of executing it.
func (f *runFlags) print(pol *policy.Policy, plan *sandbox.Plan) error {
	if !f.json {
		_, err := fmt.Print(plan)
		if sandbox.Only == sandbox.SeatbeltEngine && err == nil {
			_, err = fmt.Printf("\n; the profile, but for the port of the gate, the terminal and the folder of the run\n%s", plan.Seatbelt(sandbox.Seat{Tmp: "/private/tmp/aigate-0"}))
		}
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Policy *policy.Policy `json:"policy"`
		Plan   *sandbox.Plan  `json:"plan"`
	}{pol, plan})
}

// published reads --publish.
func (f *runFlags) published(plan *sandbox.Plan) (out []gate.Port, err error) {
	for _, text := range f.publish {
		port, err := gate.ParsePort(text)
		if err != nil {
			return nil, err
		}
		if plan.Gate != nil && slices.Contains(plan.Gate.Localhost, port.Inside) {
			return nil, fmt.Errorf("--publish %s: inside, port %d of localhost is this machine's (allow_net: localhost:%d); let the server use another", text, port.Inside, port.Inside)
		}
		out = append(out, port)
	}
	if len(out) > 0 && !plan.OwnNet {
		return nil, errors.New("--publish: there is no allow_net, so the command is in this machine's own network, where its servers can be reached as they are")
	}
	return out, nil
}
