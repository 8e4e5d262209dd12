package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests need a network namespace: the test binary starts itself in one, as
// the inner side, which hands its sockets out over descriptor 3 and then does
// what a program inside would do.

func TestMain(m *testing.M) {
	if name := os.Getenv("GATE_TEST_INSIDE"); name != "" {
		inside(name)
		return
	}
	os.Exit(m.Run())
}

// programs are what runs inside, by name.
var programs = map[string]func(){}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func bare(domain, kind, protocol int) int {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	check(err)
	return fd
}

func inside(name string) {
	lo := bare(unix.AF_INET, unix.SOCK_DGRAM, 0)
	req, err := unix.NewIfreq("lo")
	check(err)
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	check(unix.IoctlIfreq(lo, unix.SIOCSIFFLAGS, req))
	unix.Close(lo)
	if os.Getenv("GATE_TEST_NO_IPV6") != "" {
		check(os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0))
	}
	// As the product does: no right is left when the sockets are used.
	check(unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &[]unix.CapUserData{{}, {}}[0]))
	family := unix.AF_INET6
	if os.Getenv("GATE_TEST_FOUR") != "" {
		family = unix.AF_INET
	}
	fds := []int{
		bare(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE), bare(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER),
		bare(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0),
	}
	fds = append(fds, bare(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0), bare(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER))
	for range 12 {
		fds = append(fds, bare(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0))
	}
	check(unix.Sendmsg(3, []byte("N"), unix.UnixRights(fds...), nil, 0))
	for _, fd := range fds {
		unix.Close(fd)
	}
	if n, err := unix.Read(3, make([]byte, 1)); err != nil || n != 1 {
		os.Exit(1)
	}
	unix.Close(3)
	programs[name]()
}

// box is one inner side and the gate outside of it.
type box struct {
	t      *testing.T
	served *Transparent

	logTaken  bool
	neverIPv6 bool
	slots     int
	handle    func(Conn, netip.AddrPort)
	mu        sync.Mutex
	events    []Event
}

// run starts a program inside a gate with the given rules and gives what it wrote.
func (b *box) run(program, variant string, env []string, rules ...string) string {
	t := b.t
	r, err := NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	front, err := NewFront(r, variant)
	if err != nil {
		t.Fatal(err)
	}
	if b.neverIPv6 {
		front.IPv6 = false
	}
	sp, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sp[0])
	theirs := os.NewFile(uintptr(sp[1]), "sock")
	var out bytes.Buffer
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), append(env, "GATE_TEST_INSIDE="+program)...)
	c.Stdout, c.Stderr, c.ExtraFiles = &out, &out, []*os.File{theirs}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	theirs.Close()
	oob := make([]byte, 256)
	_, n, _, _, err := unix.Recvmsg(sp[0], make([]byte, 8), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		c.Wait()
		t.Fatal(err, out.String())
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	b.served = &Transparent{Front: *front, resolver: b.resolver(r), handle: tell, event: func(e Event) { b.mu.Lock(); b.events = append(b.events, e); b.mu.Unlock() }}
	more := fds[5:]
	start := time.Now()
	if b.handle != nil {
		b.served.handle = b.handle
	}
	if b.slots > 0 {
		b.served.slots = make(chan struct{}, b.slots)
	}
	if b.logTaken {
		if failed, err := exchange(fds[4], listenLog()); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
	}
	err = b.served.start(Sockets{Route: fds[0], Netfilter: fds[1], UDP: fds[2], TCP: fds[3], More: func(n int) ([]int, error) {
		out := more[:n]
		more = more[n:]
		return out, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("served after %v: %v, kernel refuses: %v", time.Since(start), &b.served.Front, b.served.Refuses)
	if len(b.served.Waiting()) == 0 {
		t.Error("nothing to wait for")
	}
	if err := b.served.Begin(); err != nil {
		t.Fatal(err)
	}
	unix.Write(sp[0], []byte{'G'})
	if err := c.Wait(); err != nil {
		t.Fatal(err, out.String())
	}
	b.served.Finish()
	b.served.Close()
	return out.String()
}

// tell is what a connection is answered in the place of a gate.
func tell(c Conn, to netip.AddrPort) {
	fmt.Fprintln(c, "to", to)
	c.Close()
}

func (b *box) resolver(r *Rules) *Resolver { return &Resolver{Rules: r} }

func (b *box) refused() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		out = append(out, e.Kind+" "+e.Addr.String())
	}
	return out
}

// dial connects, and says what came of it: what the gate said, or the errno.
func dial(where string) {
	network, addr, _ := strings.Cut(where, "/")
	what := func(err error) string {
		var e syscall.Errno
		if errors.As(err, &e) {
			return unix.ErrnoName(e)
		}
		return err.Error()
	}
	c, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		fmt.Println(where, what(err))
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if network == "udp" {
		c.Write([]byte("x"))
	}
	b, err := io.ReadAll(c)
	if err != nil {
		fmt.Println(where, "then", what(err))
		return
	}
	fmt.Println(where, strings.TrimSpace(string(b)))
}

func init() {
	programs["dial"] = func() {
		for _, to := range strings.Fields(os.Getenv("GATE_TEST_DIAL")) {
			dial(to)
		}
	}
}
