package sandbox

import (
	"errors"
	"fmt"
	"os"

	"github.com/AxeForging/aigate/internal/term"
	"golang.org/x/sys/unix"
)

// Probe tries an engine with a plan that has one of everything, running
// nothing but the engine's own start: a sandbox whose command does not exist
// and so fails at the last step. nil: the engine works here.
func Probe(engine Engine, bwrap string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	plan := &Plan{Dir: "/", OwnNet: true, RootUser: os.Getuid() == 0, Steps: []Step{
		{Kind: Root, Path: "/"}, {Kind: Dev, Path: "/dev"}, {Kind: Proc, Path: "/proc"},
		{Kind: Scratch, Path: "/run", Mode: 0o755}, {Kind: Scratch, Path: "/tmp", Mode: 0o1777},
		{Kind: Kit, Path: KitDir}, {Kind: Hide, Path: "/tmp"},
	}}
	cmd := Command{Path: "/run/aigate/no-such-command", Args: []string{"none"}}
	_, err = Run(plan, cmd, Options{Engine: engine, Bwrap: bwrap, Caller: term.Detached(null)})
	if errors.Is(err, ErrNotExecuted) && errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("a command that does not exist was executed")
	}
	return err
}
