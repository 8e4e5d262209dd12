package gate

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// batch is a buffer of netlink messages, netlink(7), which the kernel works
// through in order. It is plain data until exchange sends it, so what a sandbox's
// network is made of can be compared in tests.
//
// The common libraries open sockets of their own, in the namespace that the
// process is in, and make a system call for each message; these go through a
// socket that was made in another namespace, as many as there are in one call.
type batch struct {
	b    []byte
	n    uint32 // messages so far; a message's sequence number is its place, from 1
	last int    // where the last one begins
	ack  uint32 // the one that is answered in any case
}

// message appends one: its header, what fill puts in, and the length.
func (m *batch) message(typ, flags uint16, fill func()) {
	m.last = len(m.b)
	m.n++
	m.b = binary.NativeEndian.AppendUint32(m.b, 0)
	m.b = binary.NativeEndian.AppendUint16(m.b, typ)
	m.b = binary.NativeEndian.AppendUint16(m.b, unix.NLM_F_REQUEST|flags)
	m.b = binary.NativeEndian.AppendUint32(m.b, m.n)
	m.b = binary.NativeEndian.AppendUint32(m.b, 0) // to the kernel
	at := m.last
	fill()
	binary.NativeEndian.PutUint32(m.b[at:], uint32(len(m.b)-at))
}

// acknowledge asks for an answer to the last message, even if it is a success.
// Failures are always answered, and before it: one answer tells of all.
func (m *batch) acknowledge() {
	m.ack = m.n
	at := m.last + 6
	binary.NativeEndian.PutUint16(m.b[at:], binary.NativeEndian.Uint16(m.b[at:])|unix.NLM_F_ACK)
}

func (m *batch) raw(b ...byte) { m.b = append(m.b, b...) }

// attr appends an attribute, padded to a multiple of four bytes.
func (m *batch) attr(typ uint16, value ...byte) {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(unix.SizeofNlAttr+len(value)))
	m.b = binary.NativeEndian.AppendUint16(m.b, typ)
	m.b = append(m.b, value...)
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
}

// text appends a string, which nf_tables wants to end in a zero byte.
func (m *batch) text(typ uint16, s string) { m.attr(typ, append([]byte(s), 0)...) }

// nest appends an attribute that holds others.
func (m *batch) nest(typ uint16, fill func()) {
	at := len(m.b)
	m.attr(typ | unix.NLA_F_NESTED)
	fill()
	binary.NativeEndian.PutUint16(m.b[at:], uint16(len(m.b)-at))
}

// native32, big32 and big16 are numbers as routes and as nf_tables have them.
func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func big32(v uint32) []byte    { return binary.BigEndian.AppendUint32(nil, v) }
func big16(v uint16) []byte    { return binary.BigEndian.AppendUint16(nil, v) }

// exchange sends the batch and gives the errno of each message that failed, by
// its number. The kernel has worked through all when the send returns, so that
// nothing is waited for.
//
// The destination is named although it is the default: then the kernel asks for
// the sender's rights alone, and not also for those of the process that made the
// socket (__netlink_ns_capable), which has none.
func exchange(fd int, m *batch) (map[uint32]syscall.Errno, error) {
	if err := unix.Sendto(fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var failed map[uint32]syscall.Errno
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN && len(failed) > 0 {
			return failed, nil // it stopped there
		}
		if err != nil {
			return nil, fmt.Errorf("no answer from the kernel: %w", err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr+4; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) {
				return nil, fmt.Errorf("the kernel's answer has %d bytes of %d", len(b), size)
			}
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
				seq := binary.NativeEndian.Uint32(b[8:])
				if e := -int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); e != 0 {
					if failed == nil {
						failed = map[uint32]syscall.Errno{}
					}
					failed[seq] = syscall.Errno(e)
				}
				if seq == m.ack {
					return failed, nil
				}
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}
