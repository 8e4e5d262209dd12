package gate

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// Go's resolver does not tell an answer's TTL. What it says is held for a moment only, so that the question of the
	// program inside and the connection that follows ask once; the rules are applied to the addresses that are dialled.
	holdFound    = 30 * time.Second
	holdNotFound = 5 * time.Second

	// hostPatience is for a host whose first name servers are down: Go goes to the next after 5 seconds.
	hostPatience = 15 * time.Second

	maxHostLookups = 50   // that run at a time
	maxHeld        = 1024 // answers that are held, and lookups that wait
)

// Lookup asks the host's resolver, as any program on the host would: the hosts
// file, the name servers and the search list of resolv.conf. Questions for one
// name that come while one is under way share its answer. It is asked only for
// names that the rules allow, which is up to its callers.
type Lookup struct {
	rules   *Rules
	names   *Names
	host    *net.Resolver
	ctx     context.Context
	close   context.CancelFunc
	running chan struct{}

	pace pace

	mu   sync.Mutex
	held map[string]*hostAnswer
}

type hostAnswer struct {
	done  chan struct{} // closed when what follows is known
	addrs []netip.Addr
	err   error
	until time.Time
}

// NewLookup returns a Lookup that has asked nothing yet.
func NewLookup(rules *Rules, names *Names) *Lookup {
	l := &Lookup{
		rules:   rules,
		names:   names,
		host:    &net.Resolver{PreferGo: true},
		running: make(chan struct{}, maxHostLookups),
	}
	l.ctx, l.close = context.WithCancel(context.Background())
	return l
}

// Addrs returns the addresses that the host finds for a name, which is in its
// normal form; IPv4 ones are not mapped into IPv6. The error is a
// *net.DNSError. The caller does not change the slice.
func (l *Lookup) Addrs(ctx context.Context, name string) ([]netip.Addr, error) {
	a := l.answer(name, true)
	if a == nil {
		return nil, &net.DNSError{Err: "too many names are being looked up", Name: name, IsTemporary: true}
	}
	select {
	case <-a.done:
		return a.addrs, a.err
	case <-ctx.Done():
		return nil, &net.DNSError{Err: "the host's resolver has not answered yet", Name: name, IsTimeout: true}
	}
}

// Held is Addrs for a caller that cannot wait: it says false when the host
// would have to be asked.
func (l *Lookup) Held(name string) (addrs []netip.Addr, err error, ok bool) {
	a := l.answer(name, false)
	if a == nil || !a.known() {
		return nil, nil, false
	}
	return a.addrs, a.err, true
}

// Forget drops what is held for a name, for when none of its addresses worked.
func (l *Lookup) Forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.held[name]; a != nil && a.known() {
		delete(l.held, name)
	}
}

// Close ends the lookups that are under way.
func (l *Lookup) Close() { l.close() }

// answer returns what is held, or what will be once the host has answered; nil
// when there is nothing, or no room.
func (l *Lookup) answer(name string, ask bool) *hostAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.held[name]
	if a != nil && !a.stale(time.Now()) {
		return a
	}
	if !ask || !l.makeRoom() {
		return nil
	}
	if l.held == nil {
		l.held = make(map[string]*hostAnswer)
	}
	a = &hostAnswer{done: make(chan struct{})}
	l.held[name] = a
	// Not under the context of whoever asks: others may wait for the same answer, and a program that has given up asks again.
	go l.ask(name, a)
	return a
}

func (l *Lookup) ask(name string, a *hostAnswer) {
	defer close(a.done)
	ctx, cancel := context.WithTimeout(l.ctx, hostPatience)
	defer cancel()
	a.addrs, a.err = l.lookup(ctx, l.host, name)
	a.until = time.Now().Add(holdFound)
	if a.err != nil {
		a.until = time.Now().Add(holdNotFound)
	}
}

func (l *Lookup) lookup(ctx context.Context, host *net.Resolver, name string) ([]netip.Addr, error) {
	if _, err := netip.ParseAddr(name); err == nil { // for Go an address is a name that needs no lookup
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	// A name that the user wrote means what it means on the host, search list and all. Below a wildcard it means itself:
	// what the payload made up is not sent to the owners of the search domains as well. It does reach whoever owns the
	// domain of the rule. That is no more than the rule gave, a connection carries more, but name servers are not to be
	// flooded from here with names that were never found.
	ask := name
	if _, exact := l.rules.exact[name]; !exact {
		if !l.names.Known(name) && !l.pace.wait(ctx) {
			return nil, &net.DNSError{Err: "too many new names below a wildcard at once", Name: name, IsTemporary: true}
		}
		ask += "."
	}
	select {
	case l.running <- struct{}{}:
		defer func() { <-l.running }()
	case <-ctx.Done():
		return nil, &net.DNSError{Err: "the host's resolver does not answer", Name: name, IsTimeout: true}
	}
	addrs, err := host.LookupNetIP(ctx, "ip", ask)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, err
}

// makeRoom says whether one more answer can be held. Which ones go to make room
// for it is left to chance: they are seconds old at most.
func (l *Lookup) makeRoom() bool {
	if len(l.held) < maxHeld {
		return true
	}
	now := time.Now()
	for name, a := range l.held {
		if a.stale(now) {
			delete(l.held, name)
		}
	}
	for name, a := range l.held {
		if len(l.held) < maxHeld {
			break
		}
		if a.known() {
			delete(l.held, name)
		}
	}
	return len(l.held) < maxHeld
}

func (a *hostAnswer) known() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func (a *hostAnswer) stale(now time.Time) bool { return a.known() && now.After(a.until) }
