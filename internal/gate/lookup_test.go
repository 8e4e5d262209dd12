package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// outside stands for the host's name server. Names under "broken." fail, names
// under "silent." have no answer, "none." are not there, the others are.
type outside struct {
	addr string
	mu   sync.Mutex
	all  []string
	hold chan struct{} // when set, answers wait for it to be closed
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{addr: c.LocalAddr().String()}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: c, Handler: o, NotifyStartedFunc: func() { close(started) }}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return o
}

func (o *outside) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	q := query.Question[0]
	o.mu.Lock()
	o.all = append(o.all, dns.TypeToString[q.Qtype]+" "+q.Name)
	hold := o.hold
	o.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m := new(dns.Msg)
	m.SetReply(query)
	m.RecursionAvailable = true
	name := strings.ToLower(q.Name)
	switch {
	case strings.Contains(name, "silent."):
		return
	case strings.Contains(name, "broken."):
		m.Rcode = dns.RcodeServerFailure
	case strings.Contains(name, "none.") || !strings.Contains(name, "example."):
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(203, 0, 113, 7)}}
	}
	w.WriteMsg(m)
}

// asked returns the names that questions for A have come for, and forgets them.
func (o *outside) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for _, q := range o.all {
		if name, ok := strings.CutPrefix(q, "A "); ok {
			names = append(names, strings.ToLower(name))
		}
	}
	o.all = nil
	return names
}

func (o *outside) lookup(t testing.TB, names *Names) *Lookup {
	l := NewLookup(rulesOf(t, allowed...), names)
	l.host = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", o.addr)
	}}
	t.Cleanup(l.Close)
	return l
}

func TestLookup(t *testing.T) {
	o := newOutside(t)
	l := o.lookup(t, NewNames())
	ctx := context.Background()

	if _, _, ok := l.Held("api.example.com"); ok || len(o.asked()) > 0 {
		t.Error("held before it was asked for")
	}
	for range 3 {
		addrs, err := l.Addrs(ctx, "api.example.com")
		if err != nil || fmt.Sprint(addrs) != "[203.0.113.7]" || !addrs[0].Is4() {
			t.Errorf("%v %v", addrs, err)
		}
	}
	if got := fmt.Sprint(o.asked()); got != "[api.example.com.]" {
		t.Errorf("asked outside: %v", got)
	}
	if addrs, err, ok := l.Held("api.example.com"); !ok || err != nil || len(addrs) != 1 {
		t.Errorf("held: %v %v %v", addrs, err, ok)
	}
	l.Forget("api.example.com")
	if _, _, ok := l.Held("api.example.com"); ok {
		t.Error("held after it was forgotten")
	}

	for range 3 {
		_, err := l.Addrs(ctx, "none.pkg.example")
		if d := (*net.DNSError)(nil); !errors.As(err, &d) || !d.IsNotFound {
			t.Errorf("%v", err)
		}
	}
	if got := fmt.Sprint(o.asked()); got != "[none.pkg.example.]" {
		t.Errorf("asked outside: %v", got)
	}
	_, err := l.Addrs(ctx, "broken.pkg.example")
	if d := (*net.DNSError)(nil); !errors.As(err, &d) || d.IsNotFound {
		t.Errorf("%v", err)
	}
	if addrs, err := l.Addrs(ctx, "127.0.0.1"); err == nil {
		t.Errorf("an address was looked up: %v", addrs)
	}
}

// Questions for one name that come together are one question outside, and who
// has gone does not take the answer from the others.
func TestLookupTogether(t *testing.T) {
	o := newOutside(t)
	hold := make(chan struct{})
	o.mu.Lock()
	o.hold = hold
	o.mu.Unlock()
	l := o.lookup(t, NewNames())
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Addrs(gone, "a.pkg.example"); err == nil {
		t.Error("there is an answer")
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if addrs, err := l.Addrs(context.Background(), "a.pkg.example"); err != nil || len(addrs) != 1 {
				t.Errorf("%v %v", addrs, err)
			}
		}()
	}
	close(hold)
	wg.Wait()
	if got := o.asked(); len(got) != 1 {
		t.Errorf("asked outside: %v", got)
	}
}

func TestLookupBounded(t *testing.T) {
	o := newOutside(t)
	l := o.lookup(t, NewNames())
	for i := range 3 * maxHeld {
		l.held = withHeld(l.held, fmt.Sprint(i, ".pkg.example"))
		if !l.makeRoom() {
			t.Fatalf("no room for answer %d", i)
		}
	}
	if len(l.held) >= maxHeld+1 {
		t.Errorf("%d answers are held", len(l.held))
	}
	for _, a := range l.held { // nothing that is under way is dropped
		a.done = make(chan struct{})
	}
	for len(l.held) < maxHeld {
		l.held[fmt.Sprint(len(l.held), ".waits.example")] = &hostAnswer{done: make(chan struct{})}
	}
	if _, err := l.Addrs(context.Background(), "a.pkg.example"); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one more lookup: %v", err)
	}
}

func withHeld(held map[string]*hostAnswer, name string) map[string]*hostAnswer {
	if held == nil {
		held = make(map[string]*hostAnswer)
	}
	a := &hostAnswer{done: make(chan struct{}), until: time.Now().Add(time.Hour)}
	close(a.done)
	held[name] = a
	return held
}

func TestPace(t *testing.T) {
	var p pace
	start := time.Now()
	soon, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	over, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Hour))
	defer cancel()
	for i := range paceBurst {
		if !p.wait(soon) {
			t.Fatalf("number %d of the burst has to wait", i)
		}
	}
	if p.free.Before(start) {
		t.Error("the burst has taken no turns")
	}
	p.free = time.Now().Add(time.Minute) // as after many more
	if p.wait(over) {
		t.Error("one that cannot wait was let through")
	}
	if before := p.free; p.wait(over) || p.free != before {
		t.Error("one that was sent away has taken a turn")
	}
	p.free = time.Now().Add(paceEach)
	if !p.wait(soon) {
		t.Error("one that can wait was sent away")
	}
}

// New names below a wildcard wait for their turn, no others do.
func TestLookupPaced(t *testing.T) {
	o := newOutside(t)
	names := NewNames()
	names.Addrs("known.pkg.example")
	l := o.lookup(t, names)
	l.pace.free = time.Now().Add(time.Hour)
	for _, name := range []string{"api.example.com", "known.pkg.example"} {
		if _, err := l.Addrs(context.Background(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.asked()
	if _, err := l.Addrs(context.Background(), "new.pkg.example"); err == nil || !strings.Contains(err.Error(), "too many new names") {
		t.Errorf("new: %v", err)
	}
	if got := o.asked(); len(got) > 0 {
		t.Errorf("asked outside: %v", got)
	}
}

// A resolver with the host behind it: what exists outside exists inside.
func TestAnswersOfHost(t *testing.T) {
	o := newOutside(t)
	r, e := newResolver(t)
	r.Lookup = o.lookup(t, r.Names)
	r.wait = time.Second
	r.Proxied = func(name string) bool { return name == "proxied.none.pkg.example" }
	for _, test := range []struct{ ask, want, event, outside string }{
		{"A api.example.com", "NOERROR A 4", "", "[api.example.com.]"},
		{"AAAA api.example.com", "NOERROR AAAA 6", "", "[]"},
		{"A x.pkg.example", "NOERROR A 4", "", "[x.pkg.example.]"},
		{"TXT secret.pkg.example", empty, "", "[]"},
		{"A none.pkg.example", no, "failed: none.pkg.example: the host finds no such name", "[none.pkg.example.]"},
		{"AAAA none.pkg.example", no, "", "[]"},
		{"A proxied.none.pkg.example", "NOERROR A 4", "", "[]"},
		{"A silent.pkg.example", "SERVFAIL", "failed: silent.pkg.example: the host's resolver does not answer", "[silent.pkg.example.]"},
		{"A evil.com", no, "evil.com: " + notAllowed, "[]"},
		{"A localhost", "NOERROR A 127.0.0.1", "", "[]"},
		{"A box", "NOERROR A 127.0.0.1", "", "[]"},
		{"PTR 8.8.8.8.in-addr.arpa", no, "8.8.8.8: addresses outside have no names here", "[]"},
	} {
		query := ask(t, test.ask)
		if got := said(t, r, query, r.Answer(packed(t, query), Datagram)); got != test.want {
			t.Errorf("%s: %q, want %q", test.ask, got, test.want)
		}
		if got := e.take(); got != test.event {
			t.Errorf("%s: event %q, want %q", test.ask, got, test.event)
		}
		if got := fmt.Sprint(o.asked()); got != test.outside {
			t.Errorf("%s: asked outside %s, want %s", test.ask, got, test.outside)
		}
	}
	query := ask(t, "A broken.pkg.example")
	if got := said(t, r, query, r.Answer(packed(t, query), Datagram)); got != "SERVFAIL" {
		t.Errorf("broken: %q", got)
	}
	if got := e.take(); !strings.HasPrefix(got, "failed: broken.pkg.example: the host's resolver: ") {
		t.Errorf("broken: event %q", got)
	}
	if r.Names.Known("none.pkg.example") {
		t.Error("a name that is not there takes up an address")
	}
}
