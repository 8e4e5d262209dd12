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
	"strings"

	"github.com/spf13/cobra"
)

// Execute runs the command line and gives the exit status.
func Execute(version string) int {
	return report(os.Stderr, rootFor(os.Args[1:], version).Execute())
}

// rootFor is the part of the tree that a command line can mean: to make all the
// other commands costs a start more than to read the configuration.
func rootFor(args []string, version string) *cobra.Command {
	if len(args) == 0 || args[0] != "run" {
		return Root(version)
	}
	root := newRoot(version)
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newRunCommand())
	return root
}

// Root is the command tree, from which man pages are made, too.
func Root(version string) *cobra.Command {
	root := newRoot(version)
	root.AddCommand(
		newInitCommand(), newDenyCommand(), newAllowCommand(), newRunCommand(), newMaskCommand(), newStatusCommand(),
		newAuditCommand(), newTrustCommand(), newDoctorCommand(), newVersionCommand(version), newConfigTopic(),
		newSetupCommand(), newResetCommand(), newBehalfCommand(),
	)
	strictHelp(root)
	return root
}

// newRoot is the root alone.
func newRoot(version string) *cobra.Command {
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
	// --version says what `aigate version` does. By a function, since to look into
	// the binary costs every start something, and hardly any asks.
	cobra.AddTemplateFunc("about", func() string { return about(version).String() })
	root.Version = version
	root.SetVersionTemplate("{{about}}\n")
	root.Flags().Bool("version", false, "print the version")
	root.PersistentFlags().BoolP("verbose", "v", false, "say more about what happens, on stderr")
	root.PersistentPreRun = func(c *cobra.Command, _ []string) {
		verbose, _ := c.Flags().GetBool("verbose")
		startLog(verbose)
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())
	})
	return root
}

// strictHelp makes a topic that there is none of an error like any other. cobra
// explains aigate instead, and calls it a success.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	show := help.Run
	help.Run = nil
	help.RunE = func(c *cobra.Command, args []string) error {
		if found, more, err := root.Find(args); err != nil || len(args) > 0 && found == root || len(more) > 0 && found.HasSubCommands() {
			return fmt.Errorf("no help about %q (see `aigate --help`)", strings.Join(args, " "))
		}
		show(c, args)
		return nil
	}
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
