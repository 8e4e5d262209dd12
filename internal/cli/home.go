package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/AxeForging/aigate/internal/policy"
	"golang.org/x/sys/unix"
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

// currentDir asks the kernel. os.Getwd believes $PWD, which may lead through a
// link; to follow that again would be to ask what stands there now, and in an
// enclosing folder a sandbox may be at work.
func currentDir() (string, error) {
	dir, err := unix.Getwd()
	if err == nil && !filepath.IsAbs(dir) {
		err = errors.New("it is not below the root of this process")
	}
	if err != nil {
		return "", fmt.Errorf("the current folder: %w", err)
	}
	return dir, nil
}

// projectConfig is where the file of the project that we are in is, or would be.
func projectConfig() (string, error) {
	dir, err := currentDir()
	if err != nil {
		return "", err
	}
	home, err := homeDir()
	if err == nil {
		home, _ = filepath.EvalSymlinks(home)
	}
	return filepath.Join(policy.FindProject(dir, home), ".aigate.yaml"), nil
}
