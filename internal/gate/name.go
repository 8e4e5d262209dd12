package gate

import (
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName is the longest host name in its textual form (RFC 1035, 2.3.4, less the root's dot).
const maxName = 253

// NormalName gives a host name the one form that rules and names are compared
// in: lower case, A-labels, no dot at the end. It says false for what cannot be
// a host's name: an empty or over-long label, letters that no host name has, an
// A-label that stands for nothing or for plain ASCII, and whatever a program
// could take for an address (WHATWG URL, "ends in a number").
//
// An underscore is let through, as names of services and containers have it.
func NormalName(s string) (string, bool) {
	if len(s) > 4*maxName { // no mapping makes a name this much shorter
		return "", false
	}
	name := strings.TrimSuffix(s, ".")
	if plain, lower := plainName(name); !plain {
		var ok bool
		if name, ok = fromUnicode(s); !ok {
			return "", false
		}
	} else if !lower {
		name = strings.ToLower(name)
	}
	if len(name) == 0 || len(name) > maxName {
		return "", false
	}
	last := name
	for rest, more := name, true; more; {
		last, rest, more = strings.Cut(rest, ".")
		if !validLabel(last) {
			return "", false
		}
	}
	if number(last) {
		return "", false
	}
	return name, true
}

// plainName says that s needs no IDNA, and that it has no upper case.
func plainName(s string) (plain, lower bool) {
	lower = true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			return false, false
		case c >= 'A' && c <= 'Z':
			lower = false
		}
		if (i == 0 || s[i-1] == '.') && len(s)-i >= 4 && strings.EqualFold(s[i:i+4], "xn--") {
			return false, false
		}
	}
	return true, lower
}

// validLabel takes a label in lower case.
func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := 0; i < len(label); i++ {
		if c := label[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// number says that a last label would make the name an IPv4 address for some
// parser: decimal, octal or hexadecimal.
func number(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// lookup is idna.Lookup but for two rules that real names break: an underscore
// is left to validLabel, and so are two hyphens in a row. It is made when the
// first such name is seen.
var lookup = sync.OnceValue(func() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false),
		idna.StrictDomainName(false), idna.CheckHyphens(false))
})

func fromUnicode(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	out, err := lookup().ToASCII(s)
	if err != nil {
		return "", false
	}
	if again, err := lookup().ToASCII(out); err != nil || again != out {
		return "", false
	}
	out = strings.TrimSuffix(out, ".")
	// An A-label has to be the one of what it stands for: "xn--example-" decodes to plain
	// "example", and whoever compares the two would take one name for another.
	for rest, more := s, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		if len(label) >= 4 && strings.EqualFold(label[:4], "xn--") && !hasLabel(out, strings.ToLower(label)) {
			return "", false
		}
	}
	return out, true
}

func hasLabel(name, label string) bool {
	for rest, more := name, true; more; {
		var l string
		if l, rest, more = strings.Cut(rest, "."); l == label {
			return true
		}
	}
	return false
}
