package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// otherEngine turns to the native engine after a start that bubblewrap failed, where the choice was
// ours: one that is too old for the plan (RHEL 9 has 0.4), or that may not make namespaces where
// aigate may. Nothing was started, and the engines keep the same promises.
func (f *runFlags) otherEngine(with *sandbox.Base, c *config.Config, err error, t *timer) bool {
	var failed *sandbox.EngineError
	if f.try != nil {
		f.try.engine = with.Engine
	}
	if with.Engine != sandbox.Bwrap || !errors.As(err, &failed) || !ourChoice(c.Engine) {
		return false
	}
	t.say("engine native: bwrap did not start: %v", err)
	with.Engine, with.Bwrap = sandbox.Native, ""
	if f.try != nil {
		f.try.engine = with.Engine
	}
	return true
}

// ourChoice says that nobody asked for an engine.
func ourChoice(configured string) bool {
	if v := os.Getenv("AIGATE_ENGINE"); v != "" {
		configured = v
	}
	return configured == "" || configured == "auto"
}

// unfit says why a bubblewrap can be no engine: what one that is setuid makes belongs to root, so
// that nothing can be mounted into it from outside.
func unfit(bwrap string) error {
	st, err := os.Stat(bwrap)
	if err == nil && st.Mode()&os.ModeSetuid != 0 {
		err = fmt.Errorf("%s is setuid root, so its sandboxes are root's and not yours to hide files in", bwrap)
	}
	return err
}
