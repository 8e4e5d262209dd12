package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"github.com/AxeForging/aigate/internal/match"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/spf13/cobra"
)

// Root acts for a user in two places, `reset` and `run --as-runner`. What lies in
// folders of the user's, configuration and files, is then read and changed by a
// process of the user's, which this file starts: whatever links lie there, it
// reaches nothing that the user could not have reached.

// behalfArg begins the command line of such a process.
const behalfArg = "__on-behalf"

func newBehalfCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:    behalfArg + " prepare|forget",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "forget" {
				return forget()
			}
			given, err := f.prepare()
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(given)
		},
	}
	c.Flags().BoolVar(&f.defaults, "defaults", false, "")
	return c
}

// ask starts a process of the user's and gives what it writes.
func (p person) ask(what ...string) ([]byte, error) {
	self, err := ownProgram()
	if err != nil {
		return nil, err
	}
	groups, err := account.GroupsOf(p.User)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{behalfArg}, what...)...)
	cmd.Env = p.environment(os.Environ())
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID), Groups: groups}}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		if _, said := err.(*exec.ExitError); said {
			return nil, exitStatus(1)
		}
		return nil, err
	}
	return out.Bytes(), nil
}

// environment is what a process of the user's gets of ours.
func (p person) environment(env []string) []string {
	out := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.HasPrefix(name, "SUDO_") || strings.HasPrefix(name, "XDG_") || slices.Contains([]string{"DOAS_USER", "HOME", "USER", "LOGNAME", "SHELL", "MAIL"}, name)
	})
	return append(out, "HOME="+p.Home, "USER="+p.Name, "LOGNAME="+p.Name)
}

// handover is what the sandbox's user is told of whoever wants the command run:
// the configuration, which it cannot read itself.
type handover struct {
	Config  *config.Config
	Project string
	Caller  string
}

// prepare reads the configuration as its owner and applies the ACLs of all that
// it denies.
func (f *runFlags) prepare() (*handover, error) {
	h, err := lookAtCaller()
	if err != nil {
		return nil, err
	}
	conf, err := f.config(h)
	if err != nil {
		return nil, err
	}
	var global *config.Config
	if !f.defaults {
		if global, err = config.Load(filepath.Join(h.Home, ".aigate", "config.yaml")); err != nil {
			return nil, err
		}
	}
	by, err := behind()
	if err != nil {
		return nil, err
	}
	if err := prepareACLs(conf.DenyRead, h, accountNames(global)); err != nil {
		return nil, err
	}
	return &handover{Config: forRunner(conf, h.Home), Project: h.Project, Caller: by.Name}, nil
}

// prepareACLs denies by ACL all that the run will hide. Here a failure is a
// promise that would not hold.
func prepareACLs(deny []string, h policy.Host, n account.Names) error {
	who, err := agents(n)
	if err != nil {
		return err
	}
	places := aclLedger{ledger{h.Home}}
	r, err := syncTree(h.Project, h.Home, deny, deny, who, places)
	if err != nil {
		return fmt.Errorf("apply ACLs: %w", err)
	}
	tellFailed(r)
	return nil
}

// forRunner is the configuration with the patterns of the caller's home written
// out: ~ is the home of the sandbox's user now. What is denied is denied in
// both.
func forRunner(c *config.Config, home string) *config.Config {
	out := *c
	out.DenyRead = append(inBoth(c.DenyRead, home), match.Literal(home)+"/.aigate/")
	out.DenyWrite = inBoth(c.DenyWrite, home)
	return &out
}

func inBoth(patterns []string, home string) (out []string) {
	for _, p := range patterns {
		out = append(out, p)
		bare, back := strings.CutPrefix(p, "!")
		if rest, ok := strings.CutPrefix(bare, "~/"); ok {
			both := match.Literal(home) + "/" + rest
			if back {
				both = "!" + both
			}
			out = append(out, both)
		}
	}
	return out
}
