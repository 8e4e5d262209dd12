package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var starts = flag.Int("starts", 48, "how often TestStarts starts a sandbox, for each caller and engine")

// TestStarts starts sandboxes with a network by name one after the other, and none may fail: a third of them alone,
// a third while every core is busy, a third on a terminal. What runs inside connects before it does anything else,
// so a gate that is not up in time shows here.
//
//	go test -count=1 ./e2e -run TestStarts -starts 500 -timeout 30m
func TestStarts(t *testing.T) {
	if hollow || controlsOnly {
		t.Skip("there is no attack here that could succeed")
	}
	if os.Getenv("AIGATE_E2E_PLACE") != "" || os.Geteuid() != 0 {
		t.Run("plain", func(t *testing.T) { startMany(t, "plain") })
		return
	}
	t.Run("plain", asPlainUser)
	t.Run("root", func(t *testing.T) { startMany(t, "root") })
}

func startMany(t *testing.T, caller string) {
	service, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	go func() {
		for {
			c, err := service.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "SERVICE")
			c.Close()
		}
	}()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			home := filepath.Join(place, caller, engine[:1], "starts")
			write(t, filepath.Join(home, ".aigate/config.yaml"),
				fmt.Sprintf("deny_read: [.env]\ndeny_exec: []\nallow_net: [example.com, 203.0.113.0/24, 'localhost:%d']\n", service.Addr().(*net.TCPAddr).Port))
			write(t, filepath.Join(home, "app/.env"), "PASSWORD=x\n")
			run := func(name string, count int, args ...string) {
				args = append(args, "aigate run -q -- attacker connect tcp "+service.Addr().String())
				for i := range count {
					if err := startOnce(home, engine, args); err != nil {
						t.Errorf("%s, start %d of %d: %v", name, i+1, count, err)
					}
				}
			}
			n := *starts / 3
			run("alone", n, "sh", "-c")
			run("on a terminal", n, "script", "-qec")
			defer keepBusy(t)()
			run("with every core busy", n, "sh", "-c")
		})
	}
}

func startOnce(home, engine string, args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	if args[0] == "script" {
		c.Args = append(c.Args, "/dev/null") // its transcript
	}
	c.Dir = filepath.Join(home, "app")
	c.Env = []string{"HOME=" + home, "PATH=" + searchPath(), "AIGATE_ENGINE=" + engine, "SHELL=/bin/sh", "TERM=xterm"}
	out, err := c.CombinedOutput()
	// script echoes the end of its own input, before it or behind.
	if err != nil || !bytes.Contains(out, []byte("SERVICE")) || bytes.Contains(out, []byte("[aigate]")) {
		return fmt.Errorf("%v: %q", err, out)
	}
	return nil
}

// keepBusy gives every core something to do until the returned function is called.
func keepBusy(t *testing.T) (stop func()) {
	var all []*exec.Cmd
	for range runtime.NumCPU() {
		c := exec.Command("sh", "-c", "while :; do :; done")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return func() {
		for _, c := range all {
			c.Process.Kill()
			c.Wait()
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.TrimLeft(text, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}
