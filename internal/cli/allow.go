package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
	"github.com/spf13/cobra"
)

func newAllowCommand() *cobra.Command {
	var f ruleFlags
	c := &cobra.Command{
		Use:   "allow",
		Short: "Remove restrictions",
		Long: `Remove restrictions from ~/.aigate/config.yaml, or from the project's
.aigate.yaml with --project. A rule that is not there is an error, as a file
that git does not know is for git rm; the others named beside it are removed.`,
		Example: `  aigate allow read .env
  aigate allow exec curl "kubectl delete"
  aigate allow net example.com`,
		RunE: pick,
	}
	f.register(c)
	c.AddCommand(newAllowRead(&f), newAllowExec(&f), newAllowNet(&f), newAllowRunner())
	return c
}

func newAllowRead(f *ruleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "read pattern...",
		Short: "Remove a pattern from deny_read",
		Long: `Remove patterns from deny_read, written as they are there. To take one file out
of a pattern that matches more, deny its opposite: aigate deny read '!name'.`,
		Example: `  aigate allow read .env
  aigate allow read '*.pem'`,
		Args:              needArgs("pattern"),
		ValidArgsFunction: f.complete("deny_read"),
		RunE:              func(_ *cobra.Command, args []string) error { return f.allow("deny_read", args) },
	}
}

func newAllowExec(f *ruleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "exec command...",
		Short: "Remove a command from deny_exec",
		Long:  "Remove commands from deny_exec, written as they are there.",
		Example: `  aigate allow exec curl
  aigate allow exec "kubectl delete"`,
		Args:              needArgs("command"),
		ValidArgsFunction: f.complete("deny_exec"),
		RunE:              func(_ *cobra.Command, args []string) error { return f.allow("deny_exec", args) },
	}
}

func newAllowNet(f *ruleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "net host...",
		Short: "Add a host to allow_net",
		Long: `Add hosts to allow_net: host, *.host (every name below it, not itself),
host:port, an IP address, a CIDR, or localhost:port for a service on this
machine. Without a port every port is meant.`,
		Example: `  aigate allow net registry.npmjs.org
  aigate allow net '*.example.com' localhost:11434`,
		Args: needArgs("host"),
		RunE: func(_ *cobra.Command, args []string) error { return f.allowNet(normal("allow_net", args)) },
	}
}

func (f *ruleFlags) allow(key string, args []string) error {
	values := normal(key, args)
	e, err := f.edit(key)
	if err != nil {
		return err
	}
	removed, err := e.remove(values)
	if err != nil {
		return err
	}
	if len(removed) > 0 {
		say("%s %s from %s of %s", e.did("removed", "remove"), quotedList(removed), key, e.path)
	}
	if key == "deny_read" && !e.dryRun {
		for _, v := range removed {
			if by := stillDenied(v); by != "" {
				say("note: %q is still denied by %q", v, by)
			}
		}
		if len(removed) > 0 {
			f.syncACLs(removed, allowedAnyway)
		}
	}
	absent := rest(values, removed)
	if len(absent) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s of %s does not hold %s", key, e.path, quotedList(absent))
	if by := stillDenied(absent[0]); key == "deny_read" && by != "" {
		text += fmt.Sprintf("; %q is denied by %q, and `aigate deny read '!%s'` takes it back alone", absent[0], by, absent[0])
	}
	return errors.New(text)
}

// stillDenied is the pattern of either file that names what the argument of `allow read` names,
// "" when there is none or when that cannot be said.
func stillDenied(name string) string {
	if strings.ContainsAny(name, "*?[]{}!") {
		return ""
	}
	all, _, err := loadBoth()
	if err != nil {
		return ""
	}
	home, _ := homeDir()
	set, err := match.Parse(all.DenyRead, home)
	if err != nil {
		return ""
	}
	path := name
	if inHome, ok := strings.CutPrefix(name, "~/"); ok {
		path = filepath.Join(home, inHome)
	}
	const project = "/project" // any will do for a pattern
	if !filepath.IsAbs(path) {
		path = filepath.Join(project, path)
	}
	by, denied := set.MatchPath(project, filepath.Clean(path), strings.HasSuffix(name, "/"))
	if !denied {
		return ""
	}
	return by
}

func (f *ruleFlags) allowNet(hosts []string) error {
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
	added, err := e.add(hosts)
	if err != nil {
		return err
	}
	if had := rest(hosts, added); len(had) > 0 {
		say("allow_net already holds %s", quotedList(had))
	}
	if len(added) > 0 {
		say("%s %s to allow_net of %s", e.did("added", "add"), quotedList(added), e.path)
	}
	noteShared(added)
	if before != nil && before.AllowNet == nil && !f.project {
		say("allow_net was not set there and every host could be reached; from now on only %s", strings.Join(added, ", "))
	}
	return nil
}

// complete offers what the list holds to the shell's completion.
func (f *ruleFlags) complete(key string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		path, err := f.path()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := config.Load(path)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list := c.DenyRead
		if key == "deny_exec" {
			list = c.DenyExec
		}
		return slices.DeleteFunc(rest(list, args), func(s string) bool { return !strings.HasPrefix(s, begun) }), cobra.ShellCompDirectiveNoFileComp
	}
}
