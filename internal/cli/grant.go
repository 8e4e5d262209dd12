package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/acl"
	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
	"github.com/spf13/cobra"
)

func newAllowRunner() *cobra.Command {
	return &cobra.Command{
		Use:   "runner",
		Short: "Let the sandbox's user work in this project",
		Long: `Let the sandbox's user, whom "sudo aigate run --as-runner" runs commands as, work
in this project: by ACLs for that user alone, on the project's files as far as
you own them and no deny_read names them, and on the folders that lead there.
What deny_write protects it may read. What it makes stays yours to edit.`,
		Example: "  aigate allow runner        in the project, without sudo",
		Args:    noArgs,
		PreRunE: noRuleFlags,
		RunE:    func(*cobra.Command, []string) error { return allowRunner() },
	}
}

func newDenyRunner() *cobra.Command {
	return &cobra.Command{
		Use:     "runner",
		Short:   "Take back what `aigate allow runner` gave",
		Long:    `Take back from the sandbox's user what "aigate allow runner" gave it in this project.`,
		Example: "  aigate deny runner         in the project, without sudo",
		Args:    noArgs,
		PreRunE: noRuleFlags,
		RunE:    func(*cobra.Command, []string) error { return denyRunner() },
	}
}

// noRuleFlags refuses what `allow` and `deny` take for their rules. A runner is
// let in by ACLs, not by a rule: nobody who asked for a dry run may find it done.
func noRuleFlags(c *cobra.Command, _ []string) error {
	for _, name := range []string{"dry-run", "project"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("`%s` has no --%s: it changes ACLs of this project's files, and no configuration", c.CommandPath(), name)
		}
	}
	return nil
}

// granted is a project and the sandbox's user, ready to be let in.
type granted struct {
	acl.Grant
	names   account.Names
	home    string
	project string
	places  aclLedger
}

func theGrant() (g granted, err error) {
	all, global, err := loadBoth()
	if errors.Is(err, errNotInitialized) {
		global, all, err = nil, config.Defaults(), nil
	}
	if err != nil {
		return g, err
	}
	g.names = accountNames(global)
	who, err := agents(g.names)
	if err == nil && who.User < 0 {
		err = fmt.Errorf("the user %s does not exist; run `sudo aigate setup` first", g.names.User)
	}
	if err != nil {
		return g, err
	}
	if g.home, err = homeDir(); err != nil {
		return g, err
	}
	file, err := projectConfig()
	if err != nil {
		return g, err
	}
	g.project = filepath.Dir(file)
	if real, err := filepath.EvalSymlinks(g.home); g.project == "/" || err == nil && below(real, g.project) {
		return g, fmt.Errorf("%s is no project, but more: change into a project's folder first", g.project)
	}
	g.places = aclLedger{ledger{g.home}}
	g.To, g.Owner = who.User, os.Getuid()
	return g, g.rules(all)
}

// below says that path is dir or lies in it.
func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func (g *granted) rules(all config.Config) error {
	for _, one := range []struct {
		patterns []string
		to       *func(string, bool) bool
	}{{all.DenyRead, &g.Denied}, {all.DenyWrite, &g.Protected}} {
		set, err := match.Parse(one.patterns, g.home)
		if err != nil {
			return err
		}
		*one.to = func(path string, dir bool) bool {
			_, named := set.MatchPath(g.project, path, dir)
			return named
		}
	}
	return nil
}

func allowRunner() error {
	g, err := theGrant()
	if err != nil {
		return err
	}
	for dir := range above(filepath.Dir(g.project)) {
		opened, err := g.OpenWay(dir)
		if err != nil {
			return fmt.Errorf("the way to the project: %s is closed to %s and not yours to open; its owner can: setfacl -m u:%s:x %s (%w)", dir, g.names.User, g.names.User, dir, err)
		}
		if opened {
			if err := g.places.note("way", dir); err != nil {
				return err
			}
			say("%s may pass through %s", g.names.User, dir)
		}
	}
	if err := g.places.note("grant", g.project); err != nil {
		return err
	}
	r := g.Apply(g.project)
	tellFailed(r)
	say("%s may work in %s: %s opened to it, %s before", g.names.User, g.project, files(r.Set), files(r.Same))
	return nil
}

func denyRunner() error {
	g, err := theGrant()
	if err != nil {
		return err
	}
	if !slices.Contains(g.places.list("grant"), g.project) {
		return fmt.Errorf("%s was not opened to %s by `aigate allow runner`", g.project, g.names.User)
	}
	r := g.close(g.project)
	tellFailed(r)
	say("%s may no longer work in %s: taken back from %s", g.names.User, g.project, files(r.Set))
	return nil
}

// close takes a project back, and the ways that lead to no other.
func (g granted) close(project string) acl.Report {
	r := g.Revoke(project)
	if err := g.places.drop("grant", project); err != nil {
		say("%v", err)
	}
	others := g.places.list("grant")
	for _, dir := range g.places.list("way") {
		if slices.ContainsFunc(others, func(p string) bool { return below(p, dir) }) {
			continue
		}
		if err := g.CloseWay(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			say("could not take back the way through %s: %v", dir, err)
		} else if err := g.places.drop("way", dir); err != nil {
			say("%v", err)
		}
	}
	return r
}

// closeAll takes back what was given anywhere.
func closeAll(who acl.Agents, home string, places aclLedger) {
	g := granted{Grant: acl.Grant{To: who.User, Owner: os.Getuid()}, home: home, places: places}
	for _, project := range places.list("grant") {
		if r := g.close(project); r.Set > 0 {
			say("removed what %s was given in %s", who.UserName, project)
		}
	}
}

// above gives the folders that lead to a path, outermost first, and the path.
func above(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := 1; i < len(path); i++ {
			if path[i] == '/' && !yield(path[:i]) {
				return
			}
		}
		yield(filepath.Clean(path))
	}
}
