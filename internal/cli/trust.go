package cli

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newTrustCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trust",
		Short: "Approve what this project's .aigate.yaml loosens",
		Long: `Approve what this project's .aigate.yaml loosens: hosts, writable folders,
rules taken back, higher limits. Rules that tighten need no approval. The
approval is for the file as it is; when it changes, it is asked for again.`,
		Example: `  aigate trust          show what the file loosens and approve it`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, global, project, err := loadBoth()
			if err != nil {
				return err
			}
			path, err := projectConfig()
			if err != nil {
				return err
			}
			loosens := config.LoosensBeyond(global, project)
			if len(loosens) == 0 {
				say("%s loosens nothing; there is nothing to approve", path)
				return nil
			}
			home, err := homeDir()
			if err != nil {
				return err
			}
			for _, l := range loosens {
				say("approved: %s", l)
			}
			return ledger{home}.approve(path)
		},
	}
}

// ledger is what the user approved, and what sandboxed commands made: two
// lists of "hash path" and of paths, in ~/.aigate, which no sandbox sees.
type ledger struct{ home string }

func (l ledger) file(name string) string { return filepath.Join(l.home, ".aigate", name) }

func (l ledger) lines(name string) ([]string, error) {
	b, err := os.ReadFile(l.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n"), err
}

func (l ledger) append(name, line string) error {
	f, err := os.OpenFile(l.file(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// entry identifies a file by contents and place.
func entry(path string) (string, error) {
	b, err := os.ReadFile(path)
	return fmt.Sprintf("%x %q", sha256.Sum256(b), path), err
}

func (l ledger) approve(path string) error {
	e, err := entry(path)
	if err != nil {
		return err
	}
	return l.append("trusted", e)
}

func (l ledger) approved(path string) (bool, error) {
	e, err := entry(path)
	if err != nil {
		return false, err
	}
	known, err := l.lines("trusted")
	return slices.Contains(known, e), err
}

// suspect says that a sandboxed command made the file.
func (l ledger) suspect(path string) (bool, error) {
	if runners(path) {
		return true, nil
	}
	known, err := l.lines("made-in-sandbox")
	return slices.Contains(known, fmt.Sprintf("%q", path)), err
}

// distrust remembers that a sandboxed command made the file.
func (l ledger) distrust(path string) error {
	return l.append("made-in-sandbox", fmt.Sprintf("%q", path))
}

// trusted gives the part of the project's file that may be applied: all of it
// when it loosens nothing or was approved, else what the user says now. Without
// loud nothing is said, and all of it is given where the user would be asked.
func trusted(h policy.Host, path string, global, project *config.Config, loud bool) (*config.Config, error) {
	loosens := config.LoosensBeyond(global, project)
	if len(loosens) == 0 {
		return project, nil
	}
	l := ledger{h.Home}
	ok, err := l.approved(path)
	if err != nil || ok {
		return project, err
	}
	made, err := l.suspect(path)
	if err != nil {
		return nil, err
	}
	canAsk := term.IsTerminal(0) && term.IsTerminal(2)
	if loud {
		sayLoosens(path, loosens, made)
	}
	switch {
	case canAsk && loud:
		return asked(l, path, global, project)
	case made && !canAsk:
		return nil, fmt.Errorf("%s was made by a command in the sandbox and cannot be applied unasked: look at it, then `aigate trust`, or remove it", path)
	case loud:
		say("applied, because nobody can be asked here; `aigate trust` approves it")
	}
	return project, nil
}

func sayLoosens(path string, loosens []string, made bool) {
	say("%s loosens the sandbox:", path)
	for _, s := range loosens {
		say("  %s", s)
	}
	if made {
		say("this file was made by a command in the sandbox, not by you")
	}
}

func asked(l ledger, path string, global, project *config.Config) (*config.Config, error) {
	fmt.Fprint(os.Stderr, "[aigate] apply it, now and later? [y/N] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return project, l.approve(path)
	}
	say("not applied; what tightens is")
	return config.Tightening(global, project), nil
}
