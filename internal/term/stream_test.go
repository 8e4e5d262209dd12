//go:build linux

package term

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLastByte(t *testing.T) {
	for _, slow := range []bool{false, true} {
		size := 1 << 20
		if slow {
			size = 24000 // one pty takes 14 to 20 KB: the payload ends while most of it is still there
		}
		c := open(t, runCommand, "sh", "-c", fmt.Sprintf("stty -opost -echo; echo ready; read x; head -c %d /dev/zero | tr '\\0' x; printf END", size))
		c.expect("ready\n")
		if slow {
			c.slow("\n")
		} else {
			c.send("\n")
		}
		if got := c.expect("END"); len(got) != size || strings.Trim(got, "x") != "" {
			t.Errorf("%d bytes", len(got))
		}
		<-c.exited
	}
}

// A shell reads what was pasted only line by line; cat reads it all. Both at once: neither direction waits for the other.
func TestPaste(t *testing.T) {
	c := open(t, runCommand, "sh", "-c", "stty raw -echo; echo ready; tee /dev/stderr | head -c 1048576 | sha256sum; echo done")
	c.expect("ready")
	line := strings.Repeat("0123456789abcde\n", 1<<16)
	go c.master.WriteString(line + strings.Repeat("x", 1<<16)) // tee ends when it writes more than head takes
	want, err := shaSum(line)
	if err != nil {
		t.Fatal(err)
	}
	c.expect(want)
	c.expect("done")
}

func shaSum(text string) (string, error) {
	cmd := exec.Command("sha256sum")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	return strings.Fields(string(out) + " -")[0], err
}

func TestPasteIsNotRead(t *testing.T) {
	c := open(t, runCommand, "sh", "-c", "trap 'echo caught; exit' TERM; stty raw -echo; echo ready; while :; do sleep 0.1; echo tick; done")
	c.expect("ready")
	go c.master.WriteString(strings.Repeat("x", 1<<20))
	c.expect("tick")
	c.expect("tick")
	aigate, _ := c.pids()
	c.resize(30, 90)
	c.kill(aigate, unix.SIGTERM)
	c.expect("caught")
	<-c.exited
}

// A terminal that takes nothing holds the payload up and fills no memory of ours.
func TestSlowTerminal(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	c := open(t, runCommand, "sh", "-c", "echo ready; i=0; while :; do printf '%01000d' 0; i=$((i+1)); echo $i >"+count+"; done")
	c.expect("ready")
	c.frozen.Lock()
	n := func() (n int) { b, _ := os.ReadFile(count); fmt.Sscan(string(b), &n); return n }
	last := -1
	eventually(t, "end of the payload's output", func() bool {
		before := last
		last = n()
		time.Sleep(200 * time.Millisecond)
		return last == before && last > 0
	})
	if last > 1000 {
		t.Errorf("%d kB are nowhere to be seen", last)
	}
	aigate, _ := c.pids()
	c.kill(aigate, unix.SIGTERM) // ends the payload, though its output is stuck
	eventually(t, "end of aigate", func() bool {
		unix.Kill(aigate, unix.SIGTERM)
		select {
		case <-c.exited:
			return true
		default:
			return false
		}
	})
	c.frozen.Unlock()
}

func TestTerminalGoesAway(t *testing.T) {
	for name, payload := range map[string]string{
		"handler": `trap 'echo caught >%s; exit' HUP; ` + idle,
		"writes":  `trap '' HUP; echo read""y; while echo x; do sleep 0.02; done; echo caught >%s`,
		"reads":   `trap '' HUP; echo read""y; cat; echo caught >%s`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			for _, start := range []func(script string) *console{
				func(script string) *console { return open(t, runCommand, "sh", "-c", script) },
				func(script string) *console {
					c := shell(t)
					c.line("run sh -c '" + strings.ReplaceAll(script, "'", `'\''`) + "'")
					return c
				},
			} {
				os.Remove(file)
				c := start(fmt.Sprintf(payload, file))
				c.expect("ready")
				aigate, _ := c.pids()
				c.master.Close()
				eventually(t, "word of the payload", func() bool { b, _ := os.ReadFile(file); return string(b) == "caught\n" })
				eventually(t, "end of aigate", func() bool { return !alive(aigate) })
			}
		})
	}
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil && !stateIs(pid, "Z") }

func stateIs(pid int, state string) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return bytes.Contains(stat, []byte(") "+state+" "))
}

func TestSignals(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2} {
		name := strings.TrimPrefix(unix.SignalName(sig), "SIG")
		// A child of the payload in its group: kill(1) is for one process.
		script := "(trap 'echo child' " + name + "; sleep 3; sleep 0.1)& trap 'echo caught; exit 5' " + name + "; " + idle
		t.Run("pty/"+name, func(t *testing.T) {
			c := open(t, runCommand, "sh", "-c", script)
			c.expect("ready")
			aigate, _ := c.pids()
			c.kill(aigate, sig)
			if got := c.expect("caught"); strings.Contains(got, "child") {
				t.Errorf("the child got it too")
			}
			<-c.exited
			if got := c.cmd.ProcessState.ExitCode(); got != 5 {
				t.Errorf("status %d", got)
			}
		})
		t.Run("pipe/"+name, func(t *testing.T) {
			cmd := exec.Command(runCommand, "sh", "-c", script)
			cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, len("ready\n"))
			if _, err := io.ReadFull(out, buf); err != nil {
				t.Fatal(err)
			}
			cmd.Process.Signal(sig)
			if _, err := io.ReadFull(out, buf); string(buf) != "caught" {
				t.Errorf("%q, %v", buf, err)
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
				t.Error(err)
			}
		})
	}
}

// Between Listen and Start a signal waits.
func TestEarlySignal(t *testing.T) {
	cmd := exec.Command(runCommand, "sh", "-c", "trap 'echo caught; exit 5' TERM; "+idle)
	cmd.Env = append(os.Environ(), "TERM_TEST_SLOW=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stderr, make([]byte, len("setting up\n"))); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait()
	// The payload may not have come to its trap when the signal reaches it.
	if got := cmd.ProcessState.ExitCode(); got != 5 && got != 128+15 {
		t.Errorf("status %d, output %q", got, out.String())
	}
}

func TestIgnoredStaysIgnored(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", "trap '' HUP INT; exec run sh -c 'trap \"echo usr; exit 6\" USR1; trap \"echo quit\" QUIT; "+idle+"' >"+dir+"/out")
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { b, _ := os.ReadFile(dir + "/out"); return len(b) > 0 })
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT} {
		cmd.Process.Signal(sig)
		time.Sleep(100 * time.Millisecond)
	}
	cmd.Process.Signal(unix.SIGUSR1)
	cmd.Wait()
	if b, _ := os.ReadFile(dir + "/out"); string(b) != "ready\nusr\n" || cmd.ProcessState.ExitCode() != 6 {
		t.Errorf("%q, %v", b, cmd.ProcessState)
	}
}

func TestDescriptors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "list")
	if err := os.WriteFile(file, []byte("one\ntwo\nthree\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, script, want string }{
		{"pipe", "echo x | run cat", "x\n"},
		{"a pipe is passed", "echo x | { stat -Lc %i /dev/stdin; run stat -Lc %i /dev/stdin; } | uniq | wc -l", "1\n"},
		{"file", "run cat <list", "one\ntwo\nthree\n"},
		{"a file is not to be written", "run sh -c 'echo bad >/proc/self/fd/0; chmod 777 /proc/self/fd/0' <list 2>/dev/null; cat list; stat -c %a list", "one\ntwo\nthree\n644\n"},
		{"position is kept", "while read x; do run true; echo $x; done <list", "one\ntwo\nthree\n"},
		{"position is moved", "{ run sh -c 'read x; echo $x'; cat; } <list", "one\ntwo\nthree\n"},
		{"position of big", "seq 100000 >big; { run sh -c 'read x; read x'; read x; echo $x; } <big", "3\n"},
		{"from a position", "{ read x; run cat; cat; } <list", "two\nthree\n"},
		{"here-document", "run cat <<E\nhere\nE", "here\n"},
		{"null", "run stat -Lc %F /dev/stdin </dev/null", "character special file\n"},
		{"for writing", "run sh -c 'echo x' >out 2>err; echo y >>out; cat out", "x\ny\n"},
		{"apart", "run sh -c 'echo x; echo y >&2' 2>err; echo -; cat err", "x\n-\ny\n"},
		{"output opened for reading", "run sh -c 'echo x; chmod 777 /proc/self/fd/1' 1<list 2>/dev/null; stat -c %a list", "644\n"},
		{"lots", "head -c 60000000 /dev/zero | run cat | sha256sum | cut -c1-8", ""},
		{"reader leaves", "seq 1000000 | run head -n 1", "1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("bash", "-c", tt.script)
			cmd.Dir = dir
			cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
			cmd.Stderr = os.Stderr
			got, err := cmd.Output()
			if err != nil {
				t.Error(err)
			}
			if tt.name == "lots" {
				sum, err := exec.Command("sh", "-c", "head -c 60000000 /dev/zero | sha256sum | cut -c1-8").Output()
				if err != nil {
					t.Fatal(err)
				}
				tt.want = string(sum)
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWaysOut(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"run true </", "standard input is a directory"},
		{"exec run true 2>&1 1</", "standard output is a directory"},
	} {
		out, err := exec.Command("sh", "-c", tt.script).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: %v, %s", tt.script, err, out)
		}
	}
	path, err := unix.Open("/etc/passwd", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runCommand, "true")
	cmd.Stdin = os.NewFile(uintptr(path), "path")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "O_PATH") {
		t.Errorf("%v, %s", err, out)
	}
}

func TestClosedDescriptors(t *testing.T) {
	out, err := role("closed").CombinedOutput()
	if want := "0 /dev/null 0\n1 /dev/null 1\n"; err != nil || string(out) != want {
		t.Errorf("%v, %q", err, out)
	}
}
