package doctor

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// patience is for a child or a program that does not answer.
const patience = 10 * time.Second

// Version runs a program with --version and gives the first word that looks like one. An error: the
// program cannot be run.
func Version(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", err
	}
	return versionIn(string(out)), nil
}

func versionIn(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	for _, w := range strings.Fields(line) {
		if w = strings.TrimPrefix(w, "v"); w != "" && w[0] >= '0' && w[0] <= '9' {
			return "v" + strings.TrimRight(w, ",")
		}
	}
	return "found"
}
