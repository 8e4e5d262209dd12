package config

import (
	"strings"

	"github.com/AxeForging/aigate/internal/mask"
)

// The schema: which keys there are, and which words they take. In the order of the default file.
var (
	topKeys = []string{"group", "user", "deny_read", "deny_exec", "allow_net", "resource_limits",
		"deny_write", "allow_write", "deny_env", "mask_stdout", "engine", "network"}
	maskKeys    = []string{"presets", "patterns"}
	patternKeys = []string{"regex", "show_prefix", "case_insensitive"}

	engines  = []string{"auto", "bwrap", "native"}
	networks = []string{"gate", "slirp4netns"}
)

// MaskPresets lists the names that mask_stdout.presets takes.
func MaskPresets() []string { return mask.Presets() }

// ListKeys lists the keys that hold a list of texts, those that Add, Remove and Set edit.
func ListKeys() []string {
	return []string{"deny_read", "deny_write", "allow_write", "deny_exec", "deny_env", "allow_net"}
}

// keyHome says where a key belongs: "" is the top of the file, "-" nowhere.
func keyHome(key string) string {
	switch {
	case contains(topKeys, key):
		return ""
	case contains(limitKeys, key):
		return "resource_limits"
	case contains(maskKeys, key):
		return "mask_stdout"
	case contains(patternKeys, key):
		return "mask_stdout.patterns"
	}
	return "-"
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// nearest is the known word that s was probably meant to be, "" when none is near.
func nearest(s string, known []string) string {
	if len(s) > 64 {
		return ""
	}
	fold := strings.NewReplacer("-", "_", " ", "_")
	s = fold.Replace(strings.ToLower(s))
	best, least := "", 1+len(s)/3
	for _, k := range known {
		if d := distance(s, k); d <= least && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours between a and b.
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
