package sandbox

import (
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/limit"
)

// termGrace is how long a command has to end by itself when its time is up.
const termGrace = 5 * time.Second

// statusTimeUp is the exit status of a command whose time was up, as timeout(1)
// has it.
const statusTimeUp = 124

// statusOf is the exit status of a sandbox that was ended for a limit.
func statusOf(e limit.Excess) int {
	if e.Key == "max_time" {
		return statusTimeUp
	}
	return 128 + int(syscall.SIGKILL)
}
