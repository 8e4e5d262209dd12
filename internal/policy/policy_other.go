//go:build !linux

package policy

import (
	"errors"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// Resolve is written for Linux alone so far.
func Resolve(*config.Config, Host) (*Policy, error) {
	return nil, errors.New("aigate run works on Linux alone so far")
}

type watch struct{}

// Watch is described for Linux.
func (p *Policy) Watch(_, _ func(string, ...any)) *sandbox.Watch { return &sandbox.Watch{} }

// Appeared is described for Linux.
func (p *Policy) Appeared() []string { return nil }

// Moved is described for Linux.
func (p *Policy) Moved() []string { return nil }

// Replaced is described for Linux.
func (p *Policy) Replaced() []string { return nil }

// StrikeOut is described for Linux.
func (p *Policy) StrikeOut() ([]string, error) { return nil, nil }

// CheckCommand is described for Linux.
func (p *Policy) CheckCommand(string, string, []string) error { return nil }
