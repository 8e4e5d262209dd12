package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func newDoctorCommand() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Check what the sandbox needs", RunE: func(*cobra.Command, []string) error {
		return errors.New("doctor is not built yet")
	}}
}
