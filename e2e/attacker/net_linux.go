package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("socket KIND...", sockets)
	add("connect NETWORK ADDRESS", connect)
	add("udp ADDRESS TEXT", udp)
	add("uring-connect PORT", uringConnect)
	add("interfaces", interfaces)
	add("send-fd SOCKET FILE", sendFD)
	add("receive-fd SOCKET", receiveFD)
}

// sockets makes sockets of the kinds named and works when one of them can be had.
func sockets(args []string) error {
	kinds := map[string][3]int{
		"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0x0300}, "packet-dgram": {unix.AF_PACKET, unix.SOCK_DGRAM, 0x0300},
		"raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP}, "raw6": {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_TCP},
		"icmp": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, "vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		"alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, "tipc": {unix.AF_TIPC, unix.SOCK_STREAM, 0}, "can": {unix.AF_CAN, unix.SOCK_RAW, 1},
		"xdp": {unix.AF_XDP, unix.SOCK_RAW, 0}, "bluetooth": {unix.AF_BLUETOOTH, unix.SOCK_RAW, 1}, "kcm": {unix.AF_KCM, unix.SOCK_DGRAM, 0},
		"nfc": {unix.AF_NFC, unix.SOCK_RAW, 0}, "netlink": {unix.AF_NETLINK, unix.SOCK_RAW, 0}, "qipcrtr": {unix.AF_QIPCRTR, unix.SOCK_DGRAM, 0},
		"rds": {unix.AF_RDS, unix.SOCK_SEQPACKET, 0}, "key": {unix.AF_KEY, unix.SOCK_RAW, 2}, "unix": {unix.AF_UNIX, unix.SOCK_STREAM, 0},
		"tcp": {unix.AF_INET, unix.SOCK_STREAM, 0}, "mptcp": {unix.AF_INET, unix.SOCK_STREAM, 262},
	}
	worked := false
	for _, name := range args {
		k, ok := kinds[name]
		if !ok {
			return fmt.Errorf("unknown kind %s", name)
		}
		if _, err := unix.Socket(k[0], k[1], k[2]); err != nil {
			fmt.Printf("refused: %s: %v\n", name, err)
			continue
		}
		fmt.Printf("made: %s\n", name)
		worked = true
	}
	if !worked {
		return fmt.Errorf("none")
	}
	return nil
}

// connect reads what the other side says first. A unix address that starts with @ is an abstract one.
func connect(args []string) error {
	c, err := net.DialTimeout(args[0], args[1], 2*time.Second)
	if err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if n == 0 {
		return fmt.Errorf("connected, nothing read: %w", err)
	}
	fmt.Print(string(buf[:n]))
	return nil
}

func udp(args []string) error {
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(args[1]))
	return err
}

// uringConnect connects to a port of 127.0.0.1 by io_uring, which no filter of connect(2) sees.
func uringConnect(args []string) error {
	r, err := newRing()
	if err != nil {
		return err
	}
	addr, err := net.ResolveTCPAddr("tcp4", "127.0.0.1:"+args[0])
	if err != nil {
		return err
	}
	return r.connect(addr)
}

func interfaces([]string) error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		fmt.Println(i.Name, i.Flags)
	}
	return nil
}

// sendFD waits on a socket and hands an open file to whoever comes.
func sendFD(args []string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return err
	}
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		_, _, _ = c.WriteMsgUnix([]byte("x"), unix.UnixRights(int(f.Fd())), nil)
		c.Close()
		f.Close()
	}
}

func receiveFD(args []string) error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return err
	}
	buf, oob := make([]byte, 16), make([]byte, 64)
	_, n, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) == 0 {
		return fmt.Errorf("no descriptor: %v", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) == 0 {
		return fmt.Errorf("no descriptor: %v", err)
	}
	text := make([]byte, 4096)
	k, _ := unix.Read(fds[0], text)
	fmt.Print(strings.TrimRight(string(text[:max(k, 0)]), "\x00"))
	return nil
}

func (r *ring) connect(to *net.TCPAddr) error {
	const opConnect = 16
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: uint16(to.Port<<8 | to.Port>>8)}
	copy(sa.Addr[:], to.IP.To4())
	if _, err := r.do(opConnect, fd, unsafe.Pointer(&sa), 0, unix.SizeofSockaddrInet4, 0); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	buf := make([]byte, 256)
	n, err := r.do(opRead, fd, unsafe.Pointer(&buf[0]), uint32(len(buf)), 0, 0)
	if err != nil || n == 0 {
		return fmt.Errorf("read: %d bytes, %v", n, err)
	}
	fmt.Print(string(buf[:n]))
	return nil
}
