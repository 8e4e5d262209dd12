package sandbox

import (
	"errors"
	"time"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/guard"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/term"
)

// Command is what runs inside. Path is absolute and is executed as it is; no
// PATH is searched.
type Command struct {
	Path string
	Args []string // Args[0] is the name that the program sees itself called by
	Env  []string
}

// Base is what has to be known of a sandbox before anything else.
type Base struct {
	Engine Engine
	Bwrap  string // path of bubblewrap, for its engine
	// Caller is the caller's terminal and descriptors.
	Caller *term.Caller
	OwnNet bool // as Plan.OwnNet will be
	// Limits are as Plan.Limits will be.
	Limits limit.Limits
	// LimitsBy is how they are to be enforced, "" for the best that there is; see limit.By.
	LimitsBy string
}

// SpareFolder is the name that a folder of Options.Spare has.
const SpareFolder = "spare"

// Options are what a run needs beside plan and command.
type Options struct {
	// Here says that Plan.Dir is the current folder, which is then compared.
	Here bool
	// Spare is a folder that no sandbox sees and where placeholders may lie
	// between runs, "" for none.
	Spare string
	// Timing, when set, is told how long each stage of the start took.
	Timing func(stage string, took time.Duration)
	// Ready, when set, is called when everything is in place, just before the
	// command starts.
	Ready func()
	// Gate is the network of a plan that has one.
	Gate *gate.Gate
	// Network, when set, is told what the gate's front end came to on this
	// kernel, and whether the kernel itself refuses what no rule names.
	Network func(front gate.Front, refuses bool)
	// Publish listens for the servers inside that the plan publishes.
	Publish *gate.Publisher
	// Execs, when set, judges every program that is executed inside.
	Execs *Execs
	// Limited, when set, is told how the limits are enforced.
	Limited func(limit.Means)
	// Exceeded, when set, is told at the end of every limit that was reached.
	Exceeded func(limit.Excess)
	// Gone, when set, is called in a goroutine of its own when nothing runs inside
	// any more and nobody watches; the rest is cleared away meanwhile.
	Gone func()
	// Watch, when set, keeps masking what appears while the payload runs.
	Watch *Watch
}

// Execs judges every program that is executed inside.
type Execs struct {
	Guard *guard.Guard
	// Refused is told of each that is denied, from any goroutine.
	Refused func(guard.Denial)
	// Blind, when set, is told once when programs cannot be judged on this machine.
	Blind func(why string)
}

// Engine is a way to execute a plan.
type Engine string

// The engines of Linux, and the one of macOS.
const (
	Native         Engine = "native"   // aigate makes the namespaces itself
	Bwrap          Engine = "bwrap"    // bubblewrap makes them
	SeatbeltEngine Engine = "seatbelt" // sandbox-exec
)

// ErrNotExecuted is wrapped when the sandbox stood but execve failed; the
// errno is wrapped too (ENOENT: 127, else 126, as shells do).
var ErrNotExecuted = errors.New("command not executed")

// NoCommand is a path that leads to nothing in any sandbox: a run of it fails
// with ErrNotExecuted, when everything else is in place.
const NoCommand = KitDir + "/no-such-command"

// EngineError is what bubblewrap said when it did not get as far as the inner
// stage: nothing was started, and the other engine may do better.
type EngineError struct{ Said string }

func (e *EngineError) Error() string { return e.Said }

// ErrEnded is wrapped when the command ran, and the sandbox ended before it.
var ErrEnded = errors.New("the sandbox was ended")

// stageArg as the first argument makes a process the inner stage: PID 1 of a
// sandbox whose namespaces bubblewrap made.
const stageArg = "__inner-stage"
