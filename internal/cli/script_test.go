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

// TestScripts runs testdata/script, which reads as documentation of the commands.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			program, err := exec.LookPath("aigate") // for where PATH is another
			if err != nil {
				return err
			}
			e.Setenv("PROGRAM", program)
			return os.Mkdir(home, 0o755)
		},
	})
}
