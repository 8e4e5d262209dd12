package sandbox

import "errors"

// ErrSharedNetwork is the one combination that some kernels cannot make safe.
var ErrSharedNetwork = errors.New("with the host's network, abstract Unix sockets of the host (often the session bus) can only be kept out of reach by Landlock scopes, which need Linux 6.12 or newer with Landlock enabled; set allow_net (an empty list is no network) to give the sandbox a network of its own")

// Supported says whether this kernel can keep the plan's promises.
func Supported(plan *Plan) error {
	if !plan.OwnNet && landlockABI() < landlockABIWithScopes {
		return ErrSharedNetwork
	}
	return nil
}
