package cli

import (
	"fmt"
	"strings"
)

// unifiedDiff is what `diff -u` says about two texts, "" when they are alike. Edits of a
// configuration are small, so that a table over what lies between the common ends does.
func unifiedDiff(name, before, after string) string {
	if before == after {
		return ""
	}
	a, b := lines(before), lines(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	script := editScript(a[head:len(a)-tail], b[head:len(b)-tail])

	const context = 3
	from, to := max(head-context, 0), min(tail, context)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n@@ -%s +%s @@\n", name, name,
		hunkRange(from, len(a)-tail+to-from), hunkRange(from, len(b)-tail+to-from))
	for _, l := range a[from:head] {
		out.WriteString(mark(" ", l))
	}
	for _, l := range script {
		out.WriteString(l)
	}
	for _, l := range a[len(a)-tail : len(a)-tail+to] {
		out.WriteString(mark(" ", l))
	}
	return out.String()
}

func hunkRange(from, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", from)
	}
	return fmt.Sprintf("%d,%d", from+1, n)
}

// lines keeps the line ends.
func lines(s string) []string {
	all := strings.SplitAfter(s, "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

func mark(sign, line string) string {
	if strings.HasSuffix(line, "\n") {
		return sign + line
	}
	return sign + line + "\n\\ No newline at end of file\n"
}

// editScript turns a into b by the longest common subsequence.
func editScript(a, b []string) (script []string) {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			script = append(script, mark(" ", a[i]))
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			script = append(script, mark("-", a[i]))
			i++
		default:
			script = append(script, mark("+", b[j]))
			j++
		}
	}
	return script
}
