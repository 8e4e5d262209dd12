package config

import "strings"

// EnvDenied says whether the variable is removed from the environment. The last glob that matches
// decides, and one that begins with "!" keeps the variable. Case does not matter, because a secret
// in lower case is one too.
func EnvDenied(globs []string, name string) bool {
	name = strings.ToUpper(name)
	for i := len(globs) - 1; i >= 0; i-- {
		glob, keep := strings.CutPrefix(globs[i], "!")
		if matchGlob(strings.ToUpper(glob), name) {
			return !keep
		}
	}
	return false
}

// matchGlob knows * and ? and is linear in practice: only the last * is ever tried again.
func matchGlob(glob, s string) bool {
	g, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0:
			from++
			g, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
