package cli

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/spf13/cobra"
)

func newDenyCommand() *cobra.Command {
	var f ruleFlags
	c := &cobra.Command{
		Use:   "deny",
		Short: "Add restrictions: files, commands, network",
		Long: `Add restrictions to ~/.aigate/config.yaml, or to the project's .aigate.yaml with
--project. Comments, order and layout of the file stay as they are. What runs
already keeps its rules; the next run has the new ones.`,
		Example: `  aigate deny read .env secrets/ '*.pem'
  aigate deny exec curl wget "kubectl delete"
  aigate deny net --except api.anthropic.com
  aigate deny --dry-run read notes/        show the change, write nothing`,
		RunE: pick,
	}
	f.register(c)
	c.AddCommand(newDenyRead(&f), newDenyExec(&f), newDenyNet(&f), newDenyRunner())
	return c
}

func newDenyRead(f *ruleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "read pattern...",
		Short: "Hide files and folders",
		Long: `Hide files and folders: they read as empty in the sandbox. Patterns read like
.gitignore: a bare name or glob matches at any depth of the project, a trailing
/ names folders, an inner / starts at the project, ~/ and / lead to fixed places.
"!pattern" takes back what is before it. Put globs in quotes, or your shell
replaces them by the files that are there now.`,
		Example: `  aigate deny read .env secrets/ terraform.tfstate
  aigate deny read '*.pem' '~/.config/rclone/'
  aigate deny read '!.env.test'            take one back
  aigate deny read --project vault-token   for everyone who works on the project`,
		Args: needArgs("pattern"),
		RunE: func(_ *cobra.Command, args []string) error { return f.deny("deny_read", args) },
	}
}

func newDenyExec(f *ruleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "exec command...",
		Short: "Refuse commands, or sub-commands of them",
		Long: `Refuse commands. A rule of several words, in quotes, refuses that sub-command
alone and leaves the other uses of the command.`,
		Example: `  aigate deny exec curl wget nc ssh scp
  aigate deny exec "kubectl delete" "docker rm"`,
		Args: needArgs("command"),
		RunE: func(_ *cobra.Command, args []string) error { return f.deny("deny_exec", args) },
	}
}

func newDenyNet(f *ruleFlags) *cobra.Command {
	var except []string
	c := &cobra.Command{
		Use:   "net [--except host]... [host...]",
		Short: "Restrict the network to some hosts, or to none",
		Long: `Restrict the network to the hosts given with --except, which become the whole
list; without any, nothing can be reached. A host given without --except is
taken out of the list.

A host is host, *.host (every name below it, not itself), host:port, an IP
address, a CIDR, or localhost:port for a service on this machine. Without a port
every port is meant.`,
		Example: `  aigate deny net --except api.anthropic.com --except api.openai.com
  aigate deny net                          no network at all
  aigate deny net api.github.com           this host no longer`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && len(except) > 0 {
				return errors.New("deny net takes hosts to allow (--except host) or hosts to take away (host), not both at once")
			}
			if c.Flags().Changed("except") && len(except) == 0 { // --except "$HOST" with nothing in it
				return errors.New("the host after --except is empty: write a host such as \"api.github.com\"; for no network at all leave --except out")
			}
			if len(args) > 0 {
				return f.denyHosts(normal("allow_net", args))
			}
			return f.denyNet(normal("allow_net", except))
		},
	}
	c.Flags().StringSliceVar(&except, "except", nil, "a host that stays reachable; can be given many times")
	return c
}

func (f *ruleFlags) deny(key string, args []string) error {
	values := normal(key, args)
	e, err := f.edit(key)
	if err != nil {
		return err
	}
	added, err := e.add(values)
	if err != nil {
		return err
	}
	if had := rest(values, added); len(had) > 0 {
		say("%s already holds %s", key, quotedList(had))
	}
	if len(added) > 0 {
		say("%s %s to %s of %s", e.did("added", "add"), quotedList(added), key, e.path)
	}
	if key == "deny_read" && !e.dryRun {
		f.syncACLs(values, deniedAnyway)
	}
	return nil
}

// denyNet makes allow_net these hosts and no others.
func (f *ruleFlags) denyNet(hosts []string) error {
	e, err := f.edit("allow_net")
	if err != nil {
		return err
	}
	before, err := config.Load(e.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if before != nil {
		hosts = asWritten(before.AllowNet, hosts)
	}
	if err := e.set(hosts); err != nil {
		return err
	}
	if before != nil {
		if gone := rest(before.AllowNet, hosts); len(gone) > 0 {
			say("%s %s from allow_net", e.did("removed", "remove"), quotedList(gone))
		}
	}
	if len(hosts) == 0 {
		say("%s every host: allow_net of %s is empty", e.did("denied", "deny"), e.path)
		return nil
	}
	say("%s every host but %s in %s", e.did("denied", "deny"), strings.Join(rest(hosts, nil), ", "), e.path)
	noteShared(hosts)
	return nil
}

// noteShared tells of wildcards that open more than their user may think of.
func noteShared(hosts []string) {
	for _, h := range hosts {
		if r, err := gate.ParseRule(h); err == nil && r.Shared() {
			say("note: anybody can have a name below %s, also who wants to be sent your files; name the hosts that you need", r.Name)
		}
	}
}

// asWritten gives hosts the form in which they stand among entries, which the user may have typed.
func asWritten(entries, hosts []string) []string {
	forms := normal("allow_net", entries)
	var out []string
	for _, h := range hosts {
		found := false
		for i, form := range forms {
			if form == h {
				out, found = append(out, entries[i]), true
			}
		}
		if !found {
			out = append(out, h)
		}
	}
	return out
}

// denyHosts takes hosts out of allow_net.
func (f *ruleFlags) denyHosts(hosts []string) error {
	e, err := f.edit("allow_net")
	if err != nil {
		return err
	}
	before, err := config.Load(e.path)
	if err != nil {
		return err
	}
	if before.AllowNet == nil {
		return errors.New("allow_net is not set there, so no list to take a host from; `aigate deny net --except host` makes one")
	}
	hosts = asWritten(before.AllowNet, hosts)
	removed, err := e.remove(hosts)
	if err != nil {
		return err
	}
	if absent := rest(hosts, removed); len(absent) > 0 {
		say("allow_net of %s does not hold %s", e.path, quotedList(absent))
	}
	if len(removed) > 0 {
		say("%s %s from allow_net of %s", e.did("removed", "remove"), quotedList(removed), e.path)
	}
	return nil
}
