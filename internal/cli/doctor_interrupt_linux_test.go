package cli

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A doctor that is interrupted, at whichever moment, leaves no placeholder in the project.
func TestDoctorInterrupted(t *testing.T) {
	p := place(t, "allow_net: []\n", nil)
	program, err := exec.LookPath("aigate")
	if err != nil {
		t.Fatal(err)
	}
	died := 0
	for i := range 60 {
		c := &exec.Cmd{Path: program, Args: []string{"aigate", "doctor"}, Dir: p.dir, Env: p.env}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // from the beginning to behind the end
		c.Process.Signal(syscall.SIGINT)
		c.Wait()
		if c.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			died++
		}
		left, err := os.ReadDir(p.dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			t.Fatalf("interrupted after %d ms, it leaves %v", 2*i, left)
		}
	}
	if died == 0 {
		t.Error("no interrupt ended it")
	}
}
