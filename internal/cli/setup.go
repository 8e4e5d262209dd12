package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/config"
	"github.com/spf13/cobra"
)

func newSetupCommand() *cobra.Command {
	var n account.Names
	c := &cobra.Command{
		Use:   "setup",
		Short: "Create the sandbox's group and user (needs sudo)",
		Long: `Create the group and the user that files are denied to by ACL, and that
"sudo aigate run --as-runner" runs commands as: a system group and a system user
without password and login shell. You are not made a member of the group: its
members are whom your files are denied to.

Where the system lets plain users make user namespaces by AppArmor profile alone
(Ubuntu 23.10 and later), it installs such a profile for aigate.

It can be run again; what is there already is left. "sudo aigate reset --force"
removes what it made.`,
		Example: `  sudo aigate setup
  sudo aigate setup --group mygroup --user myuser`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return setUp(n) },
	}
	c.Flags().StringVar(&n.Group, "group", "", "name of the group (default: what your configuration says, or "+defaultGroup+")")
	c.Flags().StringVar(&n.User, "user", "", "name of the user (default: what your configuration says, or "+defaultUser+")")
	c.RegisterFlagCompletionFunc("group", cobra.NoFileCompletions)
	c.RegisterFlagCompletionFunc("user", cobra.NoFileCompletions)
	return c
}

func setUp(n account.Names) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run `sudo aigate setup`", account.ErrPrivileges)
	}
	by, err := behind()
	if err != nil {
		return err
	}
	conf := by.configured()
	if n.Group == "" {
		n.Group = conf.Group
	}
	if n.User == "" {
		n.User = conf.User
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return err
	}
	caller := by.Name
	if by.UID == 0 {
		caller = ""
	}
	if err := account.Setup(n, caller, program, say); err != nil {
		return err
	}
	if conf = by.configured(); conf != n {
		say("your configuration names the group %s and the user %s: write `group: %s` and `user: %s` into %s", conf.Group, conf.User, n.Group, n.User, by.config())
	}
	if _, err := os.Lstat(by.config()); errors.Is(err, fs.ErrNotExist) {
		say("next: `aigate init` creates the default configuration (without sudo)")
	} else {
		say("next: `aigate deny read .env` denies files to the group %s as well, and `sudo aigate run --as-runner -- command` runs a command as %s", n.Group, n.User)
	}
	return nil
}

// person is the user on whose behalf root acts.
type person struct{ account.User }

// behind gives the user who called sudo or doas, or root itself. What those
// programs set can be believed as far as root's own environment can.
func behind() (p person, err error) {
	uid := os.Getuid()
	if text := os.Getenv("SUDO_UID"); text != "" {
		if uid, err = strconv.Atoi(text); err != nil {
			return p, fmt.Errorf("SUDO_UID is %q", text)
		}
	} else if name := os.Getenv("DOAS_USER"); name != "" {
		u, found, err := account.ByName(name)
		if err != nil || !found {
			return p, fmt.Errorf("DOAS_USER is %q, whom the system does not know", name)
		}
		return person{u}, nil
	}
	u, found, err := account.ByID(uid)
	if err == nil && !found {
		err = fmt.Errorf("the system knows no user with the number %d", uid)
	}
	return person{u}, err
}

func (p person) config() string { return filepath.Join(p.Home, ".aigate", "config.yaml") }

// configured are the names that the user's configuration says, as far as it can
// be read.
func (p person) configured() account.Names {
	conf, err := config.Load(p.config())
	if err != nil {
		conf = nil
	}
	return accountNames(conf)
}
