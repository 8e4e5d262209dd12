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
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newTrustCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trust",
		Short: "Approve what this project's .aigate.yaml loosens",
		Long: `Approve what this project's .aigate.yaml loosens: hosts, writable folders,
rules taken back, higher limits. Rules that tighten need no approval. The
approval is for the file as it is; when it changes, it is asked for again. Where
nobody can be asked, as in CI, it is this command that has the file applied.`,
		Example: `  aigate trust          show what the file loosens and approve it`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, f, err := loadFiles()
			if err != nil {
				return err
			}
			loosens, approved, err := f.loosens()
			if err != nil {
				return err
			}
			if len(loosens) == 0 {
				path, err := projectConfig()
				say("%s loosens nothing; there is nothing to approve", path)
				return err
			}
			word := "approved"
			if approved {
				word = "approved before, and since unchanged"
			}
			for _, l := range loosens {
				say("%s: %s", word, l)
			}
			if approved {
				return nil
			}
			return f.ledger.approve(f.own)
		},
	}
}

// ledger is what the user approved: a list of "hash path" in ~/.aigate, which no
// sandbox sees.
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

// entry identifies a file by contents and place: by the very bytes that were
// parsed. A second look could find others, put there while the question stood.
func entry(f *config.File) string { return fmt.Sprintf("%x %q", sha256.Sum256(f.Source), f.Path) }

func (l ledger) approve(f *config.File) error { return l.append("trusted", entry(f)) }

func (l ledger) approved(f *config.File) (bool, error) {
	known, err := l.lines("trusted")
	return slices.Contains(known, entry(f)), err
}

// trusted gives the part of the project's file that may be applied: all of it
// when it loosens nothing or was approved, else what the user says now. Where
// nobody can be asked it is what tightens: whoever made the file, which cannot be
// known, may have been a command in the sandbox. Without loud nothing is said.
func (f *sources) trusted(loud bool) (*config.Config, error) {
	loosens, approved, err := f.loosens()
	if err != nil || len(loosens) == 0 || approved || !loud {
		return f.unasked()
	}
	say("%s loosens the sandbox:", f.own.Path)
	for _, s := range loosens {
		say("  %s", s)
	}
	if term.IsTerminal(0) && term.IsTerminal(2) {
		return f.asked()
	}
	say("warning: none of this is applied, because nobody can be asked here; `aigate trust` approves it")
	return f.unasked()
}

func (f *sources) asked() (*config.Config, error) {
	fmt.Fprint(os.Stderr, "[aigate] apply it, now and later? [y/N] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return f.own.Config, f.ledger.approve(f.own)
	}
	say("not applied; what tightens is")
	return f.unasked()
}
