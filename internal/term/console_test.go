//go:build linux

package term

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// console is a person at a terminal: keys go in, what the screen shows comes out.
type console struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	exited chan struct{}

	mu     sync.Mutex
	shown  bytes.Buffer
	seen   int           // how much of it expect has passed
	frozen sync.RWMutex  // held for writing: the screen takes nothing
	news   chan struct{} // something was shown
}

// prompt is waited for before anything is typed; what is typed ahead goes to the payload, if it has the terminal.
const prompt = "%% "

const patience = 15 * time.Second

// open starts a command as the leader of a session on a terminal of 24 rows and 250 columns, so that no line wraps.
func open(t *testing.T, argv ...string) *console {
	t.Helper()
	master, slave, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	if master, err = pollable(master); err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, master: master, exited: make(chan struct{}), news: make(chan struct{}, 1)}
	c.resize(24, 250)
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Env = append(os.Environ(), "TERM=dumb", "PS1="+prompt, "HISTFILE=", "TERM_TEST_PIDS="+t.TempDir()+"/pids")
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	go func() { c.cmd.Wait(); close(c.exited) }()
	go c.watch()
	t.Cleanup(c.close)
	return c
}

// shell starts an interactive bash with job control.
func shell(t *testing.T) *console {
	t.Helper()
	c := open(t, "bash", "--norc", "--noprofile", "-i")
	c.do("bind 'set enable-bracketed-paste off' 2>/dev/null")
	return c
}

func (c *console) watch() {
	buf := make([]byte, 32<<10)
	for {
		c.frozen.RLock()
		n, err := c.master.Read(buf)
		c.frozen.RUnlock()
		c.mu.Lock()
		c.shown.Write(buf[:n])
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (c *console) close() {
	c.master.Close()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.cmd.Process.Kill()
		c.t.Errorf("%v does not end when its terminal goes away", c.cmd.Args)
	}
}

// line types a line for the shell.
func (c *console) line(line string) {
	c.t.Helper()
	c.expect(prompt)
	c.send(line + "\n")
	c.expect("\n") // our own typing
}

func (c *console) send(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// slow sends keys to a screen that takes nothing for a while.
func (c *console) slow(keys string) {
	c.t.Helper()
	c.send(keys)
	c.frozen.Lock()
	time.Sleep(400 * time.Millisecond)
	c.frozen.Unlock()
}

// expect waits until text appears after what was expected before, and returns what was shown in between.
func (c *console) expect(text string) string {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		rest := c.shown.Bytes()[c.seen:]
		if i := bytes.Index(rest, []byte(text)); i >= 0 {
			between := string(rest[:i])
			c.seen += i + len(text)
			c.mu.Unlock()
			return between
		}
		c.mu.Unlock()
		select {
		case <-c.news:
		case <-timeout:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.t.Fatalf("no %q on the screen, which shows\n%s", text, c.shown.String())
		}
	}
}

// never fails if text is shown within a quarter of a second.
func (c *console) never(text string) {
	c.t.Helper()
	time.Sleep(250 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Contains(c.shown.Bytes()[c.seen:], []byte(text)) {
		c.t.Fatalf("%q on the screen, which shows\n%s", text, c.shown.String())
	}
}

// has says whether text was ever shown.
func (c *console) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.shown.Bytes(), []byte(text))
}

var doNumber int

// do has the shell run a line to its end, and returns what it printed.
func (c *console) do(line string) string {
	c.t.Helper()
	doNumber++
	mark := fmt.Sprint("mark", doNumber)
	c.line(line + "; echo ma''" + strings.TrimPrefix(mark, "ma") + ".")
	return strings.ReplaceAll(c.expect(mark+".\r\n"), "\r\n", "\n")
}

func (c *console) resize(rows, cols uint16) {
	c.t.Helper()
	err := control(c.master, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// raw says whether somebody reads single keys.
func (c *console) raw() (raw bool) {
	err := control(c.master, func(fd int) error {
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		raw = err == nil && modes.Lflag&unix.ICANON == 0
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
	return raw
}

// pids are the process numbers of the supervisor and the payload.
func (c *console) pids() (aigate, payload int) {
	c.t.Helper()
	for _, v := range c.cmd.Env {
		if path, ok := strings.CutPrefix(v, "TERM_TEST_PIDS="); ok {
			eventually(c.t, "a payload", func() bool {
				b, err := os.ReadFile(path)
				if err == nil {
					fmt.Sscan(string(b), &aigate, &payload)
				}
				return payload > 0
			})
		}
	}
	return aigate, payload
}

func (c *console) kill(pid int, sig unix.Signal) {
	c.t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		c.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}
