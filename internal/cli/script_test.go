package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func init() { runtime.LockOSThread() } // as main does, and for its reason

// TestMain makes this test's binary aigate.
func TestMain(m *testing.M) {
	testscript.Main(m, programs)
}

var programs = map[string]func(){
	"aigate": func() { os.Exit(Execute("v1.2.3")) },
}

// quickRace is a variable that has the race detector end programs at once: it would
// have each sleep for a second before its end.
func quickRace() (name, value string) { return "GORACE", "atexit_sleep_ms=0" }

// TestScripts runs testdata/script, which reads as documentation of the commands.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv(quickRace())
			program, err := exec.LookPath("aigate") // for where PATH is another
			if err != nil {
				return err
			}
			e.Setenv("PROGRAM", program)
			return os.Mkdir(home, 0o755)
		},
	})
}
