// Package cli is the command line of aigate: one file a command, flags in, one call into the
// packages that know, text out. It decides nothing about isolation.
//
// What aigate itself has to say goes to stderr and begins with [aigate]; stdout is for what was
// asked for. The exit status is 0, or 1 for any error of ours; `run` passes that of its command.
package cli

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

// Execute runs the command line and gives the exit status.
func Execute(version string) int {
	return report(os.Stderr, Root(version).Execute())
}

// Root is the command tree, from which man pages are made, too.
func Root(version string) *cobra.Command {
	root := &cobra.Command{
		Use:   "aigate",
		Short: "A sandbox for AI coding agents, enforced by the kernel",
		Long: `aigate runs AI coding agents in a sandbox that the operating system enforces:
they cannot read your secrets, run what you deny, or reach hosts that you did
not allow, whatever they are told to do.`,
		Example: `  aigate init                            create ~/.aigate/config.yaml
  aigate deny read .env secrets/         hide files
  aigate deny exec curl "kubectl delete" refuse commands
  aigate run -- claude                   run an agent in the sandbox
  aigate status                          see what holds here`,
		SilenceErrors: true, // report says them
		SilenceUsage:  true,
	}
	root.PersistentFlags().BoolP("verbose", "v", false, "say more about what happens, on stderr")
	root.PersistentPreRun = func(c *cobra.Command, _ []string) {
		verbose, _ := c.Flags().GetBool("verbose")
		startLog(verbose)
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())
	})
	root.AddCommand(
		newInitCommand(), newDenyCommand(), newAllowCommand(), newRunCommand(), newMaskCommand(), newStatusCommand(),
		newAuditCommand(), newTrustCommand(), newDoctorCommand(), newVersionCommand(version), newConfigTopic(),
		newSetupCommand(), newResetCommand(), newBehalfCommand(),
	)
	return root
}

// startLog sends slog to stderr at the level that AIGATE_LOG_LEVEL names.
func startLog(verbose bool) {
	level, text := slog.LevelWarn, os.Getenv("AIGATE_LOG_LEVEL")
	if text != "" && level.UnmarshalText([]byte(text)) != nil {
		level = slog.LevelWarn
		say("AIGATE_LOG_LEVEL is %q, known levels are debug, info, warn, error", text)
	}
	if verbose && level > slog.LevelInfo {
		level = slog.LevelInfo
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
}
