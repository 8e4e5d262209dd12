package sandbox

import (
	"fmt"

	"github.com/AxeForging/aigate/internal/gate"
	"golang.org/x/sys/unix"
)

// The sandbox's network is made from outside, through sockets that the inner
// side makes in its namespace and hands out: whose user started the sandbox owns
// that namespace, see gate.Sockets. So nothing inside ever holds a right over it.

// bare says which sockets the inner side makes.
type bare struct {
	namespace bool // its network namespace, to make more later
	gate      bool // for the gate
	netfilter bool // nf_tables for it
	firewall  bool // and once more, see gate.Sockets
	ipv6      bool
}

func (p *Plan) bare() bare {
	b := bare{namespace: p.Gate != nil || len(p.Publish) > 0}
	if p.Gate != nil {
		b.gate, b.netfilter, b.ipv6 = true, p.Gate.Variant != gate.ByPort, p.Gate.IPv6
		b.firewall = p.Gate.Variant == gate.Slirp
	}
	return b
}

// handOutNetwork appends the making of the sockets and the message with them:
// first of all, so that the supervisor configures them while mounts are made here.
func (in *inner) handOutNetwork(p *program, b bare) {
	if !b.namespace {
		return
	}
	fds := []reg{p.open("/proc/self/ns/net", unix.O_RDONLY)}
	if b.gate {
		fds = append(fds, p.socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE),
			p.socket(b.family(), unix.SOCK_STREAM, 0), p.socket(b.family(), unix.SOCK_DGRAM, 0))
	}
	for range b2i(b.netfilter) + b2i(b.firewall) {
		fds = append(fds, p.socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER))
	}
	in.handOver(p, msgNetwork, fds...)
}

func (b bare) family() int {
	if b.ipv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (p *program) socket(family, kind, protocol int) reg {
	r := p.newReg()
	p.call("make a socket", unix.SYS_SOCKET, family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol).into(r)
	return r
}

// network takes the sockets and has the gate serve them.
func (r *running) network() error {
	b := r.plan.bare()
	if !b.namespace {
		return nil
	}
	m, err := r.expect(msgNetwork)
	if err != nil {
		return err
	}
	if want := 1 + 3*b2i(b.gate) + b2i(b.netfilter) + b2i(b.firewall); len(m.fds) != want {
		return fmt.Errorf("the sandbox handed out %d sockets instead of %d", len(m.fds)-1, want-1)
	}
	r.netns = m.fds[0]
	if b.gate {
		s := gate.Sockets{Route: m.fds[1], TCP: m.fds[2], UDP: m.fds[3], Netfilter: -1, Firewall: -1, Namespace: r.netns, More: r.moreSockets(b.family())}
		if b.netfilter {
			s.Netfilter = m.fds[4]
		}
		if b.firewall {
			s.Firewall = m.fds[5]
		}
		r.serve(s)
	}
	if len(r.plan.Publish) > 0 {
		ipv6 := gate.IPv6()
		r.opt.Publish.Serve(ipv6, r.moreSockets(bare{ipv6: ipv6}.family()))
	}
	r.lap("network")
	return nil
}

// serve has the gate configure and serve the sockets, while mounts are made: by
// PID 1 (native), or by a helper of ours (bwrap), which this thread waits for.
func (r *running) serve(s gate.Sockets) {
	r.served = make(chan struct{})
	do := func() {
		r.front, r.serveErr = r.opt.Gate.Serve(r.plan.Gate, s)
		if r.serveErr == nil && r.opt.Network != nil {
			r.opt.Network(r.front.Front, r.front.Refuses)
		}
		close(r.served)
	}
	if r.Engine == Native {
		do()
	} else {
		go do()
	}
}

// networkServed says that all listen.
func (r *running) networkServed() error {
	if r.served == nil {
		return nil
	}
	if <-r.served; r.serveErr != nil {
		return fmt.Errorf("the sandbox's network: %w", r.serveErr)
	}
	return nil
}

// moreSockets makes TCP sockets inside, at any time, by a child that joins the
// namespace: PID 1 is not asked.
func (r *running) moreSockets(family int) func(n int) ([]int, error) {
	return func(n int) ([]int, error) {
		m, err := helper(r.netns, func(in *inner) {
			p := &in.setup
			p.call("join the sandbox's network", unix.SYS_SETNS, r.netns, unix.CLONE_NEWNET)
			var fds []reg
			for range n {
				fds = append(fds, p.socket(family, unix.SOCK_STREAM, 0))
			}
			in.handOver(p, msgNetwork, fds...)
		}, nil, nil)
		if err == nil && (m.kind != msgNetwork || len(m.fds) != n) {
			err = fmt.Errorf("the helper in the sandbox's network made %d sockets of %d", len(m.fds), n)
		}
		return m.fds, err
	}
}
