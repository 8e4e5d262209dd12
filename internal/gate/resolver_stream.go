package gate

import (
	"encoding/binary"
	"io"
	"net"
	"time"
)

const (
	maxStreams = 64
	// streamIdle is for the next question to come, whole: a connection that sends it a byte at a time ends as well.
	streamIdle  = 10 * time.Second
	streamWrite = 5 * time.Second
)

// ServeStream answers on a connection to port 53, one question after the other
// (RFC 7766), and closes it.
func (r *Resolver) ServeStream(c net.Conn) {
	defer c.Close()
	r.start()
	select {
	case r.streams <- struct{}{}:
		defer func() { <-r.streams }()
	default:
		return
	}
	buf := make([]byte, 2+maxQuery)
	for r.ctx.Err() == nil {
		c.SetReadDeadline(time.Now().Add(streamIdle))
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(buf))
		if size > maxQuery {
			return
		}
		if _, err := io.ReadFull(c, buf[2:2+size]); err != nil {
			return
		}
		answer := r.Answer(buf[2:2+size], Stream)
		if answer == nil {
			return // over TCP somebody speaks another protocol
		}
		c.SetWriteDeadline(time.Now().Add(streamWrite))
		framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		if _, err := c.Write(framed); err != nil {
			return
		}
	}
}
