package gate

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A RuleError says what is wrong with an entry of allow_net, and what to write instead.
type RuleError struct{ Problem, Hint string }

func (e *RuleError) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + ": " + e.Hint
}

func bad(hint, format string, args ...any) error {
	return &RuleError{Problem: fmt.Sprintf(format, args...), Hint: hint}
}

func write(s string) string { return "write " + strconv.Quote(s) }

const forms = "write host, *.host, host:port, an IP address, a CIDR, or localhost:port"

// ParseRule reads one entry of allow_net:
//
//	api.example.com        the host, on every port
//	api.example.com:443    on this one
//	*.example.com          every name below, at any depth, but not example.com itself
//	203.0.113.9            an address; with a port 203.0.113.9:443
//	2001:db8::1            likewise; with a port [2001:db8::1]:443
//	10.1.0.0/16            a network; with a port 10.1.0.0/16:443 or [2001:db8::/32]:443
//	localhost:11434        a port of the caller's machine, also as 127.0.0.1 or [::1]
//
// The error is a *RuleError.
func ParseRule(text string) (Rule, error) {
	if err := unmeant(text); err != nil {
		return Rule{}, err
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return addrRule(text, a, 0)
	}
	host, port, err := splitPort(text)
	if err != nil {
		return Rule{}, err
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner = strings.TrimSuffix(inner, "]")
	}
	if strings.Contains(inner, "/") {
		return prefixRule(text, inner, port)
	}
	if a, err := netip.ParseAddr(inner); err == nil && a.Is6() == bracketed {
		return addrRule(text, a, port)
	}
	if bracketed || strings.Contains(host, ":") {
		return Rule{}, bad(`write "[2001:db8::1]:443"`, "%q is no IPv6 address", host)
	}
	return nameRule(text, host, port)
}

// unmeant catches what can be no rule at all, with a word on what was meant.
func unmeant(text string) error {
	switch {
	case text == "":
		return bad(`write a host such as "api.github.com"`, "the host is empty")
	case len(text) > 4*maxName:
		return bad("", "the entry is longer than a host name can be")
	case strings.Contains(text, "://"):
		return bad(instead(text), "%q is a URL, allow_net takes hosts", text)
	case strings.TrimSpace(text) != text:
		return bad(write(strings.TrimSpace(text)), "%q begins or ends with a blank", text)
	case strings.ContainsAny(text, " \t\r\n,;"):
		return bad("write one host an entry", "%q is more than one host", text)
	case strings.HasPrefix(text, "!"):
		return bad("to take a host back remove its entry", "allow_net takes nothing back, %q begins with !", text)
	case strings.HasPrefix(text, "*") && strings.Trim(text, "*.:0123456789") == "":
		return bad("for the host's whole network remove the key allow_net", "%q would allow every host", text)
	case strings.HasPrefix(text, "//"), strings.Contains(text, "@"):
		return bad(instead("x://"+strings.TrimLeft(text, "/")), "%q is no host name", text)
	}
	return nil
}

// instead is the hint to write what a URL names, where that can stand as a rule.
func instead(url string) string {
	host := hostOfURL(url)
	if _, err := ParseRule(host); err == nil {
		return write(host)
	}
	for scheme, port := range map[string]string{"http:": ":80", "https:": ":443"} {
		if _, err := ParseRule(host + port); err == nil && strings.HasPrefix(url, scheme) {
			return write(host + port) // localhost needs one
		}
	}
	return forms
}

// hostOfURL gives host or host:port of a URL, or of what git and ssh take for one.
func hostOfURL(s string) string {
	_, rest, _ := strings.Cut(s, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if host, port, err := splitPort(rest); err != nil || port == 0 {
		return host
	}
	return rest
}

// splitPort takes the port off the end, 0 when there is none.
func splitPort(text string) (host string, port uint16, err error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 || at < strings.LastIndexByte(text, ']') {
		return text, 0, nil
	}
	if slash := strings.IndexByte(text, '/'); slash > at || text[0] != '[' && slash < 0 && strings.Count(text, ":") > 1 {
		return text, 0, nil // the colons of an IPv6 address or network
	}
	host, digits := text[:at], text[at+1:]
	n, err := strconv.ParseUint(digits, 10, 16)
	if err == nil && n > 0 && digits[0] != '0' {
		return host, uint16(n), nil
	}
	hint := "write a port from 1 to 65535, or none for any"
	switch {
	case digits == "*" || digits == "":
		hint = write(host) + " for every port"
	case strings.ContainsAny(digits, "-"):
		hint = "write one entry a port, or none for any"
	}
	return host, 0, bad(hint, "bad port %q in %q", digits, text)
}

func nameRule(text, host string, port uint16) (Rule, error) {
	if host == "" {
		return Rule{}, bad(forms, "%q has no host", text)
	}
	bare, wildcard := strings.CutPrefix(host, "*.")
	if strings.Contains(bare, "*") {
		return Rule{}, bad(`write "*.example.com" for every name below example.com`, "the * of %q can only stand for the first label", text)
	}
	if strings.HasPrefix(bare, ".") && !wildcard {
		return Rule{}, bad(write("*"+text), "%q begins with a dot", text)
	}
	name, ok := NormalName(bare)
	if !ok {
		return Rule{}, notAName(text, bare)
	}
	if thisMachine(name) {
		return localRule(text, port, wildcard || name != "localhost")
	}
	if wildcard {
		if err := tooWide(text, name); err != nil {
			return Rule{}, err
		}
	}
	return Rule{Text: text, Name: name, Wildcard: wildcard, Port: port}, nil
}

// thisMachine knows the names that mean loopback everywhere (RFC 6761, 6.3; hosts files).
func thisMachine(name string) bool {
	switch name {
	case "localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback":
		return true
	}
	return strings.HasSuffix(name, ".localhost")
}

func localRule(text string, port uint16, odd bool) (Rule, error) {
	switch {
	case port == 0:
		return Rule{}, bad(`name the port of the service, such as "localhost:11434"`, "%q is the whole of this machine", text)
	case odd:
		return Rule{}, bad(write("localhost:"+strconv.Itoa(int(port))), "%q is this machine", text)
	}
	return Rule{Text: text, Name: "localhost", Localhost: true, Port: port}, nil
}

// notAName says which of NormalName's conditions text fails.
func notAName(text, name string) error {
	name = strings.TrimSuffix(name, ".")
	labels := strings.Split(name, ".")
	if len(name) > maxName {
		return bad("", "%q is longer than a host name can be", text)
	}
	for _, label := range labels {
		switch {
		case label == "":
			return bad("write names with one dot between the labels", "the host %q has an empty label", text)
		case len(label) > 63:
			return bad("", "%q is no host name: the label %q is longer than 63 bytes", text, label)
		case label[0] == '-' || label[len(label)-1] == '-':
			return bad("", "%q is no host name: the label %q begins or ends with a hyphen", text, label)
		}
		if plain, _ := plainName(label); !plain {
			if _, ok := fromUnicode(label); !ok {
				return bad("write the name as your browser's address bar shows it", "%q is no host name: bad label %q", text, label)
			}
			continue
		}
		for _, c := range label {
			if !validLabel(strings.ToLower(string(c))) && c != '-' {
				return bad(forms, "%q is no host name: it has %q in it", text, c)
			}
		}
	}
	if number(strings.ToLower(labels[len(labels)-1])) {
		return bad("an address has four numbers from 0 to 255", "%q is neither a host name nor an IP address", text)
	}
	return bad(forms, "%q is no host name", text)
}

// tooWide refuses a wildcard over names that have not one owner: a top-level
// domain, or what a country gives out below such as co.uk. Names that exist
// only inside a network have one owner, whatever their depth.
func tooWide(text, name string) error {
	second, top, two := strings.Cut(name, ".")
	if two && (len(top) != 2 || strings.Contains(top, ".")) {
		return nil
	}
	if two {
		switch second {
		case "ac", "co", "com", "edu", "gov", "net", "org":
			return bad(`name the domain: "*.example.`+name+`"`, "%q is too wide, anybody can have a name below %s", text, name)
		}
		return nil
	}
	switch name {
	case "local", "internal", "lan", "home", "corp", "intranet", "intra", "private", "localdomain", "test", "example", "invalid",
		"svc", "cluster", "consul":
		return nil
	}
	return bad(`name the domain: "*.example.`+name+`"`, "%q is too wide, anybody can have a name below %s", text, name)
}

// Shared says that a wildcard is over names that a hosting company gives to
// anybody, so that whoever wants to receive what a sandbox sends can have one.
// These are the well-known ones; it takes the whole Public Suffix List to know
// them all.
func (r Rule) Shared() bool {
	if !r.Wildcard {
		return false
	}
	switch r.Name {
	case "github.io", "gitlab.io", "githubpreview.dev", "github.dev", "pages.dev", "workers.dev", "r2.dev", "trycloudflare.com",
		"amazonaws.com", "s3.amazonaws.com", "cloudfront.net", "awsapprunner.com", "on.aws",
		"appspot.com", "web.app", "firebaseapp.com", "run.app", "a.run.app", "cloudfunctions.net",
		"azurewebsites.net", "azureedge.net", "windows.net", "core.windows.net", "blob.core.windows.net", "azurestaticapps.net",
		"herokuapp.com", "vercel.app", "netlify.app", "fly.dev", "onrender.com", "railway.app", "up.railway.app", "deno.dev",
		"ngrok.io", "ngrok.app", "ngrok.dev", "ngrok-free.app", "ngrok-free.dev", "loca.lt", "ts.net",
		"glitch.me", "replit.dev", "replit.app", "repl.co", "surge.sh", "hf.space", "digitaloceanspaces.com", "ondigitalocean.app",
		"blogspot.com", "wordpress.com", "duckdns.org", "nip.io", "sslip.io", "no-ip.org", "dyndns.org":
		return true
	}
	return strings.HasSuffix(r.Name, ".amazonaws.com") && strings.Count(r.Name, ".") <= 3
}
