//go:build !linux

package sandbox

import (
	"errors"

	"github.com/AxeForging/aigate/internal/gate"
)

var errNotYet = errors.New("there is no sandbox for this system yet")

// Sandbox is described for Linux, which alone has one so far.
type Sandbox struct{}

// Begin is described for Linux.
func Begin(Base) (*Sandbox, error) { return nil, errNotYet }

// Run is described for Linux.
func (*Sandbox) Run(*Plan, Command, Options) (int, error) { return 1, errNotYet }

// End is described for Linux.
func (*Sandbox) End() {}

// Probe is described for Linux.
func Probe(Engine, string) error { return errNotYet }

// ProbeGate is described for Linux.
func ProbeGate(Engine, string) (gate.Front, bool, error) { return gate.Front{}, false, errNotYet }

// LaySpares is described for Linux.
func LaySpares(string) error { return nil }

// Supported is described for Linux.
func Supported(*Plan) error { return errNotYet }

// IsPlaceholder is described for Linux.
func IsPlaceholder(uint32) bool { return false }

// Watch is described for Linux.
type Watch struct{}
