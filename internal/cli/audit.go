package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/AxeForging/aigate/internal/audit"
	"github.com/spf13/cobra"
)

func newAuditCommand() *cobra.Command {
	var asJSON bool
	var most int
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show what was refused, of commands and network, and what failed",
		Long: `Show the newest entries of ~/.aigate/audit.jsonl, oldest first: commands that
deny_exec refused, and what runs asked of the network and did not get, how often,
and why. The file is out of every sandbox's reach, and is put aside as
audit.jsonl.1 when it has 8 MiB.`,
		Example: `  aigate audit
  aigate audit -n 100
  aigate audit --json | jq -r .subject | sort | uniq -c`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if most < 1 {
				return fmt.Errorf("-n %d: give the number of entries to show, 1 or more", most)
			}
			home, err := homeDir()
			if err != nil {
				return err
			}
			lines, err := audit.Read(auditFile(home), most)
			if err != nil {
				return err
			}
			if asJSON {
				return printLines(lines)
			}
			return showLines(lines, home)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "a line of JSON an entry, as in the file")
	c.Flags().IntVarP(&most, "number", "n", 20, "show the newest `N` entries")
	return c
}

func showLines(lines []audit.Line, home string) error {
	if len(lines) == 0 {
		say("nothing was refused yet")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		at := l.Time
		if t, err := time.Parse(time.RFC3339, l.Time); err == nil {
			at = t.Local().Format("2006-01-02 15:04:05")
		}
		what := l.Subject
		if l.Count > 1 || what == "" {
			what = strings.TrimSpace(fmt.Sprintf("%s (%d)", what, l.Count))
		}
		project := l.Project
		if rest, ok := strings.CutPrefix(project, home+"/"); ok {
			project = "~/" + rest
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s: %s\n", at, printable(project), printable(l.Command), printable(l.Outcome), printable(what), printable(l.Kind), printable(l.Reason))
	}
	return w.Flush()
}

// printLines writes what programs read.
func printLines(lines []audit.Line) error {
	e := json.NewEncoder(os.Stdout)
	for _, l := range lines {
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}
