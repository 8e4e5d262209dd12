// Command bench measures what aigate costs and prints tables of ratios: every
// figure stands beside what it is compared with, measured in the same,
// interleaved run. `make bench` runs it.
//
// Everything happens in a folder of its own that is gone afterwards, as a
// plain user: when root calls, as a uid that nobody has.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// plainID is the uid and gid to measure as when root calls. No account is
// needed for it, and none of the machine's files belong to it.
const plainID = 54321

type flags struct {
	aigate, write, only string
	rounds, files       int
}

// part is one section of the output.
type part struct {
	name string
	run  func(*place, io.Writer) error
}

var parts = []part{{"start", benchStart}, {"match", benchMatch}, {"masks", benchMasks}, {"watch", benchWatch}, {"output", benchOutput}, {"exec", benchExec}, {"limits", benchLimits}, {"net", benchNet}}

func main() {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case readerArg:
			read(os.Args[2])
			return
		case clientArg:
			client(os.Args[2], os.Args[3])
			return
		case worldArg:
			fmt.Fprintln(os.Stderr, "bench: a network of its own:", furnishWorld(os.Args[2:]))
			os.Exit(1)
		}
	}
	var f flags
	flag.StringVar(&f.aigate, "aigate", "./aigate", "the `binary` to measure")
	flag.StringVar(&f.write, "write", "", "put the tables into that `page` too")
	flag.StringVar(&f.only, "only", "start,match,masks,watch,output,exec,limits,net", "the `parts` to run")
	flag.IntVar(&f.rounds, "rounds", 60, "rounds of the start-up")
	flag.IntVar(&f.files, "files", 200_000, "files in the tree to search")
	flag.Parse()
	do := outer
	if os.Getenv(placeEnv) != "" {
		do = inner
	}
	if err := do(f); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// placeEnv tells the second process, which measures, where its folder is.
const placeEnv = "AIGATE_BENCH_PLACE"

// outer makes the folder, has a second process measure as a plain user, and
// cleans up whatever happened.
func outer(f flags) error {
	dir, err := newFolder()
	if err != nil {
		return err
	}
	defer removeAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for from, to := range map[string]string{self: "bench", f.aigate: "aigate"} {
		if err := copyProgram(from, filepath.Join(dir, to)); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, plainID, plainID); err != nil {
			return err
		}
	}
	var figures bytes.Buffer
	header(io.MultiWriter(os.Stdout, &figures))
	for _, net := range []bool{false, true} {
		if err := measureIn(ctx, f, dir, net, &figures); err != nil {
			return err
		}
	}
	if f.write == "" {
		return nil
	}
	return writePage(f.write, figures.String())
}

// measureIn has the second process measure the network, or all the rest.
func measureIn(ctx context.Context, f flags, dir string, net bool, figures io.Writer) error {
	var names []string
	for _, part := range parts {
		if strings.Contains(","+f.only+",", ","+part.name+",") && (part.name == "net") == net {
			names = append(names, part.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	args := append(os.Args[1:len(os.Args):len(os.Args)], "-only", strings.Join(names, ","))
	c := exec.CommandContext(ctx, filepath.Join(dir, "bench"), args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: plainID, Gid: plainID}
	}
	if net {
		c = inWorld(ctx, dir, args)
	}
	c.Dir = dir
	c.Env = []string{placeEnv + "=" + dir, "HOME=" + filepath.Join(dir, "home"), "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8", "USER=bench"}
	c.Stdout, c.Stderr = io.MultiWriter(os.Stdout, figures), os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("measuring: %w", err)
	}
	return nil
}

// inner measures.
func inner(f flags) error {
	p, err := newPlace(os.Getenv(placeEnv), f)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !strings.Contains(","+f.only+",", ","+part.name+",") {
			continue
		}
		if err := part.run(p, os.Stdout); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// newFolder makes the folder for everything. It is not below /tmp, which is
// private in the sandbox and would make the plan an unusual one.
func newFolder() (string, error) {
	parent := "/var/lib"
	if os.Geteuid() != 0 {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		parent = home
	}
	dir, err := os.MkdirTemp(parent, "aigate-bench.")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

func removeAll(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

func copyProgram(from, to string) error {
	text, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (make build makes it)", err)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, text, 0o755); err != nil {
		return err
	}
	return os.Chmod(to, 0o755)
}
