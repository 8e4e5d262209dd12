package policy

import (
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/config"
)

func network(t *testing.T, allow []string) Network {
	t.Helper()
	p := &Policy{config: &config.Config{AllowNet: allow}}
	if err := p.network(); err != nil {
		t.Fatal(err)
	}
	return p.Network
}

func TestNetworkBanner(t *testing.T) {
	for _, tt := range []struct {
		allow []string
		want  string
	}{
		{nil, "host network, unrestricted"},
		{[]string{}, "no network"},
		{[]string{"API.anthropic.com."}, "network: only api.anthropic.com"},
		{[]string{"api.anthropic.com", "*.npmjs.org:443", "127.0.0.1:80"}, "network: only api.anthropic.com, *.npmjs.org:443, localhost:80 (3 rules)"},
		{[]string{"a-rather-long-name.example.com", "another-name.example.com", "c.example.com", "d.example.com"},
			"network: only a-rather-long-name.example.com, another-name.example.com, … (4 rules)"},
		{[]string{strings.Repeat("a.", 100) + "com", "b.com"}, "network: only " + strings.Repeat("a.", 100) + "com, … (2 rules)"},
	} {
		n := network(t, tt.allow)
		if n.String() != tt.want {
			t.Errorf("%q: %q, want %q", tt.allow, n, tt.want)
		}
		if n.Gated() != (len(tt.allow) > 0) {
			t.Errorf("%q: gated %v", tt.allow, n.Gated())
		}
	}
	slirp := &Policy{config: &config.Config{AllowNet: []string{"a.com", "b.com"}, Network: "slirp4netns"}}
	if err := slirp.network(); err != nil {
		t.Fatal(err)
	}
	if got, want := slirp.Network.String(), "network: only a.com, b.com (2 rules), by slirp4netns"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if text := strings.Join(slirp.Network.text(nil), "\n"); !strings.Contains(text, "UDP and ping over IPv4 to the addresses") || strings.Contains(text, "NXDOMAIN, and a TLS") {
		t.Errorf("to the payload: %s", text)
	}
	p := &Policy{config: &config.Config{AllowNet: []string{"a.com:0"}}}
	if err := p.network(); err == nil || !strings.Contains(err.Error(), "allow_net") {
		t.Error("a bad rule:", err)
	}
}

func TestNetworkText(t *testing.T) {
	for _, tt := range []struct {
		allow []string
		want  string
	}{
		{nil, "Network: the host's, unrestricted."},
		{[]string{}, "Network: none but loopback."},
		{[]string{"*.a.com", "b.com:443", "10.0.0.0/8:5432", "192.0.2.7", "[::1]:80", "аpple.com"}, `Network: TCP connections to these and to nothing else:
  *.a.com (every name below a.com, not itself; every port)
  b.com (port 443)
  10.0.0.0/8 (port 5432)
  192.0.2.7 (every port)
  localhost:80 (a service on the user's machine, not of this sandbox)
  xn--pple-43d.com (every port)
`},
	} {
		got := strings.Join(network(t, tt.allow).text(nil), "\n") + "\n"
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q:\n%s", tt.allow, got)
		}
	}
}

func TestNetworkTextByPort(t *testing.T) {
	n := network(t, []string{"a.com", "b.com:8443"})
	if got := strings.Join(n.text(n.Rules.Ports()), "\n"); !strings.Contains(got, "\n  a.com (ports 22 80 443 8443)\n  b.com (port 8443)\n") {
		t.Error(got)
	}
}

// TestProxyVariables: with the gate there is no proxy inside; without it they are the caller's affair.
func TestProxyVariables(t *testing.T) {
	env := []string{"HTTP_PROXY=http://p", "https_proxy=http://p", "all_proxy=x", "NO_PROXY=y", "npm_config_https_proxy=z", "my_proxy=1", "P=1"}
	for _, tt := range []struct {
		allow     []string
		deny      []string
		out, gone string
	}{
		{nil, nil, strings.Join(env, " "), ""},
		{[]string{}, nil, strings.Join(env, " "), ""},
		{[]string{"a.com"}, nil, "my_proxy=1 P=1", "HTTP_PROXY NO_PROXY all_proxy https_proxy npm_config_https_proxy"},
		{[]string{"a.com"}, []string{"my_*", "!http_proxy"}, "HTTP_PROXY=http://p P=1", "NO_PROXY all_proxy https_proxy my_proxy npm_config_https_proxy"},
	} {
		p := &Policy{config: &config.Config{AllowNet: tt.allow, DenyEnv: tt.deny}}
		p.host.Env = env
		if err := p.network(); err != nil {
			t.Fatal(err)
		}
		p.environment()
		if got := strings.Join(p.Env[:len(p.Env)-3], " "); got != tt.out {
			t.Errorf("%q, %q: %s", tt.allow, tt.deny, got)
		}
		if got := strings.Join(p.Removed, " "); got != tt.gone {
			t.Errorf("%q, %q: removed %s", tt.allow, tt.deny, got)
		}
	}
}
