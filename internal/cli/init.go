package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/sandbox"
	"github.com/spf13/cobra"
)

func newInitCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Create the default configuration",
		Long: `Create ~/.aigate/config.yaml with sensible defaults, commented. It does not need
sudo. A file that is there stays, unless --force is given; what it held is then
kept beside it as config.yaml.bak.`,
		Example: `  aigate init
  aigate init --force`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return initialize(force) },
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "write the file anew, keeping the old one as config.yaml.bak")
	return c
}

func initialize(force bool) error {
	path, err := globalConfig()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it may have been there, open to others
		return err
	}
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && !force:
		return err
	case !force:
		return fmt.Errorf("%s exists already; `aigate init --force` writes it anew", path)
	case err == nil && !bytes.Equal(old, freshConfig()):
		if err := config.WriteFile(path+".bak", old, 0o600); err != nil {
			return fmt.Errorf("keep the old file: %w", err)
		}
		say("kept the old configuration as %s.bak", path)
	}
	if err := config.WriteFile(path, freshConfig(), 0o600); err != nil {
		return err
	}
	if err := sandbox.LaySpares(filepath.Join(dir, sandbox.SpareFolder)); err != nil {
		return fmt.Errorf("lay out placeholders: %w", err)
	}
	say("created %s", path)
	say("next: `aigate run -- claude`, or any command; `aigate status` shows the rules")
	return nil
}

// freshConfig is the default file with the names that `aigate setup` was given.
func freshConfig() []byte {
	text, n := config.DefaultFile(), accountNames(nil)
	text = bytes.Replace(text, []byte("\ngroup: "+defaultGroup+"\n"), []byte("\ngroup: "+n.Group+"\n"), 1)
	return bytes.Replace(text, []byte("\nuser: "+defaultUser+"\n"), []byte("\nuser: "+n.User+"\n"), 1)
}
