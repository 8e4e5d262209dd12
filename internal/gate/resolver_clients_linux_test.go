package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// inNamespace runs the rest of a test in a process with a network and a mount
// namespace of its own, where every address is local, as in a sandbox. It says
// true there, and false in the process that waits for it.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("GATE_TEST_NAMESPACE") != t.Name() {
		c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
		c.Env = append(os.Environ(), "GATE_TEST_NAMESPACE="+t.Name())
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		}
		out, err := c.CombinedOutput()
		t.Logf("in the namespace:\n%s", out)
		if err != nil {
			t.Error(err)
		}
		return false
	}
	lo := bare(unix.AF_INET, unix.SOCK_DGRAM, 0)
	defer unix.Close(lo)
	req, err := unix.NewIfreq("lo")
	must(t, err)
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	must(t, unix.IoctlIfreq(lo, unix.SIOCSIFFLAGS, req))
	route := bare(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	defer unix.Close(route)
	failed, err := exchange(route, routes(true))
	must(t, err)
	if failed != nil {
		t.Fatal(failed)
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	return true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overlay puts a text in the place of a file of the machine.
func overlay(t *testing.T, path, text string) {
	t.Helper()
	ours := filepath.Join(t.TempDir(), filepath.Base(path))
	must(t, os.WriteFile(ours, []byte(text), 0o644))
	must(t, unix.Mount(ours, path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

// answering lets a resolver answer on port 53 of every address.
func answering(t *testing.T, r *Resolver) {
	t.Helper()
	answeringBy(t, "udp", r)
}

func answeringBy(t *testing.T, network string, r *Resolver) {
	t.Helper()
	packets, err := net.ListenUDP(network, &net.UDPAddr{Port: 53})
	must(t, err)
	streams, err := net.Listen("tcp", ":53")
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- r.ServePacket(packets) }()
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			go r.ServeStream(c)
		}
	}()
	t.Cleanup(func() {
		streams.Close()
		packets.Close()
		if err := <-done; err != nil {
			t.Errorf("ServePacket: %v", err)
		}
	})
}

// The answer comes from the address that was asked, whatever it is: a connected
// socket takes no other.
func TestEveryAddress(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	r, _ := newResolver(t)
	answering(t, r)
	for _, server := range []string{
		"198.18.0.1", "127.0.0.1", "127.0.0.53", "8.8.8.8", "10.0.2.3", "169.254.169.254", "203.0.113.9",
		"::1", "fd61:6967:6174:6500::1", "2001:4860:4860::8888", "fd00:ec2::254", "::ffff:8.8.8.8",
	} {
		for _, network := range []string{"udp", "tcp"} {
			for question, want := range map[string]string{"A api.example.com": "NOERROR A 4", "AAAA api.example.com": "NOERROR AAAA 6", "TXT x.evil.com": no} {
				c := &dns.Client{Net: network, Timeout: time.Minute}
				query := ask(t, question)
				answer, _, err := c.Exchange(query, net.JoinHostPort(server, "53"))
				if err != nil {
					t.Errorf("%s %s %s: %v", network, server, question, err)
					continue
				}
				if got := said(t, r, query, packed(t, answer)); got != want {
					t.Errorf("%s %s %s: %q, want %q", network, server, question, got, want)
				}
			}
		}
	}
}

// The same where the machine has no IPv6.
func TestEveryAddressIPv4(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	r, _ := newResolver(t)
	answeringBy(t, "udp4", r)
	for _, server := range []string{"198.18.0.1", "127.0.0.53", "8.8.8.8"} {
		answer, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(ask(t, "A api.example.com"), server+":53")
		if err != nil || len(answer.Answer) != 1 {
			t.Errorf("%s: %v %v", server, answer, err)
		}
	}
}

// An answer that does not fit is cut off, and asked for again over TCP.
func TestLongAnswer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	var many []netip.Addr
	for i := range 100 {
		many = append(many, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	r, _ := newResolver(t)
	r.Real = func(context.Context, string) ([]netip.Addr, time.Duration, error) { return many, time.Minute, nil }
	answering(t, r)
	host := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "198.18.0.1:53")
	}}
	found, err := host.LookupNetIP(context.Background(), "ip4", "api.example.com.")
	if err != nil || len(found) != len(many) {
		t.Errorf("%d addresses, %v", len(found), err)
	}
}

// client is a program that looks a name up, and what it says about names that
// are there, are not, cannot be found out, and have no address of the family.
type client struct {
	name    string
	needs   string
	command func(t *testing.T, dir string) []string // the name is appended
	found   []string                                // what the answer holds, of: 4 6
	none    string
	broken  string
	reverse string // of the synthetic address; "": it does not do that
}

const pythonLookup = `
import socket, sys
try:
    print(sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 443)}))
except OSError as e:
    print(e)
    sys.exit(2)
`

const nodeLookup = `
const dns = require('dns');
dns.lookup(process.argv[1], {all: true}, (err, found) => {
	if (err) { console.log(err.code); process.exit(2) }
	console.log(found.map(a => a.address).join(' '));
});
`

const nodeResolve = `
const dns = require('dns').promises, name = process.argv[1];
(async () => {
	const four = await dns.resolve4(name, {ttl: true}), six = await dns.resolve6(name), any = await dns.resolveAny(name);
	const none = await Promise.all([dns.resolveTxt(name), dns.resolveMx(name), dns.resolveSrv(name), dns.resolveCaa(name), dns.resolveNs(name)]
		.map(p => p.then(() => 'found', e => e.code)));
	const back = await dns.reverse(four[0].address);
	console.log(four[0].address, four[0].ttl, six[0], any.length, none.join(' '), back[0]);
})().catch(e => { console.log(e.code); process.exit(2) });
`

const muslLookup = `
#include <stdio.h>
#include <sys/socket.h>
#include <netdb.h>
#include <arpa/inet.h>
int main(int argc, char **argv) {
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *found;
	int err = getaddrinfo(argv[1], "443", &hints, &found);
	if (err) { puts(gai_strerror(err)); return 2; }
	for (; found; found = found->ai_next) {
		char text[256];
		getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
		puts(text);
		if (!getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NAMEREQD)) puts(text);
	}
	return 0;
}
`

const javaLookup = `
public class Lookup {
	public static void main(String[] a) throws Exception {
		try {
			for (var found : java.net.InetAddress.getAllByName(a[0])) System.out.println(found.getHostAddress() + " " + found.getCanonicalHostName());
		} catch (java.net.UnknownHostException e) { System.out.println(e.getMessage()); System.exit(2); }
	}
}
`

func fixed(args ...string) func(*testing.T, string) []string {
	return func(*testing.T, string) []string { return args }
}

var clients = []client{
	{"glibc", "getent", fixed("getent", "ahosts"), []string{"<4>", "<6>"}, "exit status 2", "exit status 2", ""},
	{"python", "python3", fixed("python3", "-c", pythonLookup), []string{"<4>", "<6>"}, "Name or service not known", "Temporary failure in name resolution", ""},
	{"node lookup", "node", fixed("node", "-e", nodeLookup), []string{"<4>", "<6>"}, "ENOTFOUND", "EAI_AGAIN", ""},
	{"node c-ares", "node", fixed("node", "-e", nodeResolve), []string{"<4> 60 <6> 2 ENODATA ENODATA ENODATA ENODATA ENODATA api.example.com"}, "ENOTFOUND", "ESERVFAIL", ""},
	{"musl", "musl-gcc", func(t *testing.T, dir string) []string { return compiled(t, dir, "musl-gcc", "-static") }, []string{"<4>\napi.example.com", "<6>\napi.example.com"}, "Name does not resolve", "Try again", ""},
	{"glibc static", "gcc", func(t *testing.T, dir string) []string { return compiled(t, dir, "gcc") }, []string{"<4>\napi.example.com", "<6>\napi.example.com"}, "Name or service not known", "Temporary failure in name resolution", ""},
	{"busybox", "busybox", fixed("busybox", "nslookup"), []string{"<4>", "<6>"}, "NXDOMAIN", "SERVFAIL", ""},
	{"dig", "dig", fixed("dig", "+short", "+search"), []string{"<4>"}, "", "", ""},
	{"host", "host", fixed("host"), []string{"has address <4>", "has IPv6 address <6>"}, "not found: 3(NXDOMAIN)", "2(SERVFAIL)", ""},
	{"nslookup", "nslookup", fixed("nslookup"), []string{"Address: <4>", "Address: <6>"}, "NXDOMAIN", "SERVFAIL", ""},
	{"java", "java", func(t *testing.T, dir string) []string {
		source := filepath.Join(dir, "Lookup.java")
		must(t, os.WriteFile(source, []byte(javaLookup), 0o600))
		return []string{"java", "-XX:TieredStopAtLevel=1", source}
	}, []string{"<4> api.example.com", "fd61:6967:6174:6500:0:0:"}, "Name or service not known", "Temporary failure in name resolution", ""},
}

func compiled(t *testing.T, dir, compiler string, flags ...string) []string {
	t.Helper()
	source, program := filepath.Join(dir, "lookup.c"), filepath.Join(dir, "lookup-"+compiler)
	must(t, os.WriteFile(source, []byte(muslLookup), 0o600))
	if out, err := exec.Command(compiler, append(flags, "-o", program, source)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return []string{program}
}

// Programs as they are, each with a resolver library of its own.
func TestClients(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	o := newOutside(t)
	r, e := newResolver(t)
	r.Lookup = o.lookup(t, r.Names)
	answering(t, r)
	overlay(t, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
	overlay(t, "/etc/nsswitch.conf", "hosts: files dns\n")
	overlay(t, "/etc/resolv.conf", "nameserver 198.18.0.1\nsearch corp.example\n")
	v4, v6, _ := r.Names.Addrs("api.example.com")
	fill := strings.NewReplacer("<4>", v4.String(), "<6>", v6.String())

	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.needs); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			command := c.command(t, t.TempDir())
			lookup := func(name string) string {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, command[0], append(command[1:], name)...)
				out, err := cmd.CombinedOutput()
				if err != nil {
					return string(out) + err.Error()
				}
				return string(out)
			}
			got := lookup("api.example.com")
			for _, want := range c.found {
				want = fill.Replace(want)
				if !strings.Contains(got, want) {
					t.Errorf("found %q, want %q", got, want)
				}
			}
			if events := e.take(); events != "" {
				t.Errorf("events for an allowed name: %s", events)
			}
			if got := lookup("evil.com"); !strings.Contains(got, c.none) {
				t.Errorf("not allowed: %q, want %q", got, c.none)
			}
			if events := e.take(); events != "evil.com: "+notAllowed {
				t.Errorf("events for one that is not: %s", events)
			}
			if got := lookup("none.pkg.example"); !strings.Contains(got, c.none) {
				t.Errorf("not there outside: %q, want %q", got, c.none)
			}
			if got := lookup("broken.pkg.example"); !strings.Contains(got, c.broken) {
				t.Errorf("not to be found out: %q, want %q", got, c.broken)
			}
			for _, name := range o.asked() {
				if !strings.HasSuffix(name, "pkg.example.") && name != "api.example.com." {
					t.Errorf("asked outside: %s", name)
				}
			}
			r.reports.mu.Lock()
			r.reports.recent = nil
			r.reports.mu.Unlock()
			e.take()
		})
	}

	t.Run("go", func(t *testing.T) {
		found, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", "api.example.com")
		if err != nil || fmt.Sprint(found) != fmt.Sprint([]netip.Addr{v4, v6}) && fmt.Sprint(found) != fmt.Sprint([]netip.Addr{v6, v4}) {
			t.Errorf("%v %v", found, err)
		}
		for name, check := range map[string]func(*net.DNSError) bool{
			"evil.com":           func(d *net.DNSError) bool { return d.IsNotFound },
			"none.pkg.example":   func(d *net.DNSError) bool { return d.IsNotFound },
			"broken.pkg.example": func(d *net.DNSError) bool { return !d.IsNotFound && d.IsTemporary },
		} {
			_, err := net.DefaultResolver.LookupHost(context.Background(), name)
			if d := (*net.DNSError)(nil); !errors.As(err, &d) || !check(d) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if names, err := net.DefaultResolver.LookupAddr(context.Background(), v4.String()); err != nil || fmt.Sprint(names) != "[api.example.com.]" {
			t.Errorf("%v %v", names, err)
		}
	})
}
