package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/macho"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// build compiles the program for a platform, in an environment of its own: what a user has set
// (GOFLAGS, GOAMD64, CGO_ENABLED, a workspace) must not be seen in it.
func (r *release) build(system, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "aigate-release")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "aigate")
	// -trimpath: no folder of this machine; -buildvcs: the commit, which `aigate version` shows. The build
	// id stays: macOS's loader wants the LC_UUID that the linker makes of it (go.dev/issue/68678).
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-mod=readonly",
		"-ldflags", "-s -w -X main.version="+r.Version, "-o", program, ".")
	c.Dir, c.Stderr = r.Source, os.Stderr
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "CGO_") && (!strings.HasPrefix(name, "GO") || slices.Contains(keptOfGo, name)) {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(c.Env, "GOENV=off", "GOWORK=off", "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0")
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("go build for %s/%s: %w", system, arch, err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "vcs.revision" }) {
		return nil, errors.New("the program does not know its commit: go finds none in a worktree of git's, so make a release in a clone")
	}
	if system == "darwin" {
		return data, loadable(data, arch)
	}
	return data, nil
}

// loadable says whether macOS would load a program: since version 26 not without a UUID, and on arm64
// not without a signature, which Go's linker makes without a key.
func loadable(program []byte, arch string) error {
	f, err := macho.NewFile(bytes.NewReader(program))
	if err != nil {
		return err
	}
	const uuid, signature = 0x1b, 0x1d // LC_UUID and LC_CODE_SIGNATURE in mach-o/loader.h
	has := map[uint32]bool{}
	for _, l := range f.Loads {
		has[f.ByteOrder.Uint32(l.Raw())] = true
	}
	if !has[uuid] || arch == "arm64" && !has[signature] {
		return fmt.Errorf("macOS would not load the program for %s: a UUID %v, a signature %v", arch, has[uuid], has[signature])
	}
	return nil
}

// keptOfGo say where things lie and come from, not what they are.
var keptOfGo = []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOTOOLCHAIN", "GOMAXPROCS"}

// checksums writes what sha256sum -c reads.
func (r *release) checksums(files []string) error {
	slices.Sort(files)
	var text strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(r.Out, f))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(data), f)
	}
	return os.WriteFile(filepath.Join(r.Out, "checksums.txt"), []byte(text.String()), 0o644)
}
