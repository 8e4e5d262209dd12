package mask

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// Bounds of what is known: a denied file that is larger is no list of settings.
const (
	MaxFile   = 64 << 10
	maxValues = 1000
	minValue  = 8
	maxValue  = 4 << 10
)

// Known gives the secrets among settings: variables of an environment ("NAME=value") and files of KEY=value lines. A
// value that is short, or common, or by its name and form no secret, is left out: masked, it would make ordinary output
// unreadable. What is in ordinary is not masked either (the names of the project's folders).
func Known(env []string, files [][]byte, ordinary []string) []string {
	k := &known{ordinary: map[string]bool{}, have: map[string]bool{}}
	for _, s := range ordinary {
		k.ordinary[strings.ToLower(s)] = true
	}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		k.setting(name, value)
	}
	for _, f := range files {
		k.file(string(f))
	}
	return k.values
}

type known struct {
	ordinary map[string]bool
	have     map[string]bool
	values   []string
}

// file reads lines as dotenv, INI files and shells write them.
func (k *known) file(text string) {
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))
		if !ok || !isName(name) {
			continue
		}
		value = strings.TrimSpace(value)
		if value == "" || !contains("\"'`", value[0]) {
			value, _, _ = strings.Cut(value, " #")
			k.setting(name, strings.TrimSpace(value))
			continue
		}
		quote := value[:1]
		value = value[1:]
		for !closes(value, quote) && text != "" { // over several lines
			line, text, _ = strings.Cut(text, "\n")
			value += "\n" + line
		}
		inner, _, _ := cutQuote(value, quote)
		k.setting(name, inner)
		if quote == `"` && strings.Contains(inner, `\`) {
			k.setting(name, strings.NewReplacer(`\n`, "\n", `\"`, `"`, `\\`, `\`, `\$`, "$").Replace(inner))
		}
	}
}

func isName(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) && !contains(".-/:@", s[i]) {
			return false
		}
	}
	return s != "" && s[0] != '#' && len(s) < 200
}

func closes(value, quote string) bool {
	_, _, ok := cutQuote(value, quote)
	return ok
}

// cutQuote cuts at the quote that has no backslash before it.
func cutQuote(value, quote string) (inner, rest string, ok bool) {
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '\\' && quote == `"`:
			i++
		case value[i] == quote[0]:
			return value[:i], value[i+1:], true
		}
	}
	return value, "", false
}

// setting takes the lines of a value, each by itself: a terminal ends them otherwise than a file.
func (k *known) setting(name, value string) {
	if strings.Contains(value, "://") {
		if user, ok := credentials(value); ok {
			k.add("PASSWORD", user)
			if plain, err := url.PathUnescape(user); err == nil { // what a program has of it and prints
				k.add("PASSWORD", plain)
			}
			k.add("SECRET", value)
		}
		return
	}
	for _, line := range strings.Split(value, "\n") {
		k.add(name, strings.Trim(line, " \t\r"))
	}
}

// credentials gives the password of a URL.
func credentials(address string) (string, bool) {
	_, rest, _ := strings.Cut(address, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.LastIndexByte(rest[:end], '@') < 0 && strings.IndexByte(rest, '@') > end {
		end = strings.LastIndexByte(rest, '@') // a / in the password that should have been encoded
		rest = rest[:end+1]
	}
	user, _, ok := strings.Cut(rest, "@")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user = rest[:at]
	}
	_, password, has := strings.Cut(user, ":")
	return password, ok && has && password != ""
}

func (k *known) add(name, value string) {
	if len(value) < minValue || len(value) > maxValue || len(k.values) >= maxValues || k.have[value] {
		return
	}
	if k.common(value) || !secretName(name) && (ordinaryName(name) || ordinaryForm(value)) {
		return
	}
	k.have[value] = true
	k.values = append(k.values, value)
}

// common says that a value stands in ordinary output for other reasons.
func (k *known) common(value string) bool {
	lower := strings.ToLower(value)
	switch lower {
	case "localhost", "127.0.0.1", "0.0.0.0", "undefined", "disabled", "enabled", "required", "optional", "development", "production",
		"password", "changeme", "postgres", "postgresql", "username", "anonymous", "administrator", "example.com", "us-east-1", "eu-west-1",
		"eu-central-1", "us-west-2", "staging-1", "localhost:3000", "localhost:5432", "localhost:8080", "application", "info,debug",
		"your-api-key", "your_api_key", "your-secret", "placeholder":
		return true
	}
	if k.ordinary[lower] || strings.HasPrefix(value, "-----") || strings.Trim(lower, "0123456789.,:-+/ _") == "" {
		return true
	}
	same := strings.Trim(value, value[:1]) == "" // xxxxxxxx, ********
	return same || value[0] == '/' || strings.HasPrefix(value, "./") || strings.HasPrefix(value, "~/") || strings.HasPrefix(value, "${") || strings.HasPrefix(value, "$(")
}

var secretWords = [...]string{"KEY", "SECRET", "TOKEN", "PASS", "PWD", "CREDENTIAL", "AUTH", "PRIVATE", "SALT", "SIGNING", "WEBHOOK", "CERT", "SESSION", "COOKIE", "DSN", "CONNECTION"}

func secretName(name string) bool {
	name = strings.ToUpper(name)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

var ordinaryWords = [...]string{"NAME", "HOST", "PORT", "ENV", "REGION", "ZONE", "PATH", "DIR", "LEVEL", "MODE", "USER", "EMAIL", "DOMAIN", "LANG", "LOCALE", "TZ", "TIMEZONE",
	"VERSION", "FORMAT", "DRIVER", "ADDR", "ADDRESS", "ORIGIN", "ORIGINS", "URL", "URI", "ENDPOINT", "BUCKET", "TABLE", "DATABASE", "DB", "SCHEMA", "MODEL", "TITLE", "DESCRIPTION", "AUTHOR", "FILE", "LOG", "DEBUG", "PROFILE", "SOCK"}

// ordinaryName looks at the last word of a name, which says what it is: DB_HOST.
func ordinaryName(name string) bool {
	name = strings.ToUpper(name)
	last := name[strings.LastIndexAny(name, "_.-")+1:]
	for _, w := range ordinaryWords {
		if last == w {
			return true
		}
	}
	return false
}

// ordinaryForm says that a value reads like words: letters of one case, with - or _ or blanks between, and few.
func ordinaryForm(value string) bool {
	if len(value) >= 24 {
		return strings.Contains(value, " ") && !strings.ContainsAny(value, "0123456789")
	}
	for i := range len(value) {
		if c := value[i]; (c < 'a' || c > 'z') && !contains("-_ .,", c) && (i > 0 || c < 'A' || c > 'Z') {
			return false
		}
	}
	return strings.ContainsAny(value, "-_ .,")
}

// manySpellings says that encodings for strings and URLs change a value.
func manySpellings(value string) bool {
	for i := range len(value) {
		if !isWord(value[i]) {
			return true
		}
	}
	return false
}

// base64ed gives the characters that a value makes, wherever in the encoded text it begins: at each of the three
// places where a group of bytes may be cut, those that come from the value alone.
func base64ed(value string) (all []string) {
	for shift, from := range []int{0, 2, 3} {
		text := base64.StdEncoding.EncodeToString([]byte("\x00\x00"[:shift] + value))
		text = text[from : (shift+len(value))*8/6]
		all = append(all, text)
		if forURL := strings.NewReplacer("+", "-", "/", "_").Replace(text); forURL != text {
			all = append(all, forURL)
		}
	}
	return all
}
