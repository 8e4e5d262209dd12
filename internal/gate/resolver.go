package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxWaiting bounds the questions of ServePacket that wait for the host. More
// are dropped, as by any name server under load, and asked again by those who
// mean them.
const maxWaiting = 256

// patience is how long a program waits for the host's resolver. glibc asks
// twice, 5 seconds apart, and then gives up.
const patience = 9 * time.Second

// A Resolver is the only name server that a sandbox has. It answers
//
//   - names that a rule names with their synthetic addresses, when the host's
//     resolver finds them or the caller's proxy will;
//   - "localhost" and the machine's own name with loopback;
//   - the reverse of these;
//   - every other name with "no such name", at once, and with an Event. Nothing
//     is asked outside about it.
//
// Records of all other types are kept from the program, also of allowed names.
// HTTPS records in particular would bring keys for hiding the name in TLS.
type Resolver struct {
	Rules    *Rules
	Names    *Names
	Lookup   *Lookup  // nil: every allowed name is there
	IPv6     bool     // the sandbox has it
	Search   []string // the search list of the sandbox's resolv.conf
	Hostname string   // the machine's

	Loopback4 bool // "localhost" has no IPv6 address, as outside: a server that listens on one family alone is found at once
	Event     func(Event)

	// Proxied says that the name is left to the caller's proxy to find. The host may know no outside names at all then.
	Proxied func(name string) bool

	// Real, when set, takes the place of synthetic addresses: the answer holds what it returns, and is given when it has returned.
	Real func(ctx context.Context, name string) ([]netip.Addr, time.Duration, error)

	once    sync.Once
	ctx     context.Context
	close   context.CancelFunc
	wait    time.Duration // patience
	waiting chan struct{}
	streams chan struct{}
	reports reports
}

func (r *Resolver) start() {
	r.once.Do(func() {
		r.ctx, r.close = context.WithCancel(context.Background())
		if r.wait == 0 {
			r.wait = patience
		}
		r.waiting = make(chan struct{}, maxWaiting)
		r.streams = make(chan struct{}, maxStreams)
		if r.Names == nil {
			r.Names = NewNames()
		}
	})
}

// Close ends what waits for the host, and reports what has been held back.
func (r *Resolver) Close() {
	r.start()
	r.close()
	r.reports.flush(r.Event)
}

// Answer returns the answer to a query, nil when there is to be none. The size
// is what the way back can carry: Datagram or Stream. It takes as long as the
// host's resolver does where that has to be asked.
func (r *Resolver) Answer(query []byte, size int) []byte {
	b, _ := r.answer(query, size, true)
	return b
}

// answer says later when it would have to wait for the host and must not.
func (r *Resolver) answer(b []byte, size int, wait bool) (answer []byte, later bool) {
	r.start()
	q, code := parseQuery(b, size)
	switch {
	case q == nil:
		return nil, false
	case code != dnsmessage.RCodeSuccess:
		return q.answer(outcome{code: code}), false
	}
	o, later := r.decide(q, wait)
	if later {
		return nil, true
	}
	return q.answer(o), false
}

func (r *Resolver) decide(q *query, wait bool) (o outcome, later bool) {
	if q.name == "" {
		return outcome{}, false
	}
	if isLocalhost(q.name) {
		return r.loopback(), false
	}
	name, ok := NormalName(q.name)
	ok = ok && name == q.name // nothing is translated here: DNS has its names in ASCII already
	if ok && r.Rules.Name(name) {
		if transfer(q.question.Type) {
			return outcome{code: dnsmessage.RCodeRefused}, false
		}
		return r.allowed(q, name, wait)
	}
	if addr, ok := reverseAddr(q.name); ok {
		return r.reverse(addr), false
	}
	if r.isOwnName(q.name) {
		return r.loopback(), false
	}
	r.refuse(q)
	return outcome{code: dnsmessage.RCodeNameError, extended: extendedBlocked, text: "aigate: " + notAllowed}, false
}

// transfer says that a type stands for an operation and not for records.
func transfer(t dnsmessage.Type) bool {
	return t == 0 || t == dnsmessage.TypeOPT || t >= 249 && t <= 254
}

// allowed answers for a name that the rules name. Only questions for addresses
// make the host look it up: the others have an empty answer either way.
func (r *Resolver) allowed(q *query, name string, wait bool) (o outcome, later bool) {
	if !q.wants(dnsmessage.TypeA) && !q.wants(dnsmessage.TypeAAAA) {
		return outcome{}, false
	}
	if r.Real != nil {
		if !wait {
			return outcome{}, true
		}
		return r.real(name), false
	}
	err, later := r.exists(name, wait)
	if later {
		return outcome{}, true
	}
	if err != nil {
		return r.unknown(name, err), false
	}
	v4, v6, ok := r.Names.Addrs(name)
	if !ok {
		r.fail(name, "too many names in one run: there is no address left for more")
		return outcome{code: dnsmessage.RCodeServerFailure, extended: extendedOther, text: "aigate: too many names"}, false
	}
	// Also a name that has one family outside has both here: the dialer takes what there is.
	o = outcome{addrs: []netip.Addr{v4}, ttl: ttl}
	if r.IPv6 {
		o.addrs = append(o.addrs, v6)
	}
	return o, false
}

// exists asks the host whether it finds the name.
func (r *Resolver) exists(name string, wait bool) (err error, later bool) {
	if r.Lookup == nil || r.Proxied != nil && r.Proxied(name) {
		return nil, false
	}
	if _, err, ok := r.Lookup.Held(name); ok {
		return err, false
	}
	if !wait {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.wait)
	defer cancel()
	_, err = r.Lookup.Addrs(ctx, name)
	return err, false
}

func (r *Resolver) real(name string) outcome {
	ctx, cancel := context.WithTimeout(r.ctx, r.wait)
	defer cancel()
	addrs, lasts, err := r.Real(ctx, name)
	if err != nil {
		return r.unknown(name, err)
	}
	o := outcome{ttl: uint32(max(0, min(lasts, time.Hour)) / time.Second)}
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() || r.IPv6 {
			o.addrs = append(o.addrs, a)
		}
	}
	return o
}

// unknown is for an allowed name that the host does not find: the program gets
// the error that it would get outside, the audit the reason.
func (r *Resolver) unknown(name string, err error) outcome {
	var d *net.DNSError
	known := errors.As(err, &d)
	if known && d.IsNotFound {
		r.fail(name, "the host finds no such name")
		return outcome{code: dnsmessage.RCodeNameError}
	}
	reason := err.Error()
	switch {
	case known && d.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		reason = "the host's resolver does not answer"
	case known && d.Server != "":
		reason = "the host's resolver: " + d.Err
	case known:
		reason = d.Err
	}
	r.fail(name, reason)
	return outcome{code: dnsmessage.RCodeServerFailure, extended: extendedUnreachable, text: "aigate: " + reason}
}

// underSearch takes a domain of the search list off a name.
func (r *Resolver) underSearch(name string) (rest string, ok bool) {
	for _, domain := range r.Search {
		if rest, ok := strings.CutSuffix(name, "."+strings.ToLower(strings.Trim(domain, "."))); ok && rest != "" {
			return rest, true
		}
	}
	return "", false
}
