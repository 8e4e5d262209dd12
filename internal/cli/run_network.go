package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/AxeForging/aigate/internal/audit"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// network gives the sandbox its ways in and out. What it returns ends them
// after the run, and says what they refused.
func (f *runFlags) network(opt *sandbox.Options, onTerminal bool, plan *sandbox.Plan, pol *policy.Policy, host policy.Host) (end func(), err error) {
	if len(plan.Publish) > 0 && !sandbox.SharesLoopback {
		if opt.Publish, err = gate.Publish(plan.Publish); err != nil {
			return nil, err
		}
	}
	var seen *events
	if plan.Gate != nil {
		seen = newEvents(host, f, onTerminal)
		opt.Gate = gate.New(pol.Network.Rules, host.Env, seen.network)
		if plan.Gate.Variant == gate.Slirp {
			if opt.Gate.Slirp, err = findSlirp(); err != nil {
				return nil, err
			}
		}
		opt.Gate.Resolver.Search, opt.Gate.Resolver.Loopback4 = pol.Search, pol.Loopback4
		if opt.Gate.Resolver.Hostname, err = os.Hostname(); err != nil {
			return nil, err
		}
	}
	return func() {
		if opt.Publish != nil {
			opt.Publish.Close()
		}
		if opt.Gate != nil {
			opt.Gate.Close()
			seen.tell()
		}
	}, nil
}

// findSlirp finds slirp4netns. Without it nothing is started: a gate that the
// user did not ask for would carry less, and no network at all helps nobody.
func findSlirp() (string, error) {
	path, err := rootsProgram("slirp4netns")
	if err != nil {
		return "", fmt.Errorf("network: slirp4netns: %w; install it (apt install slirp4netns, dnf install slirp4netns, pacman -S slirp4netns), or take that line out of the configuration for the gate, which needs nothing", err)
	}
	return path, nil
}

// frontText is the gate on this kernel, for --verbose.
func frontText(f gate.Front, refuses bool) string {
	text := "the gate, by nf_tables on every port, "
	switch f.Variant {
	case gate.Proxy:
		return "the gate, as a proxy on this machine's loopback"
	case gate.Slirp:
		return "slirp4netns, IPv4 alone, to addresses that nf_tables lets through"
	}
	if f.Variant == gate.ByPort {
		text = "the gate, by a listener for each port that rules name, "
	} else if !refuses {
		text = "the gate, by nf_tables without reject on every port, "
	}
	return text + families(f.IPv6)
}

// events are what the gate of a run refuses. All of them go to the audit log;
// what is said of them, and when, is decided here: never in the middle of what
// a program draws on the terminal.
type events struct {
	log            *audit.Log
	quiet, verbose bool
	live           bool // each is said when it comes
}

func newEvents(h policy.Host, f *runFlags, onTerminal bool) *events {
	e := &events{log: f.log(h), quiet: f.quiet, verbose: f.verbose, live: f.verbose && !onTerminal}
	if e.live {
		e.log.Each = sayEvent
	}
	return e
}

// log is the audit log, for one kind of events of this run.
func (f *runFlags) log(h policy.Host) *audit.Log {
	path := auditFile(h.Home)
	if (f.defaults || f.given != nil) && (h.Home == "" || absent(filepath.Dir(path))) {
		path = "" // --defaults works without `aigate init`, and leaves nothing behind; the sandbox's user has no log
	}
	return audit.New(path, audit.Run{Project: h.Project, Command: filepath.Base(h.Command[0])})
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// auditFile is where the log is, hidden from every sandbox with the folder it is in.
func auditFile(home string) string { return filepath.Join(home, ".aigate", "audit.jsonl") }

// network takes an event of the gate, from any goroutine.
func (e *events) network(ev gate.Event) {
	e.log.Record(audit.Event{Kind: ev.Kind, Subject: ev.Subject(), Reason: ev.Reason, Failed: ev.Failed}, max(1, ev.Count))
}

// tell ends the log and says what is in it.
func (e *events) tell() {
	if err := e.log.Close(); err != nil {
		say("what the network refused could not be noted: %v", err)
	}
	switch {
	case e.live:
	case e.verbose:
		const most = 50
		all := e.log.Events()
		for i, ev := range all {
			if i == most {
				say("network: and %d more, see `aigate audit`", len(all)-most)
				break
			}
			sayEvent(ev)
		}
	}
	if s := e.log.Summary(5); s != "" && !e.quiet {
		say("network: %s", s)
	}
}

func sayEvent(ev audit.Event) {
	what := "refused"
	if ev.Failed {
		what = "could not reach"
	}
	if ev.Subject != "" {
		what += " " + ev.Subject
	}
	say("network: %s: %s (%s)", what, ev.Reason, ev.Kind)
}

func families(ipv6 bool) string {
	if ipv6 {
		return "IPv4 and IPv6"
	}
	return "IPv4 alone, as on this machine"
}
