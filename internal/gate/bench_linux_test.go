package gate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A gateProcess is a gate in a process of its own, as in the product, with one
// listener in place of the sandbox: everything that connects to it goes to the
// name a.example, which is a server here.
type gateProcess struct {
	at  string
	pid int
}

const gateProcessEnv = "AIGATE_TEST_GATE_TO"

func startGate(t testing.TB, server *net.TCPListener) gateProcess {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestGateProcess$")
	cmd.Env = append(os.Environ(), gateProcessEnv+"="+server.Addr().String())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return gateProcess{strings.TrimSpace(line), cmd.Process.Pid}
}

// cpu is the time that the gate has used, which says more than the clock on a busy machine.
func (g gateProcess) cpu(t testing.TB) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(fields[11]) // utime and stime of proc_pid_stat(5), in hundredths of a second
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestGateProcess is the other process.
func TestGateProcess(t *testing.T) {
	to, err := netip.ParseAddrPort(os.Getenv(gateProcessEnv))
	if err != nil {
		t.Skip("for startGate")
	}
	g := New(mustRules(t, "a.example"), nil, nil)
	g.Dialer.addrs = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{to.Addr()}, nil }
	g.Dialer.reach = func(netip.Addr) (reach, string) { return public, "" }
	l := listen(t, "127.0.0.1:0")
	name, _, _ := g.Names.Addrs("a.example")
	go func() {
		for c, err := l.AcceptTCP(); err == nil; c, err = l.AcceptTCP() {
			go g.Handle(c, netip.AddrPortFrom(name, to.Port()))
		}
	}()
	fmt.Println(l.Addr())
	io.Copy(io.Discard, os.Stdin)
}

func (g gateProcess) status(t testing.TB, key string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatal("no " + key)
	return ""
}

func dialTest(t testing.TB, at string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// A thousand connections, each of which has carried something both ways.
func TestMemory(t *testing.T) {
	server := serve(t, echo)
	g := startGate(t, server)
	for range 1000 {
		c := dialTest(t, g.at)
		io.WriteString(c, "\x00hello")
		if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
	}
	var kib int
	fmt.Sscanf(g.status(t, "VmRSS"), "%d", &kib)
	t.Logf("%.1f MiB resident with 1,000 open connections", float64(kib)/1024)
	if kib > 25<<10 && !racing { // the race detector's own books are many times that
		t.Errorf("%d KiB resident with 1,000 open connections", kib)
	}
}

// Both ways: directly, through the gate, and with 100 idle connections through
// it, each of which has carried more than spliceAfter.
func eachWay(b *testing.B, server *net.TCPListener, run func(b *testing.B, at string)) {
	b.Run("direct", func(b *testing.B) { run(b, server.Addr().String()) })
	b.Run("gate", func(b *testing.B) {
		g := startGate(b, server)
		b.ResetTimer()
		run(b, g.at)
		b.ReportMetric(float64(g.cpu(b).Microseconds())/float64(b.N), "µs-of-gate/op")
	})
}

const stream = 512 << 20

func BenchmarkDown(b *testing.B) {
	server := serve(b, func(c *net.TCPConn) {
		// As much as it is asked for.
		var mib [1]byte
		block := make([]byte, 256<<10)
		for {
			if _, err := io.ReadFull(c, mib[:]); err != nil {
				c.Close()
				return
			}
			for range 4 * int(mib[0]) {
				c.Write(block)
			}
		}
	})
	down := func(b *testing.B, at string) {
		b.SetBytes(stream)
		buf := make([]byte, 256<<10)
		for range b.N {
			c := dialTest(b, at)
			c.Write([]byte{128, 128, 128, 128})
			for left := stream; left > 0; {
				n, err := c.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				left -= n
			}
			c.Close()
		}
	}
	eachWay(b, server, down)
	b.Run("gate, 100 stalled", func(b *testing.B) {
		g := startGate(b, server)
		for range 100 {
			c := dialTest(b, g.at)
			c.Write([]byte{19}) // so the server has more to send than is taken
			io.CopyN(io.Discard, struct{ io.Reader }{c}, 2<<20)
		}
		b.ResetTimer()
		before := g.cpu(b)
		down(b, g.at)
		b.ReportMetric(float64((g.cpu(b)-before).Microseconds())/float64(b.N), "µs-of-gate/op")
	})
	b.Run("gate, 100 idle", func(b *testing.B) {
		g := startGate(b, server)
		for range 100 {
			c := dialTest(b, g.at)
			c.Write([]byte{2})
			io.CopyN(io.Discard, struct{ io.Reader }{c}, 2<<20)
		}
		b.ResetTimer()
		before := g.cpu(b)
		down(b, g.at)
		b.ReportMetric(float64((g.cpu(b)-before).Microseconds())/float64(b.N), "µs-of-gate/op")
	})
}

func BenchmarkUp(b *testing.B) {
	server := serve(b, func(c *net.TCPConn) {
		buf := make([]byte, 256<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				break
			}
		}
		c.Write([]byte{1})
		c.Close()
	})
	eachWay(b, server, func(b *testing.B, at string) {
		b.SetBytes(stream)
		block := make([]byte, 256<<10)
		for range b.N {
			c := dialTest(b, at)
			for left := stream; left > 0; left -= len(block) {
				if _, err := c.Write(block); err != nil {
					b.Fatal(err)
				}
			}
			c.CloseWrite()
			io.ReadFull(c, block[:1])
			c.Close()
		}
	})
}

func BenchmarkRequests(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + strings.Repeat("x", 100))
	server := serve(b, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				c.Close()
				return
			}
			c.Write(answer)
		}
	})
	eachWay(b, server, func(b *testing.B, at string) {
		c := dialTest(b, at)
		ask, buf := []byte("GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"), make([]byte, len(answer))
		b.ResetTimer()
		for range b.N {
			c.Write(ask)
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkConnects(b *testing.B) {
	server := serve(b, func(c *net.TCPConn) {
		c.Write([]byte{1})
		io.Copy(io.Discard, c)
		c.Close()
	})
	eachWay(b, server, func(b *testing.B, at string) {
		one := make([]byte, 1)
		var first time.Duration
		for range b.N {
			begun := time.Now()
			c, err := net.Dial("tcp", at)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, one); err != nil {
				b.Fatal(err)
			}
			first += time.Since(begun)
			reset(c.(*net.TCPConn))
		}
		b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs/first-byte")
	})
}
