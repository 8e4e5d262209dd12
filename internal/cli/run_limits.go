package cli

import (
	"github.com/AxeForging/aigate/internal/audit"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// limits has the run say how its limits are enforced, and remembers those that
// it reached. What it returns says them after the run: one line each, also with
// --quiet, for they are why a program was refused or ended.
func (f *runFlags) limits(opt *sandbox.Options, l limit.Limits, host policy.Host, t *timer) (end func()) {
	var reached []limit.Excess
	opt.Limited = func(m limit.Means) { t.say("limits: %s", m) }
	opt.Exceeded = func(e limit.Excess) { reached = append(reached, e) }
	return func() {
		if len(reached) == 0 {
			return
		}
		log := f.log(host)
		for _, e := range reached {
			log.Record(audit.Event{Kind: "limit", Subject: e.Key, Reason: e.Sentence(l)}, max(1, int(e.Count)))
			say("%s: %s; %s", e.Key, e.Sentence(l), e.Advice())
		}
		if err := log.Close(); err != nil {
			say("the limits that were reached could not be noted: %v", err)
		}
	}
}
