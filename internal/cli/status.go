package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/spf13/cobra"
)

func newStatusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the rules that hold here, and where each is from",
		Long: `Show the rules that a run in this folder would have: the built-in lists, your
own configuration, and the project's.`,
		Example: `  aigate status
  aigate status --json | jq .allow_net`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := currentStatus()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s)
			}
			s.print()
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "machine readable")
	return c
}

// A rule is an entry of a list and where it is from: built-in, global, project, or the path of an
// enclosing folder's file.
type rule struct {
	Rule string `json:"rule"`
	From string `json:"from"`
}

// status is what `status --json` prints.
type status struct {
	Files struct {
		Global  string `json:"global"`
		Project string `json:"project"` // "" when there is none
		// Enclosing are those of the folders around the project, which tighten only.
		Enclosing []string `json:"enclosing,omitempty"`
	} `json:"files"`
	Group      string      `json:"group"`
	User       string      `json:"user"`
	DenyRead   []rule      `json:"deny_read"`
	DenyWrite  []rule      `json:"deny_write"`
	AllowWrite []rule      `json:"allow_write"`
	DenyExec   []rule      `json:"deny_exec"`
	DenyEnv    []rule      `json:"deny_env"`
	Unlimited  bool        `json:"network_unrestricted"`
	AllowNet   []rule      `json:"allow_net"` // null when unrestricted
	Limits     limits      `json:"resource_limits"`
	Mask       config.Mask `json:"mask_stdout"`
	Engine     string      `json:"engine"`
	Network    string      `json:"network"`
	Loosens    []string    `json:"project_loosens"`
	Approved   bool        `json:"project_approved"` // else what Loosens says does not hold
}

// limits are zero where there is none.
type limits struct {
	MaxMemory     int64 `json:"max_memory"`
	MaxCPUPercent int64 `json:"max_cpu_percent"`
	MaxPids       int64 `json:"max_pids"`
	MaxTime       int64 `json:"max_time_seconds"`
	MaxFileSize   int64 `json:"max_file_size"`
	MaxOpenFiles  int64 `json:"max_open_files"`

	text string
}

func limitsOf(l config.Limits) limits {
	return limits{l.MaxMemory, l.MaxCPUPercent, l.MaxPids, int64(l.MaxTime / time.Second), l.MaxFileSize, l.MaxOpenFiles, l.String()}
}

func currentStatus() (*status, error) {
	all, f, err := loadFiles()
	if err != nil {
		return nil, err
	}
	s := &status{Group: all.Group, User: all.User, Limits: limitsOf(all.Limits), Mask: all.Mask}
	if s.Files.Global, err = globalConfig(); err != nil {
		return nil, err
	}
	project := f.own.Rules()
	if project != nil {
		s.Files.Project = f.own.Path
	} else {
		project = &config.Config{}
	}
	if s.Loosens, s.Approved, err = f.loosens(); err != nil {
		return nil, err
	}
	for _, a := range f.around {
		s.Files.Enclosing = append(s.Files.Enclosing, a.path)
	}
	from := func(list func(*config.Config) []string) []rule {
		merged, global, project := list(&all), list(f.global), list(project)
		out := make([]rule, len(merged))
		for i, r := range merged {
			out[i] = rule{r, "built-in"}
			for _, a := range f.around {
				if slices.Contains(list(a.says), r) {
					out[i].From = a.path
				}
			}
			switch {
			case slices.Contains(global, r):
				out[i].From = "global"
			case out[i].From == "built-in" && slices.Contains(project, r):
				out[i].From = "project"
			}
		}
		return out
	}
	s.DenyRead = from(func(c *config.Config) []string { return c.DenyRead })
	s.DenyWrite = from(func(c *config.Config) []string { return c.DenyWrite })
	s.AllowWrite = from(func(c *config.Config) []string { return c.AllowWrite })
	s.DenyExec = from(func(c *config.Config) []string { return c.DenyExec })
	s.DenyEnv = from(func(c *config.Config) []string { return c.DenyEnv })
	if s.Unlimited = all.AllowNet == nil; !s.Unlimited {
		s.AllowNet = from(func(c *config.Config) []string { return slices.Compact(normal("allow_net", c.AllowNet)) })
	}
	s.Engine, s.Network = orDefault(all.Engine, "auto"), orDefault(all.Network, "gate")
	return s, nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (s *status) print() {
	project := s.Files.Project
	if project == "" {
		path, _ := projectConfig()
		project = "none in " + filepath.Dir(path)
	}
	fmt.Printf("Configuration\n  global   %s\n  project  %s\n", printable(s.Files.Global), printable(project))
	for _, path := range s.Files.Enclosing {
		fmt.Printf("  enclosing %s\n", printable(path))
	}

	section("Files that read as empty (deny_read)", s.DenyRead, "none")
	section("Writable beside the project and /tmp, where it exists (allow_write)", s.AllowWrite, "nothing")
	section("Unwritable even there (deny_write)", s.DenyWrite, "nothing")
	section("Commands that are refused (deny_exec)", s.DenyExec, "none")
	switch {
	case s.Unlimited:
		fmt.Printf("\nNetwork (allow_net)\n  NOT RESTRICTED: allow_net is not set, so every host can be reached.\n" +
			"  To restrict it: aigate deny net --except api.anthropic.com\n")
	default:
		section("Hosts that can be reached, by TCP (allow_net)", s.AllowNet, "none: no network at all")
	}
	section("Variables that are removed (deny_env)", s.DenyEnv, "none")

	fmt.Printf("\nLimits (resource_limits)\n  %s\n", orDefault(s.Limits.text, "none"))

	fmt.Printf("\nMasked in the output (mask_stdout)\n")
	if len(s.Mask.Presets)+len(s.Mask.Patterns) == 0 {
		fmt.Printf("  nothing\n")
	}
	if len(s.Mask.Presets) > 0 {
		wrap(os.Stdout, "  presets ", s.Mask.Presets)
	}
	for _, p := range s.Mask.Patterns {
		fmt.Printf("  pattern  %s%s\n", escaped(p.Regex), patternOptions(p))
	}
	if len(s.Mask.Presets)+len(s.Mask.Patterns) > 0 {
		fmt.Printf("  values   of denied files (KEY=value) and removed variables\n")
	}
	fmt.Printf("\nEngine %s, network by %s\n", s.Engine, s.Network)

	if len(s.Loosens) > 0 {
		if s.Approved {
			fmt.Printf("\nThe project's file loosens, as you have approved\n")
		} else {
			fmt.Printf("\nThe project's file would loosen, once you approve it (aigate trust)\n")
		}
		for _, l := range s.Loosens {
			fmt.Printf("  %s\n", escaped(l))
		}
	}
}

func patternOptions(p config.MaskPattern) string {
	var words []string
	if p.ShowPrefix > 0 {
		words = append(words, fmt.Sprintf("shows %d bytes", p.ShowPrefix))
	}
	if p.CaseInsensitive {
		words = append(words, "in either case")
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// section prints rules by where they are from, wrapped.
func section(title string, rules []rule, none string) {
	fmt.Printf("\n%s\n", title)
	if len(rules) == 0 {
		fmt.Printf("  %s\n", none)
	}
	for _, from := range origins(rules) {
		var words []string
		for _, r := range rules {
			if r.From == from {
				words = append(words, printable(r.Rule))
			}
		}
		switch {
		case len(words) == 0:
		case filepath.IsAbs(from):
			fmt.Printf("  %s\n", printable(from))
			wrap(os.Stdout, fmt.Sprintf("  %-9s", ""), words)
		default:
			wrap(os.Stdout, fmt.Sprintf("  %-9s", from), words)
		}
	}
}

// origins are where rules are from, in the order in which the files are read.
func origins(rules []rule) []string {
	all := []string{"built-in", "global"}
	for _, r := range rules {
		if filepath.IsAbs(r.From) && !slices.Contains(all, r.From) {
			all = append(all, r.From)
		}
	}
	return append(all, "project")
}

// wrap prints words behind a label, with a comma between them, in lines of 79 columns.
func wrap(w *os.File, label string, words []string) {
	const width = 79
	indent := strings.Repeat(" ", len(label))
	line := label
	for i, word := range words {
		if i < len(words)-1 {
			word += ","
		}
		if len(line) > len(indent) && len(line)+1+len(word) > width {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = indent
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}
