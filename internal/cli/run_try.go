package cli

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/sandbox"
	"github.com/AxeForging/aigate/internal/term"
)

// tried is what doctor gets of a run that it tries. Such a run goes the way of every other, so that
// doctor says what `run` would say, up to the execution of a command that does not exist. It says
// nothing, asks nothing, and touches neither terminal nor signals.
type tried struct {
	conf   *config.Config
	engine sandbox.Engine
}

// tryRun tries a run of the current folder. Its error is that of `aigate run`.
func tryRun(defaults bool) (tried, error) {
	var t tried
	f := runFlags{defaults: defaults, quiet: true, try: &t}
	return t, f.run([]string{"none"})
}

// caller is who the command's terminal and pipes are from.
func (f *runFlags) caller() (*term.Caller, error) {
	if f.try == nil {
		return term.Inspect()
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return term.Detached(null), nil // closed with the process
}

func (f *runFlags) command(pol *policy.Policy, args []string) (sandbox.Command, error) {
	if f.try == nil {
		return command(pol, args)
	}
	return sandbox.Command{Path: sandbox.NoCommand, Args: args, Env: pol.Env}, nil
}

// deferSignals has Ctrl-C wait for the moment that a trial takes: placeholders would stay in the project.
func deferSignals() (again func()) {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return func() {
		signal.Stop(arrived)
		select {
		case s := <-arrived:
			dieOf(s.(syscall.Signal))
		default:
		}
	}
}

// tryError makes a success of the one failure that was wanted.
func tryError(err error) error {
	switch {
	case errors.Is(err, sandbox.ErrNotExecuted) && errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		return errors.New("a command that does not exist was executed: please report this")
	}
	return runError(err, "a trial")
}
