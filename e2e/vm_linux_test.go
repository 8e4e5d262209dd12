package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestVM runs scripts once more under other kernels, as the plain user, where cgroup v2 has every controller: in a
// virtual machine that sees this one's files (vm/run-in-vm.sh). qemu emulates, so it takes many times as long.
//
//	make test-vm-short           what CI runs: a few minutes
//	make test-vm-limits          the scripts about limits
//	make test-vm                 every attack, on every machine below
var machines = []struct {
	name   string
	env    []string
	short  string // of the scripts, with AIGATE_VM=short
	limits string // and with AIGATE_VM=limits
}{
	{"6.1", nil, "native/attack/^limit_(escape|fork)", "(native|bwrap)/attack/^(limit_|leave_sigkill)"},
	{"6.1-systemd", []string{"VM_SYSTEMD=1"}, "bwrap/attack/^limit_(escape|fork)", "(native|bwrap)/attack/^limit_(memory|fork|escape)"},
	{"6.12", []string{"VM_SUITE=bookworm-backports"}, "native/attack/^limit_escape", "(native|bwrap)/attack/^limit_memory"},
}

func TestVM(t *testing.T) {
	which := os.Getenv("AIGATE_VM")
	if which == "" {
		t.Skip("make test-vm-short runs this")
	}
	if err := noVM(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		fmt.Fprintln(os.Stderr, "e2e: NOT RUN: limits under other kernels;", err)
		t.Skip(err)
	}
	u, err := user.Lookup(plainUser)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			only := map[string]string{"short": m.short, "limits": m.limits, "all": "(native|bwrap)/attack"}[which]
			if only == "" {
				t.Fatalf("AIGATE_VM=%s: short, limits or all", which)
			}
			inVM(t, u.Uid, only, m.env)
		})
	}
}

// noVM says why there can be no virtual machine here.
func noVM() error {
	if os.Geteuid() != 0 || os.Getenv("AIGATE_E2E_PLACE") != "" {
		return errors.New("the virtual machine is root's to start, and has the plain half in it")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return errors.New("no qemu; to install it: apt-get install --no-install-recommends qemu-system-x86 cpio kmod xz-utils")
	}
	if err := exec.Command("apt-cache", "show", "linux-image-amd64").Run(); err != nil {
		return errors.New("no package linux-image-amd64: the kernels are Debian's")
	}
	return nil
}

// inVM runs those scripts. A guest whose kernel falls over (seen once: 6.12, in its scheduler) has not answered, and is asked
// once more.
func inVM(t *testing.T, uid, only string, env []string) {
	out, err := startVM(uid, only, env)
	if err != nil && strings.Contains(string(out), kernelPanic) {
		fmt.Fprintf(os.Stderr, "e2e: the guest's kernel panicked, once more: %s\n", tail(string(out), 4_000))
		out, err = startVM(uid, only, env)
	}
	text := string(out)
	passed := strings.Count(text, "--- PASS: TestScripts/plain/") - strings.Count(text, "/attack (")
	if err != nil || passed < 1 {
		t.Fatalf("%v, %d passed:\n%s", err, passed, tail(text, 20_000))
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "--- PASS: TestScripts/plain/") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

const kernelPanic = "Kernel panic - not syncing"

func startVM(uid, only string, env []string) ([]byte, error) {
	cmd := exec.Command("vm/run-in-vm.sh", filepath.Join(place, "bin/e2e.test"), "-test.v", "-test.timeout=170m",
		"-test.run", "^TestScripts$/plain/"+only)
	cmd.Env = append(os.Environ(), append(env, "VM_UID="+uid, "VM_TIMEOUT=10000", "VM_ENV=AIGATE_E2E_PLACE AIGATE_E2E_SLOW", "AIGATE_E2E_PLACE="+place, "AIGATE_E2E_SLOW=10")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd.CombinedOutput()
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
