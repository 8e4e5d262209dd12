package gate

import (
	"net"
	"syscall"
)

// A Conn is one end of a TCP connection: a *net.TCPConn, or on Linux what takes
// less to make (sock_linux.go).
type Conn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
	SyscallConn() (syscall.RawConn, error)
}

// reset closes c so that the other end sees a reset and not an orderly end.
func reset(c Conn) {
	c.SetLinger(0)
	c.Close()
}
