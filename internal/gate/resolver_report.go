package gate

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const notAllowed = "no rule allows this name"

// refuse reports a name that no rule names, unless asking for it is only part
// of asking for one that is allowed. That is judged by the rest of the name
// being allowed in full, so that nothing can be hidden in what was taken off:
// a search domain is the caller's, a service is two short labels.
func (r *Resolver) refuse(q *query) {
	name := q.name
	if automatic(name) {
		return
	}
	if rest, ok := service(name, q.question.Type); ok && r.Rules.Name(rest) {
		return
	}
	rest, ok := r.underSearch(name)
	switch {
	case !ok:
		r.report(name, notAllowed)
	case r.Rules.Name(rest), isLocalhost(rest):
	case strings.Contains(rest, "."):
		// The program wants rest, and asks for it as well, before or after.
		r.reportAs(rest, name, rest, notAllowed+" (asked as "+name+")")
	default:
		r.reportAs(name, rest, name, notAllowed)
	}
}

// automatic are names that programs ask for on their own account: whether there
// is NAT64 (RFC 7050), whether the resolver speaks TLS (RFC 9462), whether
// DNS over HTTPS is welcome. The answer "no" is the right one for each.
func automatic(name string) bool {
	return name == "ipv4only.arpa" || name == "_dns.resolver.arpa" || name == "use-application-dns.net"
}

// service takes "_http._tcp." and the like off a name, which apt, git-lfs and
// browsers ask for before they ask for the host.
func service(name string, t dnsmessage.Type) (host string, ok bool) {
	switch t {
	case dnsmessage.TypeSRV, dnsmessage.TypeHTTPS, dnsmessage.TypeSVCB, dnsmessage.TypeTXT, typeURI, typeTLSA:
	default:
		return "", false
	}
	first, rest, _ := strings.Cut(name, ".")
	second, host, _ := strings.Cut(rest, ".")
	ok = len(first) > 1 && len(first) <= 16 && first[0] == '_' // RFC 6335, 5.1: 15 letters
	switch second {
	case "_tcp", "_udp", "_sctp", "_tls", "_https", "_dns":
		return host, ok
	}
	return "", false
}

// reports passes events on in a bounded number: a program that asks for a
// thousand names a second is one piece of news, not a thousand.
type reports struct {
	mu     sync.Mutex
	recent map[string]time.Time // a name is asked for twice, for each family
	pace   time.Time            // as in pace
	held   int                  // not passed on
}

const (
	recentFor   = 2 * time.Second
	maxRecent   = 256
	reportBurst = 200
	reportEach  = time.Second / 10
)

func (r *Resolver) report(name, reason string) { r.reportAs(name, name, name, reason) }

// reportAs reports one name, and takes two for reported.
func (r *Resolver) reportAs(name, other, subject, reason string) {
	r.reports.pass(r.Event, Event{Kind: "dns", Name: subject, Reason: reason}, name, other)
}

// fail reports a name that a rule names, and that could not be answered all the same.
func (r *Resolver) fail(name, reason string) {
	r.reports.pass(r.Event, Event{Kind: "dns", Name: name, Reason: reason, Failed: true}, name)
}

func (r *Resolver) reportAddr(a netip.Addr, reason string) {
	s := a.String()
	r.reports.pass(r.Event, Event{Kind: "dns", Addr: netip.AddrPortFrom(a, 0), Reason: reason}, s, s)
}

func (r *reports) pass(to func(Event), e Event, keys ...string) {
	if to == nil {
		return
	}
	held, ok := r.admit(time.Now(), keys)
	if held > 0 {
		to(heldBack(held))
	}
	if ok {
		to(e)
	}
}

// admit says whether an event is to be passed on, and how many were not since
// the last one.
func (r *reports) admit(now time.Time, keys []string) (held int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if last, ok := r.recent[key]; ok && now.Sub(last) < recentFor {
			return 0, false
		}
	}
	if earliest := now.Add(-reportBurst * reportEach); r.pace.Before(earliest) {
		r.pace = earliest
	}
	if r.pace.After(now) {
		r.held++
		return 0, false
	}
	r.pace = r.pace.Add(reportEach)
	if r.recent == nil || len(r.recent) >= maxRecent {
		r.recent = make(map[string]time.Time)
	}
	for _, key := range keys {
		r.recent[key] = now
	}
	held, r.held = r.held, 0
	return held, true
}

func (r *reports) flush(to func(Event)) {
	r.mu.Lock()
	held := r.held
	r.held = 0
	r.mu.Unlock()
	if held > 0 && to != nil {
		to(heldBack(held))
	}
}

func heldBack(n int) Event {
	return Event{Kind: "dns", Reason: "more questions refused, too many to list", Count: n}
}
