package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// With Slirp a sandbox has a device of its own, tap0, behind which slirp4netns(1)
// carries TCP, UDP and ping to the outside. What may go there is decided by the
// addresses of packets: nf_tables lets those through that a rule names, and those
// that the resolver has just given for an allowed name. What the names in TLS and
// HTTP are is not looked at.
//
// slirp4netns itself runs outside and refuses this machine's loopback. It is C
// that reads what hostile programs send, so it gets its own seccomp filter and,
// from Landlock, no file but its libraries.

const (
	slirpPatience = 10 * time.Second // until the device is there
	slirpAddr     = "10.0.2.100"     // the sandbox's, with --configure

	// firewallGrace is how much longer than a name's answer its addresses stay
	// reachable: programs connect late, and talk on over UDP.
	firewallGrace = 5 * time.Minute
)

// slirp is the device's other end, and the list of addresses that it may carry.
type slirp struct {
	program string
	process *exec.Cmd
	ended   chan struct{} // closed when it has ended; nil if it never began
	exit    *os.File      // slirp4netns ends when this is closed

	dialer *Dialer
	rules  *Rules
	lookup *Lookup

	mu        sync.Mutex
	netfilter int
	until     map[target]time.Time // what is in the firewall's sets
	sweep     *time.Timer
}

// target is an address and a port, 0 for any.
type target struct {
	addr netip.Addr
	port uint16
}

func (g *Gate) newSlirp(firewall int) *slirp {
	s := &slirp{program: g.Slirp, dialer: g.Dialer, rules: g.Rules, lookup: g.lookup, netfilter: firewall}
	g.Resolver.Real = s.real
	return s
}

// route gives lo the resolver's address. The other routes are slirp4netns's.
func (s *slirp) route(from Sockets) error {
	failed, err := exchange(from.Route, ownAddress())
	if err == nil && len(failed) > 0 {
		err = failed[1]
	}
	if err != nil {
		return fmt.Errorf("set the resolver's address: %w", err)
	}
	return nil
}

// attach starts slirp4netns on the namespace, and returns when the device is up.
func (s *slirp) attach(netns int) error {
	user, err := unix.IoctlRetInt(netns, unix.NS_GET_USERNS)
	if err != nil {
		return fmt.Errorf("find the owner of the sandbox's network: %w", err)
	}
	userns := os.NewFile(uintptr(user), "user namespace")
	defer userns.Close()
	copied, err := unix.FcntlInt(uintptr(netns), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	network := os.NewFile(uintptr(copied), "network namespace")
	defer network.Close()
	ready, readyTheirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	defer readyTheirs.Close()
	exitTheirs, exit, err := os.Pipe()
	if err != nil {
		return err
	}
	defer exitTheirs.Close()
	s.exit = exit
	var said bytes.Buffer
	s.process = &exec.Cmd{
		Path: s.program,
		// Not --enable-sandbox: it wants to be uid 0 of the sandbox's user namespace, where nobody is.
		Args: []string{s.program, "--configure", "--mtu=65520", "--disable-host-loopback", "--disable-dns", "--enable-seccomp",
			"--ready-fd=3", "--exit-fd=4", "--userns-path=/proc/self/fd/5", "--netns-type=path", "/proc/self/fd/6", "tap0"},
		Env:        []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		ExtraFiles: []*os.File{readyTheirs, exitTheirs, userns, network},
		Stdout:     &said, Stderr: &said,
		// A group of its own: Ctrl-C is for the command.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := s.run(); err != nil {
		return err
	}
	readyTheirs.Close()
	ready.SetReadDeadline(time.Now().Add(slirpPatience))
	if n, err := ready.Read(make([]byte, 1)); n != 1 {
		s.detach()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("slirp4netns did not get ready in %v", slirpPatience)
		}
		return slirpFailure(said.String())
	}
	return nil
}

// run starts the process from a thread that has given up its files. The thread
// lives as long as the process does, which is killed when it ends (PR_SET_PDEATHSIG
// in prctl(2)); Go ends it with the goroutine, which never unlocks it.
func (s *slirp) run() error {
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		err := withoutFiles("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/net/tun", os.DevNull, "/proc")
		if err == nil {
			err = s.process.Start()
		}
		started <- err
		if err == nil {
			s.process.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start slirp4netns: %w", err)
	}
	s.ended = ended
	return nil
}

// slirpFailure makes a sentence of what slirp4netns printed.
func slirpFailure(said string) error {
	why := "slirp4netns ended: " + strings.Join(strings.Fields(said), " ")
	if strings.Contains(said, "/dev/net/tun") {
		why += " (this user may not open /dev/net/tun, which `ls -l /dev/net/tun` shows; network: gate, the default, does without)"
	}
	return errors.New(why)
}

func (s *slirp) detach() {
	if s == nil || s.ended == nil {
		return
	}
	s.exit.Close()
	select {
	case <-s.ended:
	case <-time.After(time.Second):
		s.process.Process.Kill()
		<-s.ended
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sweep != nil {
		s.sweep.Stop()
	}
}

// real is the resolver's: it gives the addresses of an allowed name after the
// firewall knows them.
func (s *slirp) real(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	found, ttl, err := s.lookup.AddrsTTL(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	var targets []target
	var addrs []netip.Addr
	var refused error
	for _, port := range s.rules.portsOf(name) {
		fit, err := s.dialer.fit(Dest{Name: name, Port: port}, found)
		if err != nil {
			refused = err
			continue
		}
		for _, to := range fit {
			if !to.Addr().Is4() {
				continue
			}
			targets = append(targets, target{to.Addr(), port})
			addrs = append(addrs, to.Addr())
		}
	}
	if len(targets) == 0 && refused != nil {
		return nil, 0, refused
	}
	if err := s.open(targets, time.Now().Add(ttl+firewallGrace)); err != nil {
		return nil, 0, fmt.Errorf("cannot let the addresses through: %w", err)
	}
	return unique(addrs), ttl, nil
}

func unique(addrs []netip.Addr) (out []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for _, a := range addrs {
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}

// mostTargets bounds the firewall's sets: below a wildcard a program can make up
// names without end.
const mostTargets = 16384

// open lets packets to the targets through.
func (s *slirp) open(targets []target, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var more []target
	for _, t := range targets {
		if had, ok := s.until[t]; ok {
			if until.After(had) {
				s.until[t] = until
			}
		} else {
			more = append(more, t)
		}
	}
	if len(s.until)+len(more) > mostTargets {
		return errors.New("too many addresses in one run")
	}
	if len(more) == 0 {
		return nil
	}
	if err := s.change(unix.NFT_MSG_NEWSETELEM, more); err != nil {
		return err
	}
	if s.until == nil {
		s.until = map[target]time.Time{}
		s.sweep = time.AfterFunc(time.Minute, s.expire)
	}
	for _, t := range more {
		s.until[t] = until
	}
	return nil
}

// expire takes out what is over. We keep the time, not the kernel: before Linux
// 6.12 an element's timeout cannot be prolonged.
func (s *slirp) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var over []target
	for t, until := range s.until {
		if now.After(until) {
			over = append(over, t)
		}
	}
	if len(over) > 0 && s.change(unix.NFT_MSG_DELSETELEM, over) == nil {
		for _, t := range over {
			delete(s.until, t)
		}
	}
	s.sweep.Reset(time.Minute)
}

// change adds to the sets or takes out of them, a few hundred at a time: a batch
// has to fit into the socket's buffer.
func (s *slirp) change(typ uint16, all []target) error {
	for some := range slices.Chunk(all, 256) {
		if err := apply(s.netfilter, elements(typ, some)); err != nil {
			return err
		}
	}
	return nil
}
