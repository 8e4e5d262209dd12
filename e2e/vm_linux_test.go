package e2e

import (
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
//	make test-vm                 every attack, on every machine below
//	make test-vm-limits          the scripts about limits
var machines = []struct {
	name string
	env  []string
	only string // of the scripts, with AIGATE_VM=limits
}{
	{"6.1", nil, "(limit_|leave_sigkill)"},
	{"6.1-systemd", []string{"VM_SYSTEMD=1"}, "limit_(memory|fork|escape)"},
	{"6.12", []string{"VM_SUITE=bookworm-backports"}, "limit_memory"},
}

func TestVM(t *testing.T) {
	which := os.Getenv("AIGATE_VM")
	if which == "" {
		t.Skip("make test-vm runs this")
	}
	if os.Geteuid() != 0 || os.Getenv("AIGATE_E2E_PLACE") != "" {
		t.Skip("the virtual machine is root's to start, and has the plain half in it")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Fatal("no qemu; to install it: apt-get install --no-install-recommends qemu-system-x86 cpio kmod xz-utils")
	}
	u, err := user.Lookup(plainUser)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			only := ""
			if which == "limits" {
				only = m.only
			}
			inVM(t, u.Uid, only, m.env)
		})
	}
}

// inVM runs the scripts of attacks whose names begin so.
func inVM(t *testing.T, uid, only string, env []string) {
	cmd := exec.Command("vm/run-in-vm.sh", filepath.Join(place, "bin/e2e.test"), "-test.v", "-test.timeout=170m",
		"-test.run", "^TestScripts$/plain/(native|bwrap)/attack/^"+only)
	cmd.Env = append(os.Environ(), append(env, "VM_UID="+uid, "VM_TIMEOUT=10000", "VM_ENV=AIGATE_E2E_PLACE AIGATE_E2E_SLOW", "AIGATE_E2E_PLACE="+place, "AIGATE_E2E_SLOW=10")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.CombinedOutput()
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

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
