package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
)

// usual is what the world looks like when a script does not say otherwise. Every address of it is served by the same
// program, so that the names are what tells good from evil:
//
//	NAME ANSWER... [/ ANSWER...]      after a slash: what the next query gets; the last one stays
//	resolv LINE, hosts LINE           lines of the machine's /etc/resolv.conf and /etc/hosts
//	layout TARGET                     /etc/resolv.conf is a link to there («absent»: is not there)
//	stub ADDRESS:PORT                 the machine has a DNS server of its own there
//	tun                               everybody may open /dev/net/tun, as on most machines; slirp4netns needs it
//	model COMMAND                     https://api.test is a model that tells agents to run COMMAND
//
// An ANSWER is an address, cname:NAME, txt:TEXT, slow:DURATION before it, servfail, or never.
const usual = `
allowed.test     203.0.113.10
www.allowed.test 203.0.113.11
shared.test      203.0.113.10
evil.test        203.0.113.66
v6.test          2001:db8:1::6
dual.test        203.0.113.20 2001:db8:1::20
alias.test       cname:allowed.test
slow.test        slow:4s 203.0.113.21
dead.test        never
broken.test      servfail
npm.test         203.0.113.30
pypi.test        203.0.113.31
goproxy.test     203.0.113.32
git.test         203.0.113.33
api.test         203.0.113.34
mail.test        203.0.113.35
db.test          203.0.113.36
*.wild.test      203.0.113.51
`

type zone struct {
	resolv, hosts, layout, stub, model string
	tun                                bool

	mu    sync.Mutex
	names map[string][][]string // what each query gets, and the rest
}

func readZone(script string) (*zone, error) {
	z := &zone{names: map[string][][]string{}}
	text := usual
	if script != "" {
		raw, err := os.ReadFile(script)
		if err != nil {
			return nil, err
		}
		for _, f := range txtar.Parse(raw).Files {
			if f.Name == "internet" {
				text += string(f.Data)
			}
		}
	}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "", "#":
		case "resolv":
			z.resolv += rest + "\n"
		case "hosts":
			z.hosts += rest + "\n"
		case "layout":
			z.layout = rest
		case "stub":
			z.stub = rest
		case "tun":
			z.tun = true
		case "model":
			z.model = rest
		default:
			if !strings.Contains(word, ".") {
				return nil, fmt.Errorf("%s: line %q of its internet", script, line)
			}
			var sets [][]string
			for set := range strings.SplitSeq(rest, " / ") {
				sets = append(sets, strings.Fields(set))
			}
			z.names[strings.ToLower(word)] = sets
		}
	}
	return z, nil
}

// serveDNS answers over UDP and TCP.
func serveDNS(z *zone, l *journal, addr string) error {
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if m := z.answer(q, l, w.LocalAddr().Network()); m != nil {
			_ = w.WriteMsg(m)
		}
	})
	for _, network := range []string{"udp", "tcp"} {
		started := make(chan error, 1)
		s := &dns.Server{Addr: addr, Net: network, Handler: h, UDPSize: 65535, NotifyStartedFunc: func() { started <- nil }}
		go func() { started <- s.ListenAndServe() }()
		if err := <-started; err != nil {
			return err
		}
	}
	return nil
}

// answer is what the world's name servers say; nil is nothing at all.
func (z *zone) answer(q *dns.Msg, l *journal, via string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	asked := q.Question[0]
	name := strings.ToLower(strings.TrimSuffix(asked.Name, "."))
	l.printf("dns %s %s %s", name, dns.TypeToString[asked.Qtype], via)
	owner := asked.Name
	for range 8 { // as far as aliases go
		words, ok := z.next(name, asked.Qtype)
		if !ok {
			m.Rcode = dns.RcodeNameError
			return m
		}
		alias := ""
		for _, w := range words {
			kind, arg, _ := strings.Cut(w, ":")
			head := dns.RR_Header{Name: owner, Class: dns.ClassINET, Ttl: 1}
			a, err := netip.ParseAddr(w)
			switch {
			case err == nil && a.Is4() && asked.Qtype == dns.TypeA:
				head.Rrtype = dns.TypeA
				m.Answer = append(m.Answer, &dns.A{Hdr: head, A: a.AsSlice()})
			case err == nil && a.Is6() && asked.Qtype == dns.TypeAAAA:
				head.Rrtype = dns.TypeAAAA
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: head, AAAA: a.AsSlice()})
			case err == nil:
			case kind == "cname":
				head.Rrtype = dns.TypeCNAME
				alias = arg
				m.Answer = append(m.Answer, &dns.CNAME{Hdr: head, Target: dns.Fqdn(arg)})
			case kind == "txt" && asked.Qtype == dns.TypeTXT:
				head.Rrtype = dns.TypeTXT
				m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{arg}})
			case kind == "slow":
				d, _ := time.ParseDuration(arg)
				time.Sleep(d)
			case w == "servfail":
				m.Rcode = dns.RcodeServerFailure
			case w == "never":
				return nil
			}
		}
		if alias == "" {
			return m
		}
		owner, name = dns.Fqdn(alias), alias
	}
	return m
}

// next is the answer that the next query gets. Address queries alone count: programs ask for both kinds at once, so
// the turn is over with the query for an IPv4 address.
func (z *zone) next(name string, kind uint16) ([]string, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	sets, ok := z.names[name]
	if !ok {
		if _, parent, found := strings.Cut(name, "."); found {
			sets, ok = z.names["*."+parent]
		}
		if !ok {
			return nil, false
		}
		return sets[0], true
	}
	if len(sets) > 1 && kind == dns.TypeA {
		z.names[name] = sets[1:]
	}
	return sets[0], true
}
