package sandbox

import (
	"errors"
	"fmt"
	"os"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/term"
	"golang.org/x/sys/unix"
)

// Probe tries an engine with a plan that has one of everything, running
// nothing but the engine's own start: a sandbox whose command does not exist
// and so fails at the last step. nil: the engine works here.
func Probe(engine Engine, bwrap string) error {
	return probe(&Plan{OwnNet: true}, Base{Engine: engine, Bwrap: bwrap}, Options{})
}

// ProbeGate tries the network of a run whose rules name hosts. The front end is
// what came of it; refuses says that the kernel itself refuses what no rule names.
func ProbeGate(engine Engine, bwrap string) (front gate.Front, refuses bool, err error) {
	rules, err := gate.NewRules([]string{"example.com", "203.0.113.0/24", "localhost:1"})
	if err != nil {
		return front, false, err
	}
	want, err := gate.NewFront(rules, os.Getenv("AIGATE_GATE"))
	if err != nil {
		return front, false, err
	}
	g := gate.New(rules, nil, func(gate.Event) {})
	defer g.Close()
	err = probe(&Plan{OwnNet: true, Gate: want}, Base{Engine: engine, Bwrap: bwrap},
		Options{Gate: g, Network: func(f gate.Front, r bool) { front, refuses = f, r }})
	return front, refuses, err
}

// ProbeLimits tries a run that has every limit which is counted, and says who
// counts; by is the way to take, "" for the best.
func ProbeLimits(engine Engine, bwrap, by string) (m limit.Means, err error) {
	l := limit.Limits{MaxMemory: 1 << 40, MaxCPUPercent: 100, MaxPids: 1 << 20}
	err = probe(&Plan{OwnNet: true, Limits: l}, Base{Engine: engine, Bwrap: bwrap, Limits: l, LimitsBy: by},
		Options{Limited: func(got limit.Means) { m = got }})
	return m, err
}

func probe(plan *Plan, with Base, opt Options) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	with.Caller, with.OwnNet = term.Detached(null), plan.OwnNet
	plan.Dir, plan.RootUser = "/", os.Getuid() == 0
	plan.Steps = []Step{
		{Kind: Root, Path: "/"}, {Kind: Dev, Path: "/dev"}, {Kind: Proc, Path: "/proc"},
		{Kind: Scratch, Path: "/run", Mode: 0o755}, {Kind: Scratch, Path: "/tmp", Mode: 0o1777},
		{Kind: Kit, Path: KitDir}, {Kind: Hide, Path: "/tmp"},
	}
	cmd := Command{Path: NoCommand, Args: []string{"none"}}
	s, err := Begin(with)
	if err != nil {
		return err
	}
	_, err = s.Run(plan, cmd, opt)
	if errors.Is(err, ErrNotExecuted) && errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("a command that does not exist was executed")
	}
	return err
}
