package match

import "strings"

// Anchor gives patterns that name, read against any project, what a pattern names
// when it is read against the one at dir. Such a pattern reaches no further than
// dir, unless it spells a fixed place out.
func Anchor(pattern, dir string) []string {
	sign := ""
	body, takesBack := strings.CutPrefix(pattern, "!")
	if takesBack {
		sign = "!"
	}
	spelled, ok := expandBraces(body) // {a,b/c} is two kinds of pattern
	if !ok {
		return []string{pattern} // Parse says what is wrong with it
	}
	top := strings.TrimRight(Literal(dir), "/")
	for i, text := range spelled {
		switch {
		case text == "" || text[0] == '/' || text == "~" || text[0] == '~' && strings.Contains(text, "/"):
			text = sign + text
		case bare(text) && strings.TrimRight(text, "/") != ".":
			text = sign + top + "/**/" + text
		default:
			text = sign + top + "/" + text
		}
		spelled[i] = text
	}
	return spelled
}

// Literal makes a pattern that names one path.
func Literal(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if strings.IndexByte(`*?[]{}\`, path[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
