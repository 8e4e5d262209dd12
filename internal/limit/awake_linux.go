package limit

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Awake says that something runs, or waits for something to do, in a sandbox that
// was stopped: any thread of any process but PID 1. Proc is a descriptor of the
// sandbox's own /proc. What cannot be looked at counts as awake; an error says why.
func Awake(proc int) (bool, error) {
	w := &watcher{Sight: Sight{Proc: proc}, buf: make([]byte, 4096)}
	pids, err := w.pids()
	if err != nil {
		return true, fmt.Errorf("look whether the sandbox is stopped: %w", err)
	}
	for _, pid := range pids {
		if w.state(pid) == "T" {
			continue // with all its threads
		}
		// The first thread may have ended, be traced, or wait for a child of vfork(2):
		// that says nothing of the others.
		threads, err := w.names(pid + "/task")
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
			return true, fmt.Errorf("look whether the sandbox is stopped: %w", err)
		}
		for _, thread := range threads {
			if s := w.state(pid + "/task/" + thread); s == "R" || s == "S" {
				return true, nil
			}
		}
	}
	return false, nil
}

// state is the letter of proc_pid_status(5), "" of what has gone.
func (w *watcher) state(dir string) string { return wordOf(w.read(dir+"/status"), "State:") }
