package policy

import (
	"net"
	"time"
)

// hostSocket is the rule that hides a socket.
const hostSocket = "socket of the host"

// sockets hides those of the project that somebody listens on. All others of the
// machine are out of reach by where they lie (sandbox.Plan.Seatbelt).
func (p *Policy) sockets(met []string) error {
	for _, path := range met {
		if c, err := net.DialTimeout("unix", path, 100*time.Millisecond); err == nil {
			c.Close()
			p.hide(path, false, hostSocket)
		}
	}
	return nil
}
