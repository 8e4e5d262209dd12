package policy

import (
	"fmt"
	"strings"

	"github.com/AxeForging/aigate/internal/gate"
)

// Network is what allow_net comes to.
type Network struct {
	Host  bool        `json:"host"`  // the host's own network
	Allow []string    `json:"allow"` // else only these
	Rules *gate.Rules `json:"-"`     // Allow, parsed; nil with Host
	// Slirp: packets leave by slirp4netns, to the addresses of what Allow names.
	Slirp bool `json:"slirp4netns,omitempty"`
}

// network parses allow_net. Whoever made the configuration did it before, for the place of a mistake.
func (p *Policy) network() error {
	p.Network = Network{Host: p.config.AllowNet == nil, Allow: p.config.AllowNet, Slirp: p.config.Network == "slirp4netns"}
	if p.Network.Host {
		return nil
	}
	var err error
	p.Network.Rules, err = gate.NewRules(p.config.AllowNet)
	return err
}

// Gated says that there is a network, and that it leads through the gate alone.
func (n Network) Gated() bool { return len(n.Allow) > 0 }

// String is the network's part of the banner.
func (n Network) String() string {
	switch {
	case n.Host:
		return "host network, unrestricted"
	case !n.Gated():
		return "no network"
	}
	by := ""
	if n.Slirp {
		by = ", by slirp4netns"
	}
	const room = 60 // so that the banner stays a line
	all := n.Rules.All()
	shown := ""
	for i, r := range all {
		next := r.String()
		if i > 0 {
			next = ", " + next
		}
		if i > 0 && len(shown)+len(next) > room {
			shown += ", …"
			break
		}
		shown += next
	}
	if len(all) == 1 {
		return "network: only " + shown + by
	}
	return fmt.Sprintf("network: only %s (%d rules)%s", shown, len(all), by)
}

// text says to the payload what it can reach, and what it sees of the rest.
// ports are those that a rule without one means, none for all.
func (n Network) text(ports []uint16) []string {
	switch {
	case n.Host:
		return []string{"Network: the host's, unrestricted."}
	case !n.Gated():
		return []string{"Network: none but loopback."}
	}
	out := []string{"Network: TCP connections to these and to nothing else:"}
	if judgedByName {
		out[0] = "Network: TCP connections to these and to nothing else, by the proxy that HTTP_PROXY and its like name:"
	}
	if n.Slirp {
		out[0] = "Network: TCP, UDP and ping over IPv4 to the addresses of these, and to nothing else:"
	}
	for _, r := range n.Rules.All() {
		out = append(out, "  "+ruleText(r, ports))
	}
	if n.Slirp {
		return append(out,
			"No other name exists here (NXDOMAIN, \"could not resolve host\"), and any other address refuses",
			"(ECONNREFUSED, \"connection refused\"). There is no proxy to go around by.")
	}
	if judgedByName {
		return append(out,
			"The proxy refuses everything else (403); what does not go through it is refused (EPERM). Names cannot",
			"be looked up here, the proxy does that. AIGATE_SOCKS is the same proxy for programs that speak SOCKS 5.")
	}
	return append(out,
		"No other name exists here (NXDOMAIN, \"could not resolve host\"), any other address or port refuses",
		"(ECONNREFUSED, \"connection refused\"), and a TLS or HTTP connection that asks for another name is",
		"closed (\"connection reset\"). There is no UDP, ICMP or proxy to go around by: UDP is refused, so that",
		"HTTP/3 falls back to TCP. Names have addresses of this sandbox's own, valid nowhere else.")
}

func ruleText(r gate.Rule, ports []uint16) string {
	port := "every port"
	switch {
	case r.Port != 0:
		port = fmt.Sprintf("port %d", r.Port)
	case len(ports) > 0:
		port = "ports " + strings.Trim(fmt.Sprint(ports), "[]")
	}
	switch {
	case r.Localhost:
		return fmt.Sprintf("%s (a service on the user's machine, not of this sandbox)", r)
	case r.Wildcard:
		return fmt.Sprintf("*.%s (every name below %s, not itself; %s)", r.Name, r.Name, port)
	}
	r.Port = 0
	return fmt.Sprintf("%s (%s)", r, port)
}

// proxyVariable says that a variable leads programs to a proxy. With the gate
// there is none inside: the gate goes through the caller's, and a program that
// tried to would find it out of reach.
func proxyVariable(name string) bool {
	if len(name) < len("no_proxy") {
		return false
	}
	switch strings.ToLower(name) {
	case "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "rsync_proxy", "socks_proxy", "socks5_proxy", "ws_proxy", "wss_proxy",
		"npm_config_proxy", "npm_config_http_proxy", "npm_config_https_proxy", "npm_config_noproxy",
		"yarn_proxy", "yarn_http_proxy", "yarn_https_proxy", "bundle_http_proxy",
		"pip_proxy", "cargo_http_proxy", "global_agent_http_proxy", "global_agent_https_proxy", "global_agent_no_proxy":
		return true
	}
	return false
}
