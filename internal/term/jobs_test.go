//go:build linux

package term

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// idle is a payload that says ready, and then waits for signals.
const idle = `echo read""y; while :; do sleep 0.02; done`

func TestKeysAndModes(t *testing.T) {
	c := shell(t)
	c.do("stty intr ^G -ixon")
	outside := c.do("stty -a")
	if inside := c.do("run stty -a"); inside != outside {
		t.Errorf("outside\n%s\ninside\n%s", outside, inside)
	}
	if got := c.do(`run bash -c 'tty; tty <&1; tty <&2; tty </dev/tty >/dev/null && echo own' `); strings.Contains(got, c.do("tty")) || !strings.Contains(got, "own") {
		t.Errorf("the payload's terminal: %s", got)
	}
	if after := c.do("stty -a"); after != outside {
		t.Errorf("before\n%s\nafter\n%s", outside, after)
	}
}

func TestCtrlC(t *testing.T) {
	c := shell(t)
	before := c.do("stty -a")
	c.line("run bash -c 'trap \"echo caught; exit 3\" INT; " + idle + "'")
	c.expect("ready")
	c.send("\x03")
	c.expect("caught")
	if got := c.do("echo $?"); got != "3\n" {
		t.Errorf("status %s", got)
	}
	c.line("run bash -c '" + idle + "'")
	c.expect("ready")
	c.send("\x03")
	if got := c.do("echo $?"); !strings.Contains(got, "130\n") {
		t.Errorf("status %s", got)
	}
	if after := c.do("stty -a"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestStopAndForeground(t *testing.T) {
	c := shell(t)
	before := c.do("stty -a")
	c.line("run bash -c 'echo read\"\"y; read x; echo go\"\"t $x; read x; echo go\"\"t $x'")
	c.expect("ready")
	for _, word := range []string{"one", "two"} {
		c.send("\x1a")
		c.expect("Stopped")
		if now := c.do("stty -a"); now != before {
			t.Errorf("while stopped\n%s\nbefore\n%s", now, before)
		}
		if got := c.do("jobs"); !strings.Contains(got, "Stopped") {
			t.Errorf("jobs: %s", got)
		}
		c.line("fg")
		c.send(word + "\n")
		c.expect("got " + word + "\r\n")
	}
	if after := c.do("stty -a"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// What was written before the stop is on the screen before the shell says that there was one, also where the screen is slow.
func TestStopDrains(t *testing.T) {
	c := shell(t)
	c.line(`run bash -c 'echo read""y; read x; seq 4400; kill -TSTP $$; echo go""on'`)
	c.expect("ready\r\n")
	c.slow("\n")
	if got := c.expect("Stopped"); !strings.Contains(got, "\r\n4400\r\n") {
		t.Errorf("the last line is missing before the stop: …%q", got[max(0, len(got)-100):])
	}
	c.line("fg")
	c.expect("goon")
}

func TestKillStopped(t *testing.T) {
	c := shell(t)
	c.line("run bash -c 'trap \"echo caught; exit 7\" TERM; " + idle + "'")
	c.expect("ready")
	c.send("\x1a")
	c.expect("Stopped")
	c.line("kill %1")
	c.expect("caught")
	// The shell hears of an end only when the last thread has gone, later than /proc calls the process a zombie.
	eventually(t, "Exit 7 on the screen", func() bool {
		c.send("jobs\n")
		time.Sleep(20 * time.Millisecond)
		return c.has("Exit 7")
	})
}

// A job in the background that asks for nothing is not disturbed, and has modes of its own.
func TestQuietInBackground(t *testing.T) {
	c := shell(t)
	c.line("run bash -c 'sleep 0.2; stty -a; echo do\"\"ne'&")
	if got := c.expect("done\r"); !strings.Contains(got, " icanon ") || !strings.Contains(got, " echo ") {
		t.Errorf("the shell's own modes have come to the payload: %s", got)
	}
}

func TestBackground(t *testing.T) {
	c := shell(t)
	c.line("run bash -c 'echo read\"\"y; while :; do sleep 0.1; echo ti\"\"ck; done'")
	c.expect("tick")
	c.send("\x1a")
	c.expect("Stopped")
	c.never("tick")
	c.line("bg")
	if got := c.do("jobs"); !strings.Contains(got, "Running") {
		t.Errorf("jobs: %s", got)
	}
	c.expect("tick")
	c.expect("tick")
	c.send("fg\n")
	c.expect("run bash")
	c.expect("tick")
	c.send("\x03") // the terminal is not raw: the key is a signal to us
	if got := c.do("echo $?"); !strings.Contains(got, "130\n") {
		t.Errorf("status %s", got)
	}
}

func TestBackgroundAsksForInput(t *testing.T) {
	c := shell(t)
	c.line("run bash -c 'read x; echo go\"\"t $x; stty -a'&")
	c.expect("[1]")
	c.do("sleep 0.3")
	if got := c.do("jobs"); !strings.Contains(got, "Stopped") {
		t.Errorf("jobs: %s", got)
	}
	c.line("fg")
	c.send("word\n")
	c.expect("got word")
	if got := c.expect(prompt); !strings.Contains(got, " icanon ") || !strings.Contains(got, " echo ") {
		t.Errorf("the shell's own modes have come to the payload: %s", got)
	}
}

func TestStoppedByItself(t *testing.T) {
	for _, sig := range []string{"STOP", "TSTP", "TTIN", "TTOU"} {
		t.Run(sig, func(t *testing.T) {
			c := shell(t)
			c.line("run bash -c 'kill -" + sig + " $$; echo go\"\"on'")
			if !strings.HasPrefix(sig, "TT") { // to ask for the terminal is granted at once
				c.expect("Stopped")
				c.line("fg")
			}
			c.expect("goon")
		})
	}
}

// A script is a job together with what it runs.
func TestStopInScript(t *testing.T) {
	c := shell(t)
	c.line("bash -c 'run bash -c \"echo read\\\"\\\"y; read x; echo go\\\"\\\"t \\$x\"; echo e\"\"nd'")
	c.expect("ready")
	c.send("\x1a")
	c.expect("Stopped")
	c.line("fg")
	c.send("word\n")
	c.expect("got word")
	c.expect("end")
}

// Nobody would continue a session leader.
func TestOrphanDoesNotStop(t *testing.T) {
	for _, stop := range []string{"TSTP", "STOP"} {
		c := open(t, runCommand, "bash", "-c", "echo ready; kill -"+stop+" $$; read x; echo got $x")
		c.expect("ready")
		c.send("word\n")
		c.expect("got word")
	}
}

func TestAigateStoppedAlone(t *testing.T) {
	c := shell(t)
	before := c.do("stty -a")
	c.line("run bash -c 'echo read\"\"y; read x; echo go\"\"t $x; read x; echo go\"\"t $x'")
	c.expect("ready")
	aigate, _ := c.pids()
	c.kill(aigate, unix.SIGSTOP)
	c.expect("Stopped")
	c.line("fg")
	c.send("one\n")
	c.expect("got one")
	time.Sleep(100 * time.Millisecond) // no person stops it while it is still taking the terminal
	c.kill(aigate, unix.SIGSTOP)
	c.expect("Stopped")
	c.do("bg")
	if got := c.do("sleep 0.4; jobs -l"); !strings.Contains(got, "Running") {
		t.Errorf("jobs: %s", got)
	}
	c.line("fg") // bash sends nothing to a job that runs
	time.Sleep(400 * time.Millisecond)
	c.send("two\n")
	c.expect("got two")
	if after := c.do("stty -a"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// A terminal that does not control our session: nobody would stop us, and nobody else reads it.
func TestForeignTerminal(t *testing.T) {
	for name, prefix := range map[string]string{
		"own session":              "setsid -w",
		"other user":               "setpriv --reuid 65534 --clear-groups",
		"other user's own session": "setsid -w setpriv --reuid 65534 --clear-groups",
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(prefix, "setpriv") && os.Getuid() != 0 {
				t.Skip("needs root")
			}
			openToAll(t)
			c := shell(t)
			before := c.do("stty -a")
			c.line(prefix + " " + runCommand + " bash -c 'trap \"echo caught; exit\" INT; echo read\"\"y; read x; echo go\"\"t $x; " + idle + "'; sed -n 's/flags:/own &/p' /proc/$$/fdinfo/0")
			c.expect("ready")
			c.send("word\n")
			c.expect("got word")
			c.send("\x03")
			c.expect("own flags:\t")
			if flags, err := strconv.ParseUint(c.expect("\r"), 8, 64); err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Errorf("the shell's descriptor: %o, %v", flags, err)
			}
			if after := c.do("stty -a"); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// openToAll lets other users execute the test binary.
func openToAll(t *testing.T) {
	t.Helper()
	for _, path := range []string{self(), runCommand} {
		for path != "/tmp" && path != "/" {
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(path, os.TempDir()) && os.Chmod(path, st.Mode().Perm()|0o555) != nil {
				t.Skip("not ours")
			}
			path = filepath.Dir(path)
		}
	}
}

// On its way to a prompt, readline reads the terminal's size and sets it again, which undoes a resize in between.
func TestResize(t *testing.T) {
	c := shell(t)
	c.expect(prompt)
	c.resize(31, 201)
	c.send("run sizes\n")
	c.expect("size 31 201")
	c.resize(42, 111)
	c.expect("size 42 111")
	c.send("\x1a")
	c.expect("Stopped")
	c.expect(prompt)
	c.resize(43, 112)
	c.send("fg\n")
	c.expect("size 43 112")
	c.send("\x03")
	c.expect(prompt)
}

// In a pipeline the keys are for the pager.
func TestPipelineKeepsItsKeys(t *testing.T) {
	c := shell(t)
	c.line("run bash -c 'echo from pay\"\"load; sleep 1' | bash -c 'head -n1; read k </dev/tty; echo ke\"\"y $k; cat'")
	c.expect("from payload")
	c.send("abc\n")
	c.expect("key abc")
	c.line("run bash -c 'echo from pay\"\"load; sleep 1' | bash -c 'head -n1; read k </dev/tty; echo ke\"\"y $k; cat'")
	c.expect("from payload")
	c.send("\x1a")
	c.expect("Stopped")
	c.line("fg")
	time.Sleep(100 * time.Millisecond)
	if c.raw() {
		t.Error("the terminal was taken from the one that reads keys")
	}
	c.send("def\n")
	c.expect("key def")
	c.line("run bash -c 'seq 1000' | TERM=vt100 less")
	c.expect("1\r\n2\r\n")
	c.send("q")
	if got := c.do("echo ok"); !strings.Contains(got, "ok") {
		t.Errorf("after less: %s", got)
	}
}

func TestPipelineMayAsk(t *testing.T) {
	c := shell(t)
	c.line("run bash -c 'read x; echo go\"\"t $x; stty -a' | cat")
	c.send("word\n")
	if got := c.expect("got word\r\n"); strings.Count(got, "word\r\n") > 2 {
		t.Errorf("echoed twice: %q", got)
	}
	c.expect("speed")
	c.line("echo x | run bash -c 'read y </dev/tty; echo go\"\"t $y'")
	c.send("other\n")
	c.expect("got other\r\n")
}

// No terminal among 0, 1 and 2, but one that sends signals and a shell that wants to see a stop.
func TestJobWithoutPTY(t *testing.T) {
	c := shell(t)
	out := t.TempDir() + "/out"
	c.line("run bash -c 'trap \"echo caught; exit 4\" INT; " + idle + "' </dev/null >" + out + " 2>&1")
	ready := func() bool { b, _ := os.ReadFile(out); return strings.Contains(string(b), "ready") }
	eventually(t, "ready", ready)
	_, payload := c.pids()
	for range 2 {
		c.send("\x1a")
		c.expect("Stopped")
		if !stateIs(payload, "T") {
			t.Error("the payload has not stopped")
		}
		c.line("fg")
		time.Sleep(100 * time.Millisecond)
	}
	c.send("\x03")
	if got := c.do("echo $?"); !strings.Contains(got, "4\n") {
		t.Errorf("status %s", got)
	}
	if b, _ := os.ReadFile(out); string(b) != "ready\ncaught\n" {
		t.Errorf("output %q", b)
	}
}
