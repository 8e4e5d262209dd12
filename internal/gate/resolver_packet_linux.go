package gate

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const receiveBuffer = 1 << 20 // of the kernel, and only while it is needed

// ServePacket answers on a UDP socket until it is closed. The socket is bound to
// port 53 of every address, so the answer has to name the address that was
// asked: programs drop answers from another one.
func (r *Resolver) ServePacket(c *net.UDPConn) error {
	r.start()
	if err := prepare(c); err != nil {
		return err
	}
	buf, info := make([]byte, maxQuery+1), make([]byte, 128) // what fills buf is too long
	for failures := 0; ; {
		n, infoN, _, from, err := c.ReadMsgUDPAddrPort(buf, info)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// The kernel is out of memory for a moment; nothing else is known to end up here.
			if failures++; failures > 100 {
				return err
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		failures = 0
		source := fromDestination(info[:infoN])
		answer, later := r.answer(buf[:n], Datagram, false)
		switch {
		case later:
			r.answerLater(c, clone(buf[:n]), clone(source), from)
		case answer != nil:
			c.WriteMsgUDPAddrPort(answer, source, from) // who cannot be reached asked in vain
		}
	}
}

func (r *Resolver) answerLater(c *net.UDPConn, query, source []byte, from netip.AddrPort) {
	select {
	case r.waiting <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-r.waiting }()
		if answer := r.Answer(query, Datagram); answer != nil {
			c.WriteMsgUDPAddrPort(answer, source, from)
		}
	}()
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// prepare has each packet come with the address that it was sent to.
func prepare(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	err = raw.Control(func(fd uintptr) {
		// Hundreds of lookups at once are more than the usual buffer holds, and what is lost costs a program 5 seconds.
		// Only root gets what it asks for, others get net.core.rmem_max; no error is worth mentioning.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
		var family int
		if family, opt = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); opt != nil {
			return
		}
		if family == unix.AF_INET6 {
			// A socket for both families. Answers come from addresses that are no interface's, only routed here, which IPv6
			// does not allow otherwise.
			opt = errors.Join(
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1),
			)
			return
		}
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	})
	return errors.Join(err, opt)
}

// fromDestination turns the control message of a packet that came, in place,
// into the one of a packet that is sent from the address the first went to.
// The interface is left to the kernel's routes.
func fromDestination(info []byte) []byte {
	h, data, _, err := unix.ParseOneSocketControlMessage(info)
	switch {
	case err != nil:
		return nil
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		clear(data[:4])             // ipi_ifindex
		copy(data[4:8], data[8:12]) // ipi_spec_dst, from ipi_addr
		return info[:unix.CmsgSpace(unix.SizeofInet4Pktinfo)]
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		clear(data[16:20]) // ipi6_ifindex
		return info[:unix.CmsgSpace(unix.SizeofInet6Pktinfo)]
	}
	return nil
}
