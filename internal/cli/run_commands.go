package cli

import (
	"errors"
	"sync/atomic"

	"github.com/AxeForging/aigate/internal/audit"
	"github.com/AxeForging/aigate/internal/guard"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// commands has what is executed inside judged, as the command itself was. What it
// returns ends that after the run, and says what was refused: who drew on the
// terminal meanwhile may have drawn over it.
func (f *runFlags) commands(opt *sandbox.Options, pol *policy.Policy, host policy.Host) (end func()) {
	g := pol.Guard()
	if g == nil {
		return func() {}
	}
	log := f.log(host)
	var blind atomic.Pointer[string]
	opt.Execs = &sandbox.Execs{
		Guard:   g,
		Refused: func(d guard.Denial) { log.Record(execEvent(d), 1) },
		Blind:   func(why string) { blind.Store(&why) },
	}
	return func() {
		if why := blind.Load(); why != nil {
			say("warning: what the command started was not judged, %s; deny_exec held by its stubs alone", *why)
		}
		tellDenied(log)
		if s := log.Summary(5); s != "" && !f.quiet {
			say("commands: %s", s)
		}
	}
}

func execEvent(d guard.Denial) audit.Event {
	return audit.Event{Kind: "exec", Subject: d.What, Reason: d.Reason}
}

// noteDenied puts a command that was refused before the start into the audit log.
func (f *runFlags) noteDenied(err error, host policy.Host) {
	var denied *policy.ExecError
	if f.dryRun || !errors.As(err, &denied) {
		return
	}
	log := f.log(host)
	log.Record(execEvent(*denied.Denial), 1)
	tellDenied(log)
}

func tellDenied(log *audit.Log) {
	if err := log.Close(); err != nil {
		say("what was refused could not be noted: %v", err)
	}
}
