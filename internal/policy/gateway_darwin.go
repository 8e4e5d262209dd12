package policy

import "github.com/AxeForging/aigate/internal/gate"

// gateway: programs are told of the gate by variables. Nothing on this system
// can be made to resolve names by the gate, so none is resolved inside.
func (p *Policy) gateway() (err error) {
	if !p.Network.Gated() {
		return nil
	}
	p.Front, err = gate.NewFront(p.Network.Rules, "")
	return err
}
