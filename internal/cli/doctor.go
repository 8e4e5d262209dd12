package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/doctor"
	"github.com/AxeForging/aigate/internal/sandbox"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Try what the sandbox needs, and say which isolation is in force",
		Long: `Try what the sandbox needs: helper programs, kernel features, and at last a run
in this folder, with its configuration and without a command. What is missing or
weaker is named with its cause and what changes it.

The exit status is 1 when ` + "`aigate run`" + ` would refuse here, with the same reason.`,
		Example: `  aigate doctor
  aigate doctor --json
  AIGATE_ENGINE=native aigate doctor     as if the configuration said engine: native`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			r := examine(watcher(asJSON))
			if asJSON {
				if err := printJSON(r); err != nil {
					return err
				}
			}
			if !r.Works {
				return exitStatus(1)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "machine readable")
	return c
}

// onlooker is told what is going on.
type onlooker struct {
	begins func(name string)
	ends   func(doctor.Finding)
	report func(*doctor.Report)
}

// watcher writes the report as it comes into being. On a terminal it says what it is waiting for.
func watcher(silent bool) onlooker {
	if silent {
		return onlooker{func(string) {}, func(doctor.Finding) {}, func(*doctor.Report) {}}
	}
	text := &doctor.Text{W: os.Stdout, Colour: coloured(os.Stdout)}
	stop := func() {}
	return onlooker{
		begins: func(name string) { stop = waiting(name) },
		ends:   func(f doctor.Finding) { stop(); text.Finding(f) },
		report: text.Verdict,
	}
}

// coloured says whether to use colours: on a terminal, unless https://no-color.org.
func coloured(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// waiting says on a terminal what is tried, when that takes long.
func waiting(name string) (stop func()) {
	if !term.IsTerminal(2) {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-done:
		case <-time.After(400 * time.Millisecond):
			fmt.Fprintf(os.Stderr, "\r  …     %s", name)
			<-done
			fmt.Fprint(os.Stderr, "\r\x1b[K")
		}
	}()
	return func() { close(done); <-gone }
}

// examine tries everything, the run here at last.
func examine(on onlooker) *doctor.Report {
	r := &doctor.Report{}
	try := func(c doctor.Check) doctor.Finding {
		on.begins(c.Name)
		f := c.Run()
		on.ends(f)
		r.Checks = append(r.Checks, f)
		return f
	}
	conf, configured, err := doctorConfig()
	m := newPatient(conf)
	for _, c := range append(m.checks(), configuration(configured, err)) {
		try(c)
	}
	for _, c := range m.Around() {
		try(c)
	}
	run := try(doctor.Check{Name: "a run here", For: "the sandbox of this folder, built and not used", Try: func() doctor.Outcome {
		t, err := tryRun(!configured && err == nil)
		if err != nil {
			r.Why = err.Error()
			return doctor.Outcome{Result: doctor.Fail, State: "refused"} // the reason comes last
		}
		r.Engine = string(t.engine)
		return doctor.Outcome{Result: doctor.OK, State: "works"}
	}})
	r.Works = run.Result == doctor.OK
	r.Mode = m.mode(r)
	on.report(r)
	return r
}

// doctorConfig is the configuration that a run here would have; before `aigate init` the built-in one.
func doctorConfig() (c config.Config, configured bool, err error) {
	c, _, err = loadBoth()
	if errors.Is(err, errNotInitialized) {
		return config.Defaults(), false, nil
	}
	if err != nil {
		return config.Defaults(), false, err
	}
	return c, true, nil
}

// configuration is the line about it.
func configuration(configured bool, err error) doctor.Check {
	return doctor.Check{Name: "configuration", Quiet: true, Try: func() doctor.Outcome {
		switch {
		case err != nil:
			return doctor.Outcome{Result: doctor.Fail, State: "unusable", Why: "the last lines say why", Without: "every run here is refused"}
		case !configured:
			return doctor.Outcome{Result: doctor.Absent, State: "none yet", Why: "there is no ~/.aigate/config.yaml",
				Without: "`aigate run` asks for it; what is said here goes for the built-in policy, `aigate run --defaults`", Fix: []string{"aigate init"}}
		}
		return doctor.Outcome{Result: doctor.OK, State: "read"}
	}}
}

// projectFolder is the project that we are in, or the current folder.
func projectFolder() string {
	path, err := projectConfig()
	if err != nil {
		return "."
	}
	return filepath.Dir(path)
}

// engineName is an engine as the mode calls it.
func engineName(e string) string {
	if e == string(sandbox.Native) {
		return "native namespaces"
	}
	return e
}
