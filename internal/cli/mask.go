package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/mask"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/term"
	"github.com/spf13/cobra"
)

// maskFlags are the flags of `aigate mask`.
type maskFlags struct {
	presets, patterns []string
	noValues          bool
}

func newMaskCommand() *cobra.Command {
	var f maskFlags
	c := &cobra.Command{
		Use:   "mask [flags]",
		Short: "Pass standard input on with the secrets masked",
		Long: `Pass standard input on to standard output with *** in place of secrets: those
that mask_stdout names in the configuration, the values of variables that
deny_env names, and those in files that deny_read names. Everything else passes
at once and byte for byte.

With --preset or --pattern no configuration is needed: only these are masked
then, and the values too where there is a configuration.

Presets: ` + presetColumns(),
		Example: `  make deploy 2>&1 | aigate mask
  kubectl logs pod | aigate mask --preset jwt,bearer
  ./test | aigate mask --pattern 'session=[0-9a-f]+'`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(os.Stdin, os.Stdout) },
	}
	c.Flags().StringSliceVar(&f.presets, "preset", nil, "mask what these `presets` name, and not what the configuration does; all for every one")
	c.Flags().StringArrayVar(&f.patterns, "pattern", nil, "mask what the `regex` (RE2) matches; can be repeated")
	c.Flags().BoolVar(&f.noValues, "no-values", false, "look into no denied files and variables for values to mask")
	c.RegisterFlagCompletionFunc("preset", cobra.FixedCompletions(append([]string{"all"}, mask.Presets()...), cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("pattern", cobra.NoFileCompletions)
	return c
}

// presetColumns wraps the names for the help.
func presetColumns() string {
	text, width := "", len("Presets: ")
	for i, name := range mask.Presets() {
		if i > 0 {
			text += ","
			if width += len(name) + 2; width > 79 {
				text, width = text+"\n", len(name)
			} else {
				text += " "
			}
		} else {
			width += len(name)
		}
		text += name
	}
	return text
}

func (f *maskFlags) run(in io.Reader, out io.Writer) error {
	rules, err := f.rules()
	if err != nil {
		return err
	}
	m, err := mask.New(rules)
	if err != nil {
		return err
	}
	w := mask.NewWriter(func() *mask.Mask { return m }, out)
	if _, err := io.CopyBuffer(w, onlyReader{in}, make([]byte, 64<<10)); err != nil {
		return fmt.Errorf("mask: %w", err)
	}
	return w.Close()
}

// onlyReader keeps io.Copy from finding a way around the buffer.
type onlyReader struct{ io.Reader }

func (f *maskFlags) rules() (mask.Rules, error) {
	asked := len(f.presets)+len(f.patterns) > 0
	conf, err := f.config()
	if err != nil && !(asked && errors.Is(err, errNotInitialized)) {
		return mask.Rules{}, err
	}
	var r mask.Rules
	if conf != nil {
		if r = maskRules(conf.Mask); f.noValues {
			r.Values = nil
		} else if r.Values, err = values(conf); err != nil {
			return r, err
		}
	}
	if asked {
		if r.Presets, r.Patterns = f.presets, nil; slices.Contains(f.presets, "all") {
			r.Presets = mask.Presets()
		}
		for _, p := range f.patterns {
			if err := config.CheckRegex(p); err != nil {
				return r, fmt.Errorf("--pattern: %w", err)
			}
			r.Patterns = append(r.Patterns, mask.Pattern{Regex: p})
		}
	} else if !masks(conf.Mask) {
		return r, errors.New("nothing to mask: mask_stdout is not set (see `aigate help config`), or name presets: aigate mask --preset all")
	}
	return r, nil
}

func (f *maskFlags) config() (*config.Config, error) {
	all, _, err := loadBoth()
	if err != nil {
		return nil, err
	}
	return &all, nil
}

// values are those that a run here would keep from its command.
func values(conf *config.Config) ([]string, error) {
	host, err := lookAtCaller()
	if err != nil {
		return nil, err
	}
	pol, err := policy.Resolve(conf, host)
	if err != nil {
		return nil, err
	}
	return pol.Secrets(), nil
}

// masks says that the configuration asks for masking.
func masks(m config.Mask) bool { return len(m.Presets)+len(m.Patterns) > 0 }

func maskRules(m config.Mask) mask.Rules {
	r := mask.Rules{Presets: m.Presets}
	for _, p := range m.Patterns {
		r.Patterns = append(r.Patterns, mask.Pattern(p))
	}
	return r
}

// maskOutput puts the mask between the command and the caller. It is made when the first byte comes, in the supervisor
// alone: the sandbox's processes are forked before the values are read.
func maskOutput(caller *term.Caller, c config.Mask, values func() []string) error {
	if !masks(c) {
		return nil
	}
	get := sync.OnceValue(func() *mask.Mask {
		r := maskRules(c)
		r.Values = values()
		m, err := mask.New(r)
		if err != nil {
			panic(err) // config has checked all of it
		}
		return m
	})
	return caller.Mask(func(to io.Writer) io.WriteCloser { return mask.NewWriter(get, to) })
}
