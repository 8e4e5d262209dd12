package gate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate gives a server's certificate for names, and the file to trust it by.
func certificate(t *testing.T, names ...string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// TestExplicitClients has real programs reach servers of a network that is made up,
// by nothing but the variables that a run on macOS gives them.
func TestExplicitClients(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	repo(t, dir)
	cert, ca := certificate(t, "api.example", "registry.example", "evil.example")
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s", r.Host) })
	mux.HandleFunc("/pkg", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"name":"pkg","dist-tags":{"latest":"1.2.3"},"versions":{"1.2.3":{"name":"pkg","version":"1.2.3"}}}`)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		b.ReadFrom(r.Body)
		fmt.Fprintf(w, "%d bytes", b.Len())
	})
	mux.Handle("/repo.git/", http.FileServer(http.Dir(dir)))
	for port, config := range map[string]*tls.Config{"80": nil, "443": {Certificates: []tls.Certificate{cert}}} {
		l, err := net.Listen("tcp", "203.0.113.5:"+port)
		must(t, err)
		if config != nil {
			l = tls.NewListener(l, config)
		}
		go http.Serve(l, mux)
	}
	p := newTestProxy(t, "api.example", "registry.example:443")
	p.Dialer.addrs = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("203.0.113.5")}, nil
	}
	big := filepath.Join(dir, "big")
	must(t, os.WriteFile(big, make([]byte, 3<<20), 0o644))
	socks := p.url(t)
	socks.Scheme = "socks5h"
	const node = `fetch(process.argv[1]).then(r => r.text().then(t => { console.log(t); process.exit(r.ok ? 0 : 1) }), e => { console.log(e.cause?.message ?? e); process.exit(1) })`
	for _, c := range []struct{ script, want string }{ // HOST is an allowed one, and then one that is not
		{"curl -sSf http://HOST/hello", "hello from api.example"},
		{"curl -sSf https://HOST/hello", "hello from api.example"},
		{"curl -sSf --http1.1 -T " + big + " http://HOST/echo", "3145728 bytes"},
		{"curl -sSf -T " + big + " https://HOST/echo", "3145728 bytes"},
		{"curl -sSf http://HOST/hello http://HOST/hello", "hello from api.examplehello from api.example"},
		{"curl -sSf --proxytunnel http://HOST/hello", "hello from api.example"},
		{"curl -sSf --proxy-anyauth https://HOST/hello", "hello from api.example"},
		{"curl -sSf --proxy " + socks.String() + " https://HOST/hello", "hello from api.example"},
		{"curl -sSf --proxy " + socks.String() + " http://HOST/hello", "hello from api.example"},
		{"git ls-remote http://HOST/repo.git", "refs/heads/main"},
		{"rm -rf clone && git clone -q https://HOST/repo.git clone && cat clone/file", "in the repository"},
		{"python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' https://HOST/hello", "hello from api.example"},
		{"python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' http://HOST/hello", "hello from api.example"},
		{"npm view pkg version --registry https://registry.HOST/ --fetch-retries 0 --cafile " + ca, "1.2.3"},
		{"node -e '" + node + "' https://HOST/hello", "hello from api.example"},
		{"wget -q -O - --ca-certificate " + ca + " https://HOST/hello", "hello from api.example"},
		{"wget -q -O - http://HOST/hello", "hello from api.example"},
	} {
		if name, _, _ := strings.Cut(c.script, " "); !runs(name) {
			t.Logf("no %s here", name)
			continue
		}
		if strings.HasPrefix(c.script, "node ") && !nodeKnowsProxies() {
			t.Log("this node has no NODE_USE_ENV_PROXY")
			continue
		}
		for _, host := range []string{"api.example", "evil.example"} {
			script := strings.ReplaceAll(strings.ReplaceAll(c.script, "registry.HOST", map[string]string{"api.example": "registry.example", "evil.example": "evil.example"}[host]), "HOST", host)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cmd := exec.CommandContext(ctx, "sh", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(p.Env(), "PATH="+os.Getenv("PATH"), "HOME="+dir, "CURL_CA_BUNDLE="+ca, "GIT_SSL_CAINFO="+ca, "SSL_CERT_FILE="+ca, "NODE_EXTRA_CA_CERTS="+ca,
				"GIT_TERMINAL_PROMPT=0", "NO_UPDATE_NOTIFIER=1")
			out, err := cmd.CombinedOutput()
			cancel()
			if host == "evil.example" {
				if err == nil || strings.Contains(string(out), "hello from") {
					t.Errorf("%s: went through: %q", script, out)
				}
				if e := p.event(); e.Name != host || e.Failed {
					t.Errorf("%s: %+v", script, e)
				}
				p.forget()
				continue
			}
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%s: %v, %q", script, err, out)
			}
			p.noEvent(t)
		}
	}
}

func (p *testProxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = nil
}

func runs(name string) bool {
	if name == "rm" {
		name = "git"
	}
	_, err := exec.LookPath(name)
	return err == nil
}

// nodeKnowsProxies asks by doing: it came with 22.21 and 24.5.
func nodeKnowsProxies() bool {
	out, err := exec.Command("node", "--use-env-proxy", "-e", "1").CombinedOutput()
	return err == nil && len(out) == 0
}

// repo makes a repository that any server of files can serve.
func repo(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{{"init", "-q", "-b", "main", "work"}, {"-C", "work", "add", "."}, {"-C", "work", "commit", "-q", "-m", "one"},
		{"clone", "-q", "--bare", "work", "repo.git"}, {"-C", "repo.git", "update-server-info"}} {
		if args[0] == "-C" && args[2] == "add" {
			must(t, os.WriteFile(filepath.Join(dir, "work/file"), []byte("in the repository\n"), 0o644))
		}
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v, %s", args, err, out)
		}
	}
}
