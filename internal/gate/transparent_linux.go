package gate

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sockets were made by the inner side, in the sandbox's network namespace, with
// no right to do anything with them. Whose user started the sandbox owns that
// namespace: routes, nf_tables rules and ports below 1024 are set through them
// from outside. Serve takes the descriptors over.
type Sockets struct {
	Route     int // NETLINK_ROUTE
	Netfilter int // NETLINK_NETFILTER, -1 with ByPort
	Firewall  int // another, with Slirp, else -1
	Namespace int // the network namespace; it stays the caller's
	TCP, UDP  int // AF_INET6 if Front.IPv6, non-blocking
	// More makes n more like TCP.
	More func(n int) ([]int, error)
}

// A Transparent is the gate's front end in one sandbox: whatever a program there
// connects to, it reaches the gate.
type Transparent struct {
	// Front is what came of it: the variant that works, IPv6 if it does.
	Front Front
	// Refuses says that addresses no rule names are refused by the kernel.
	Refuses bool

	resolver  *Resolver
	handle    func(client Conn, to netip.AddrPort)
	event     func(Event)
	route     int
	netfilter int
	bound     []int // what listens, the resolver's socket first; see Begin
	log       *os.File
	logMu     sync.Mutex
	logBuf    []byte
	udp       *net.UDPConn
	listeners []*sockListener
	slots     chan struct{}
	closing   chan struct{}
	slirp     *slirp
}

// Serve makes the sandbox's network. When it returns, everything listens: no
// program was ever there before the gate. What comes waits for Begin.
func (g *Gate) Serve(f *Front, s Sockets) (*Transparent, error) {
	t := &Transparent{Front: *f, resolver: g.Resolver, handle: g.Handle, event: g.Event}
	if f.Variant == Slirp {
		t.slirp = g.newSlirp(s.Firewall)
	}
	return t, t.start(s)
}

func (t *Transparent) start(s Sockets) (err error) {
	t.closing, t.route, t.netfilter = make(chan struct{}), s.Route, s.Netfilter
	ipv6 := t.Front.IPv6
	if t.Front.Variant == Slirp {
		err = t.slirp.route(s)
	} else {
		t.Front.IPv6, err = route(s.Route, ipv6)
	}
	if err != nil {
		return err
	}
	t.resolver.IPv6 = t.Front.IPv6
	if err := t.divert(s.Netfilter); err != nil {
		return err
	}
	if err := t.listen(ipv6, s); err != nil {
		return err
	}
	if t.slirp != nil {
		return t.slirp.attach(s.Namespace)
	}
	return nil
}

// Waiting gives the descriptors on which something comes when a program first
// wants the network. Many commands never do, and Begin costs threads.
func (t *Transparent) Waiting() []int {
	if t == nil || t.udp != nil {
		return nil
	}
	if t.Refuses {
		return append([]int{t.netfilter}, t.bound...)
	}
	return t.bound
}

// Begin serves what came and will come.
func (t *Transparent) Begin() error {
	if t == nil || t.udp != nil {
		return nil
	}
	if t.slots == nil {
		t.slots = make(chan struct{}, mostConnections())
	}
	for i, fd := range t.bound {
		if err := t.take(fd, i == 0); err != nil {
			return fmt.Errorf("serve the sandbox's network: %w", err)
		}
	}
	for _, l := range t.listeners {
		go t.accept(l)
	}
	if t.Refuses {
		t.log = os.NewFile(uintptr(t.netfilter), "nf_tables")
		go t.readLog()
	}
	go t.resolver.ServePacket(t.udp)
	return nil
}

// take takes over what is bound: the resolver's socket, or a listener.
func (t *Transparent) take(fd int, resolver bool) error {
	if !resolver {
		l, err := newSockListener(fd)
		if err == nil {
			t.listeners = append(t.listeners, l)
		}
		return err
	}
	f := os.NewFile(uintptr(fd), "sandbox")
	defer f.Close()
	c, err := net.FilePacketConn(f) // a copy
	if err == nil {
		t.udp = c.(*net.UDPConn)
	}
	return err
}

// mostAddresses is how many rules about addresses the table is burdened with: it
// has to fit into one message. With more the gate judges alone.
const mostAddresses = 200

// divert puts the best table in place that this kernel takes.
func (t *Transparent) divert(fd int) error {
	if t.Front.Variant == ByPort {
		return nil
	}
	failed, err := exchange(fd, listenLog())
	if t.Front.Variant == Slirp {
		return t.fence(fd, failed, err)
	}
	if t.Refuses = err == nil && len(failed) == 0 && len(t.Front.Addresses) <= mostAddresses; t.Refuses {
		err = apply(fd, table(&t.Front, true))
	}
	if !t.Refuses || errors.Is(err, errAbsent) {
		t.Refuses = false
		err = apply(fd, table(&t.Front, false))
	}
	if err != nil && !(errors.Is(err, errAbsent) && !t.Front.Forced) {
		return fmt.Errorf("set nf_tables rules: %w", err)
	}
	if err != nil {
		t.Front.Variant = ByPort
	}
	return nil
}

// fence puts slirp4netns's table in place, without which nothing is started.
func (t *Transparent) fence(fd int, failed map[uint32]syscall.Errno, err error) error {
	if n := len(t.Front.Addresses); n > mostAddresses {
		return fmt.Errorf("network: slirp4netns with %d rules about addresses in allow_net: %d at most", n, mostAddresses)
	}
	if err == nil && len(failed) > 0 {
		err = failed[1]
	}
	if err == nil {
		err = apply(fd, slirpTable(&t.Front))
	}
	if err != nil {
		return fmt.Errorf("network: slirp4netns needs nf_tables with reject and log in the kernel: %w", err)
	}
	t.Refuses = true
	return nil
}

// listen binds what the inner side made.
func (t *Transparent) listen(ipv6 bool, s Sockets) error {
	ports := []uint16{listenPort}
	if t.Front.Variant == ByPort {
		ports = slices.Concat([]uint16{53}, t.Front.Ports, t.Front.Localhost)
		slices.Sort(ports)
		ports = slices.Compact(ports)
	}
	fds := []int{s.TCP}
	if n := len(ports) - 1; n > 0 {
		more, err := s.More(n)
		if err != nil {
			return err
		}
		fds = append(fds, more...)
	}
	if err := bind(s.UDP, ipv6, 53, false); err != nil {
		return fmt.Errorf("listen on UDP port 53 of the sandbox: %w", err)
	}
	t.bound = []int{s.UDP}
	for i, port := range ports {
		err := bind(fds[i], ipv6, port, t.Front.Variant != ByPort)
		if err == nil {
			err = unix.Listen(fds[i], 4096)
		}
		if err != nil {
			return fmt.Errorf("listen on port %d of the sandbox: %w", port, err)
		}
		t.bound = append(t.bound, fds[i])
	}
	return nil
}

// bind listens on a port of every address, of both families.
func bind(fd int, ipv6 bool, port uint16, transparent bool) error {
	if transparent {
		// One bit for both families, ip(7).
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
			return fmt.Errorf("IP_TRANSPARENT: %w", err)
		}
	}
	if !ipv6 {
		return unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)})
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
		return fmt.Errorf("IPV6_V6ONLY: %w", err)
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Port: int(port)})
}

// mostConnections is how many are served at once; the rest wait in the kernel's
// queue. Each takes a descriptor here and one to the server, and while it is
// dialed perhaps another.
func mostConnections() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 64
	}
	const ours = 160 // listeners, pipes, lookups, the watcher, the audit
	return int(min((max(l.Cur, ours+64)-ours)*2/5, 4096))
}

// accept hands connections to the gate until the listener is closed.
func (t *Transparent) accept(l *sockListener) {
	for {
		c, err := l.accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors or memory: the connection waits in the kernel
			time.Sleep(20 * time.Millisecond)
			continue
		}
		select {
		case t.slots <- struct{}{}:
			go t.serve(c)
		case <-t.closing:
			c.Close()
			return
		}
	}
}

func (t *Transparent) serve(c Conn) {
	defer func() { <-t.slots }()
	// Not the listener's but the address that the program asked for.
	to := c.LocalAddr().(*net.TCPAddr).AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	t.handle(c, to)
}

// readLog turns packets that the kernel refused into events, as they come.
func (t *Transparent) readLog() {
	c, err := t.log.SyscallConn()
	if err != nil {
		return // closed
	}
	c.Read(func(fd uintptr) (done bool) {
		t.drain(int(fd))
		return false // until it is closed
	})
}

// drain reports what was refused. What does not fit into the socket's buffer is
// lost (ENOBUFS), and only that is told.
func (t *Transparent) drain(fd int) {
	t.logMu.Lock()
	defer t.logMu.Unlock()
	if t.logBuf == nil {
		t.logBuf = make([]byte, 8<<10)
	}
	for {
		n, _, err := unix.Recvfrom(fd, t.logBuf, unix.MSG_DONTWAIT)
		if err == unix.ENOBUFS {
			t.event(Event{Kind: "connect", Reason: "more refused, too many to list"})
			continue
		}
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range logged(t.logBuf[:max(n, 0)]) {
			if t.slirp != nil && e.Kind == "udp" {
				e.Reason = "no rule names this address"
			}
			t.event(e)
		}
	}
}

// Finish reports the last events, when the sandbox is gone, and ends slirp4netns.
func (t *Transparent) Finish() {
	if t == nil {
		return
	}
	if t.Refuses {
		t.drain(t.netfilter)
	}
	t.slirp.detach()
}

// Close stops listening. Connections are the gate's to close. The descriptors of
// a process that ends anyway need no Close.
func (t *Transparent) Close() {
	close(t.closing)
	for _, l := range t.listeners {
		l.Close()
	}
	if t.udp != nil {
		t.udp.Close()
	}
	if t.log != nil {
		t.log.Close()
	}
	unix.Close(t.route)
}
