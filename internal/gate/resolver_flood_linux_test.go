package gate

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Garbage, questions without end and connections that say nothing: the resolver
// goes on answering, with no more memory and goroutines than before. The issue
// wants 1 GiB: GATE_FLOOD_MIB=1024.
func TestFlood(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	mib := 48
	if s := os.Getenv("GATE_FLOOD_MIB"); s != "" {
		var err error
		mib, err = strconv.Atoi(s)
		must(t, err)
	}
	r, e := newResolver(t)
	answering(t, r)
	answers := func() {
		t.Helper()
		for _, network := range []string{"udp", "tcp"} {
			query := ask(t, "A api.example.com")
			var answer *dns.Msg
			err := io.EOF
			for try := 0; try < 100 && err != nil; try++ { // under a flood the socket's buffer is full, as any server's
				answer, _, err = (&dns.Client{Net: network, Timeout: 2 * time.Second}).Exchange(query, "198.18.0.1:53")
			}
			if err != nil {
				t.Fatalf("%s: %v", network, err)
			}
			if got := said(t, r, query, packed(t, answer)); got != "NOERROR A 4" {
				t.Errorf("%s: %q", network, got)
			}
		}
	}
	answers()
	before := heap()
	goroutines := runtime.NumGoroutine()

	garbage := make([]byte, 60000)
	rand.Read(garbage)
	questions := [][]byte{packed(t, ask(t, "TXT evil.com")), packed(t, ask(t, "ANY api.example.com"))}
	for _, kind := range []string{"large garbage", "small garbage", "questions"} {
		var sent atomic.Int64
		var senders sync.WaitGroup
		for s := range 3 {
			senders.Add(1)
			go func() {
				defer senders.Done()
				c, err := net.Dial("udp", "9.9.9.9:53")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				garbage := bytes.Clone(garbage)
				for i := s; sent.Load() < int64(mib)<<20/3; i++ {
					b := questions[i%2]
					switch kind {
					case "large garbage":
						b = garbage[:3000+i%4000]
					case "small garbage":
						b = garbage[i%50000:][:i%200]
						if len(b) > 3 {
							b[2] = 0 // a question, whose answer is work
						}
					}
					n, _ := c.Write(b)
					sent.Add(int64(n))
				}
			}()
		}
		answers()
		senders.Wait()
		answers()
		t.Logf("%s: %d MiB sent", kind, sent.Load()>>20)
	}
	var silent []net.Conn
	for i := range 3 * maxStreams {
		c, err := net.Dial("tcp", "9.9.9.9:53")
		must(t, err)
		defer c.Close()
		c.Write([]byte{0, byte(i), 1}[:i%4]) // nothing, or a part of a question
		silent = append(silent, c)
	}
	if n := len(r.streams); n > maxStreams {
		t.Errorf("%d connections are served", n)
	}
	for _, c := range silent {
		c.Close()
	}
	for len(r.streams) > 0 {
		time.Sleep(time.Millisecond)
	}
	answers()
	c, err := net.Dial("tcp", "9.9.9.9:53")
	must(t, err)
	defer c.Close()
	go c.Write(bytes.Repeat(garbage, 10))
	io.Copy(io.Discard, c) // ends
	answers()
	e.take()
	if after := heap(); after > before+2<<20 {
		t.Errorf("%d KiB are in use, %d before", after>>10, before>>10)
	}
	if now := runtime.NumGoroutine(); now > goroutines+4 {
		t.Errorf("%d goroutines, %d before", now, goroutines)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// A host resolver that does not answer: a bounded number of questions waits for
// it, and the others are answered as ever.
func TestSlowHost(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	o := newOutside(t)
	hold := make(chan struct{})
	o.mu.Lock()
	o.hold = hold
	o.mu.Unlock()
	r, _ := newResolver(t)
	r.Lookup = o.lookup(t, r.Names)
	r.wait = time.Minute
	answering(t, r)
	c, err := net.Dial("udp", "198.18.0.1:53")
	must(t, err)
	defer c.Close()
	for i := range 2000 {
		c.Write(packed(t, ask(t, fmt.Sprint("A ", i, ".pkg.example"))))
		if i%50 == 0 {
			query := ask(t, "A evil.com")
			answer, _, err := (&dns.Client{Timeout: time.Minute}).Exchange(query, "8.8.8.8:53")
			must(t, err)
			if got := said(t, r, query, packed(t, answer)); got != no {
				t.Errorf("%q", got)
			}
		}
	}
	if n := runtime.NumGoroutine(); n > 2*maxWaiting+4*maxHostLookups+100 {
		t.Errorf("%d goroutines", n)
	}
	if n := len(r.waiting); n == 0 || n > maxWaiting {
		t.Errorf("%d questions wait", n)
	}
	close(hold)
	c.SetReadDeadline(time.Now().Add(time.Minute))
	for range 50 {
		b := make([]byte, Datagram)
		n, err := c.Read(b)
		must(t, err)
		m := new(dns.Msg)
		if err := m.Unpack(b[:n]); err != nil || len(m.Answer) != 1 {
			t.Fatalf("%v %v", m, err)
		}
	}
}
