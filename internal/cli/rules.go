package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/spf13/cobra"
)

// ruleFlags are those that deny and allow share.
type ruleFlags struct{ dryRun, project bool }

func (f *ruleFlags) register(c *cobra.Command) {
	c.PersistentFlags().BoolVarP(&f.dryRun, "dry-run", "n", false, "print the change as a diff, write nothing")
	c.PersistentFlags().BoolVar(&f.project, "project", false, "edit the project's .aigate.yaml, not your own configuration")
}

// path is the file to edit. Your own has to be there; a project's is made.
func (f *ruleFlags) path() (string, error) {
	if f.project {
		return projectConfig()
	}
	path, err := globalConfig()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", errNotInitialized
	}
	return path, nil
}

// An edit is one change of one list, in the file or, for a dry run, in memory.
type edit struct {
	path, key string
	dryRun    bool
}

func (f *ruleFlags) edit(key string) (edit, error) {
	path, err := f.path()
	return edit{path, key, f.dryRun}, err
}

func (e edit) add(values []string) ([]string, error) {
	if !e.dryRun {
		return config.Add(e.path, e.key, values)
	}
	return e.preview(func(src []byte) ([]byte, []string, error) { return config.AddBytes(src, e.key, values) })
}

func (e edit) remove(values []string) ([]string, error) {
	if !e.dryRun {
		return config.Remove(e.path, e.key, values)
	}
	return e.preview(func(src []byte) ([]byte, []string, error) { return config.RemoveBytes(src, e.key, values) })
}

func (e edit) set(values []string) error {
	if !e.dryRun {
		return config.Set(e.path, e.key, values)
	}
	_, err := e.preview(func(src []byte) ([]byte, []string, error) {
		out, err := config.SetBytes(src, e.key, values)
		return out, nil, err
	})
	return err
}

// preview prints as a diff what a change would make of the file.
func (e edit) preview(change func([]byte) ([]byte, []string, error)) ([]string, error) {
	src, err := os.ReadFile(e.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, err := config.Parse(e.path, src); err != nil {
		return nil, err // with the name of the file in it
	}
	out, values, err := change(src)
	if err != nil {
		return nil, err
	}
	fmt.Print(unifiedDiff(e.path, string(src), string(out)))
	return values, nil
}

// did is how a message begins: what was done, or would be.
func (e edit) did(done, would string) string {
	if e.dryRun {
		return "would " + would
	}
	return done
}

// rest is what of values is not in some.
func rest(values, some []string) (out []string) {
	in := map[string]bool{}
	for _, s := range some {
		in[s] = true
	}
	for _, v := range values {
		if !in[v] {
			in[v] = true
			out = append(out, v)
		}
	}
	return out
}

// normal writes a rule the way the file holds it: single blanks in commands, hosts in the form that
// they are compared in, which also shows letters of other scripts for what they are. What is no rule
// stays as it is, for the error about it.
func normal(key string, values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		switch key {
		case "deny_exec":
			v = strings.Join(strings.Fields(v), " ")
		case "allow_net":
			if rule, err := gate.ParseRule(strings.TrimSpace(v)); err == nil {
				v = rule.String()
			}
		}
		out[i] = v
	}
	return out
}

func quotedList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, ", ")
}

// pick is the command between deny or allow and a rule, which is easily forgotten.
func pick(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to %s: `aigate %s read`, `exec` or `net` (see `%s --help`)", c.Name(), c.Name(), c.CommandPath())
	}
	return fmt.Errorf("%q is none of read, exec and net: did you mean `aigate %s read %s`?", args[0], c.Name(), strings.Join(args, " "))
}

// noArgs says that a command takes none; cobra would call one an unknown command.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much: `%s` takes no arguments (see `%[2]s --help`)", args[0], c.CommandPath())
	}
	return nil
}

// needArgs asks for at least one rule.
func needArgs(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name at least one %s (see `%s --help`)", what, c.CommandPath())
		}
		return nil
	}
}
