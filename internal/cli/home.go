package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/AxeForging/aigate/internal/policy"
)

// homeDir is $HOME, else the home of the passwd entry.
func homeDir() (string, error) {
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Clean(home), nil
	}
	// os/user would bring cgo along where there is a C compiler, for this one line.
	users, err := os.ReadFile("/etc/passwd")
	if err == nil {
		uid := strconv.Itoa(os.Getuid())
		for line := range strings.Lines(string(users)) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) >= 7 && f[2] == uid && filepath.IsAbs(f[5]) {
				return filepath.Clean(f[5]), nil
			}
		}
	}
	return "", errors.New("no home folder: HOME is not set and /etc/passwd names none for you; set HOME")
}

// globalConfig is where the user's own file is.
func globalConfig() (string, error) {
	home, err := homeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".aigate", "config.yaml"), nil
}

// projectConfig is where the file of the project that we are in is, or would be.
func projectConfig() (string, error) {
	dir, err := os.Getwd()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("the current folder: %w", err)
	}
	home, err := homeDir()
	if err == nil {
		home, _ = filepath.EvalSymlinks(home)
	}
	return filepath.Join(policy.FindProject(dir, home), ".aigate.yaml"), nil
}
