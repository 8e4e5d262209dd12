//go:build !linux

package cli

import (
	"errors"
	"os"

	"github.com/AxeForging/aigate/internal/policy"
	"github.com/spf13/cobra"
)

func (f *runFlags) registerRunner(*cobra.Command) {}
func (f *runFlags) becomeRunner([]string) error   { return errors.ErrUnsupported }
func (f *runFlags) takeOver(*policy.Host) error   { return errors.ErrUnsupported }

func ownProgram() (string, error) { return os.Executable() }
