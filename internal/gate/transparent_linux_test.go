package gate

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestConnections: what a program meets wherever it connects.
func TestConnections(t *testing.T) {
	rules := []string{"a.com", "b.com:8443", "192.0.2.0/24:81", "2001:db8:1::/64", "localhost:11434"}
	for _, tt := range []struct {
		name, variant string
		logTaken      bool   // as on a kernel that cannot log
		noIPv6        bool   // switched off
		neverIPv6     bool   // not built
		want          string // "HOST what", to the gate when it is not said
		events        string
	}{
		{name: "every port", want: `
			tcp/198.18.0.7:443
			tcp/198.19.255.254:5432
			tcp/[fd61:6967:6174:6500::7]:8443
			tcp/192.0.2.5:81
			tcp/192.0.2.5:80 ECONNREFUSED
			tcp/[2001:db8:1::5]:22
			tcp/[2001:db8:2::5]:22 ECONNREFUSED
			tcp/203.0.113.9:443 ECONNREFUSED
			tcp/255.255.255.255:443 ENETUNREACH
			tcp/127.0.0.1:11434
			tcp/[::1]:11434
			tcp/127.0.0.2:11434 ECONNREFUSED
			tcp/127.0.0.1:443 ECONNREFUSED
			tcp/198.18.0.1:443 ECONNREFUSED
			udp/198.18.0.7:443 then ECONNREFUSED
			udp/203.0.113.9:443 then ECONNREFUSED
			udp/[2001:db8::1]:443 then ECONNREFUSED`,
			events: "connect 192.0.2.5:80, connect 203.0.113.9:443, connect [2001:db8:2::5]:22, udp 198.18.0.7:443, udp 203.0.113.9:443, udp [2001:db8::1]:443"},
		{name: "no log", logTaken: true, want: `
			tcp/198.18.0.7:443
			tcp/203.0.113.9:443
			tcp/[2001:db8:2::5]:22
			tcp/[::1]:11434
			tcp/127.0.0.1:443 ECONNREFUSED
			udp/203.0.113.9:443 then ECONNREFUSED`},
		{name: "by port", variant: "ports", want: `
			tcp/198.18.0.7:443
			tcp/198.18.0.7:444 ECONNREFUSED
			tcp/[fd61:6967:6174:6500::7]:8443
			tcp/192.0.2.5:81
			tcp/203.0.113.9:443
			tcp/203.0.113.9:444 ECONNREFUSED
			tcp/127.0.0.1:11434
			tcp/[::1]:11434
			udp/203.0.113.9:443 then ECONNREFUSED`},
		{name: "no IPv6", noIPv6: true, want: `
			tcp/198.18.0.7:443
			tcp/203.0.113.9:443 ECONNREFUSED
			tcp/127.0.0.1:11434
			tcp/[fd61:6967:6174:6500::7]:8443 EADDRNOTAVAIL
			tcp/[2001:db8:1::5]:22 EADDRNOTAVAIL`,
			events: "connect 203.0.113.9:443"},
		{name: "never IPv6", neverIPv6: true, want: `
			tcp/198.18.0.7:443
			tcp/203.0.113.9:443 ECONNREFUSED
			tcp/127.0.0.1:11434`,
			events: "connect 203.0.113.9:443"},
		{name: "never IPv6, by port", variant: "ports", neverIPv6: true, want: `
			tcp/198.18.0.7:443
			tcp/127.0.0.1:11434`},
		{name: "no IPv6, by port", variant: "ports", noIPv6: true, want: `
			tcp/198.18.0.7:443
			tcp/[2001:db8:1::5]:22 EADDRNOTAVAIL`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var to, want []string
			for line := range strings.Lines(strings.TrimSpace(tt.want)) {
				where, what, known := strings.Cut(strings.TrimSpace(line), " ")
				if !known {
					_, addr, _ := strings.Cut(where, "/")
					what = "to " + addr
				}
				to, want = append(to, where), append(want, where+" "+what)
			}
			b := &box{t: t, logTaken: tt.logTaken}
			env := []string{"GATE_TEST_DIAL=" + strings.Join(to, " ")}
			if b.neverIPv6 = tt.neverIPv6; b.neverIPv6 {
				env = append(env, "GATE_TEST_FOUR=1")
			}
			if tt.noIPv6 {
				env = append(env, "GATE_TEST_NO_IPV6=1")
			}
			got := b.run("dial", tt.variant, env, rules...)
			if got := strings.TrimSpace(got); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
			events := b.refused()
			slices.Sort(events)
			if got := strings.Join(events, ", "); got != tt.events {
				t.Errorf("events %s, want %s", got, tt.events)
			}
		})
	}
}

// TestManyAddresses: more rules than a table takes are judged by the gate.
func TestManyAddresses(t *testing.T) {
	for _, tt := range []struct {
		rules int
		want  string
	}{{mostAddresses, "ECONNREFUSED"}, {mostAddresses + 1, "to 203.0.113.9:443"}, {3000, "to 203.0.113.9:443"}} {
		var rules []string
		for i := range tt.rules {
			rules = append(rules, fmt.Sprintf("10.%d.%d.0/24:80", i/256, i%256))
		}
		b := &box{t: t}
		got := b.run("dial", "", []string{"GATE_TEST_DIAL=tcp/203.0.113.9:443 tcp/10.0.7.7:80"}, rules...)
		if want := "tcp/203.0.113.9:443 " + tt.want + "\ntcp/10.0.7.7:80 to 10.0.7.7:80\n"; got != want {
			t.Errorf("%d rules: %s", tt.rules, got)
		}
	}
}

// TestCrowd: what cannot be served yet waits, and is served later.
func TestCrowd(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	count := func(d int) {
		mu.Lock()
		defer mu.Unlock()
		now += d
		most = max(most, now)
	}
	b := &box{t: t, slots: 3, handle: func(c Conn, to netip.AddrPort) {
		count(1)
		defer count(-1)
		time.Sleep(10 * time.Millisecond) // others come meanwhile
		tell(c, to)
	}}
	got := b.run("crowd", "", nil, "a.com")
	mu.Lock()
	defer mu.Unlock()
	if got != "40 served\n" || most > 3 {
		t.Errorf("%d at once, %s", most, got)
	}
}

func init() {
	programs["crowd"] = func() {
		var all []net.Conn
		for range 40 { // open before the first is read
			c, err := net.Dial("tcp", "198.18.0.9:443")
			check(err)
			all = append(all, c)
		}
		served := 0
		for _, c := range all {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			if b, err := io.ReadAll(c); err == nil && string(b) == "to 198.18.0.9:443\n" {
				served++
			}
		}
		fmt.Println(served, "served")
	}
}

func init() {
	programs["own"] = func() {
		for _, at := range []string{"0.0.0.0", "127.0.0.1", "[::1]", "[::]"} {
			network := "tcp4"
			if strings.HasPrefix(at, "[") {
				network = "tcp" // both families, for [::]
			}
			l, err := net.Listen(network, at+":0")
			check(err)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					fmt.Fprintln(c, "own", at)
					c.Close()
				}
			}()
			for _, to := range strings.Fields(os.Getenv("GATE_TEST_DIAL")) {
				c, err := net.Dial("tcp", to+":"+port)
				if err != nil {
					continue
				}
				b, _ := io.ReadAll(c)
				fmt.Println(to, strings.TrimSpace(string(b)))
			}
		}
	}
}

// TestOwnServers: what a program listens on is its own, on every address of the sandbox.
func TestOwnServers(t *testing.T) {
	b := &box{t: t}
	got := b.run("own", "", []string{"GATE_TEST_DIAL=127.0.0.1 127.0.0.9 [::1] 198.18.0.1 [fd61:6967:6174:6500::1] 203.0.113.9"}, "a.com", "localhost:1")
	const want = `127.0.0.1 own 0.0.0.0
127.0.0.9 own 0.0.0.0
198.18.0.1 own 0.0.0.0
127.0.0.1 own 127.0.0.1
[::1] own [::1]
127.0.0.1 own [::]
127.0.0.9 own [::]
[::1] own [::]
198.18.0.1 own [::]
[fd61:6967:6174:6500::1] own [::]
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}
