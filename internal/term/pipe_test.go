//go:build linux

package term

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// masked is `aigate run --` with its output masked.
func masked(script string) *exec.Cmd {
	cmd := exec.Command(runCommand, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "TERM_TEST_MASK=1")
	return cmd
}

// status runs a command and gives its exit status.
func status(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestMaskedPipes(t *testing.T) {
	cmd := masked(`printf 'out secret-a1'; printf 'err secret-' >&2; sleep 0.05; printf 'b2\nlast' >&2; exit 3`)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if got := status(t, cmd); got != 3 {
		t.Errorf("exit status %d", got)
	}
	if out.String() != "out secret-***" || errs.String() != "err secret-***\nlast" {
		t.Errorf("%q, %q", &out, &errs)
	}
}

// One file for both outputs stays one.
func TestMaskedTogether(t *testing.T) {
	var out bytes.Buffer
	cmd := masked(`i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done`)
	cmd.Stdout, cmd.Stderr = &out, &out
	status(t, cmd)
	var want strings.Builder
	for i := range 300 {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	if out.String() != want.String() {
		t.Errorf("%.300q", out.String())
	}
}

// The payload has no descriptor that leads to the caller's file, but to /dev/null.
func TestMaskedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := masked(`readlink /proc/self/fd/1 >&2; readlink /proc/self/fd/2 >&2; echo secret-1; echo secret-2 >/proc/self/fd/1; echo secret-3 >/dev/stderr`)
	cmd.Stdout, cmd.Stderr = file, file
	status(t, cmd)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "pipe:") || lines[0] != lines[1] || lines[2] != "secret-***" || lines[3] != lines[2] || lines[4] != lines[2] {
		t.Errorf("%q", lines)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd = masked(`exec 3>&1; readlink /proc/self/fd/3 >&2`)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = null, &errs
	if status(t, cmd); errs.String() != "/dev/null\n" {
		t.Errorf("%q", errs.String())
	}
}

// A reader that has gone ends the payload as it would without us.
func TestMaskedReaderGoes(t *testing.T) {
	cmd := masked(`yes`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(out, make([]byte, 10))
	out.Close()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 141 {
		t.Errorf("exit status %d", got)
	}
}

// What a slow reader has not taken when the payload ends is not lost, and it fills no memory of ours before.
func TestMaskedSlowReader(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	cmd := masked(`i=0; while [ $i -lt 1000 ]; do printf '%01000d' 0; i=$((i+1)); echo $i >` + count + `; done; printf END`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := func() (n int) { b, _ := os.ReadFile(count); fmt.Sscan(string(b), &n); return n }
	last := -1
	eventually(t, "end of the payload's output", func() bool {
		before := last
		last = n()
		time.Sleep(200 * time.Millisecond)
		return last == before && last > 0
	})
	if last > 300 { // two pipes and what is in our hands
		t.Errorf("%d kB are nowhere to be seen", last)
	}
	text := make([]byte, 0, 1<<20)
	buf := make([]byte, 900<<10)
	k, _ := io.ReadFull(out, buf) // the rest fits into the pipes: the payload ends
	text = append(text, buf[:k]...)
	time.Sleep(2 * lastWait)
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if text = append(text, rest...); len(text) != 1000*1000+3 || !bytes.HasSuffix(text, []byte("0END")) {
		t.Errorf("%d bytes", len(text))
	}
	cmd.Wait()
}

// A prompt is there at once, what may be a secret is not, and both outputs keep their order.
func TestMaskedTerminal(t *testing.T) {
	t.Setenv("TERM_TEST_MASK", "1")
	c := open(t, runCommand, "sh", "-c", `stty -echo; printf 'Password: '; read x; printf secret-; sleep 0.2; printf a; sleep 0.05; printf 'b2\033[1mc\033[0m.'; echo err >&2; printf 'secret-a '; echo last secr`)
	c.expect("Password: ")
	c.send("x\n")
	if got, want := c.expect("last secr"), "secret-***\x1b[1m\x1b[0m.err\r\nsecret-*** "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	<-c.exited
}
