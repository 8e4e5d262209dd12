package seatbelt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// In the place of sandbox-exec stands env(1), which only starts its arguments:
// nothing is refused. What is tested is everything around it.
var noSandbox = []string{"/usr/bin/env"}

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	Stage(os.Args)
	if len(os.Args) == 4 && os.Args[1] == "supervisor" { // one that will be killed
		o := order("bash", "-c", os.Args[2])
		o.Mark, o.Remove = o.Env[len(o.Env)-1], os.Args[3]
		b, err := Start(o, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, nil)
		if err != nil {
			panic(err)
		}
		if _, err := b.Ready(); err != nil {
			panic(err)
		}
		b.Go()
		b.Next()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func order(argv ...string) Order {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		path = argv[0]
	}
	return Order{Exec: noSandbox, Dir: "/", Path: path, Args: argv, Env: append(os.Environ(), "MARK=of "+strconv.Itoa(os.Getpid()))}
}

// run starts an order and gives what it wrote and its first stop or end.
func run(t *testing.T, o Order, slave *os.File) (out *bufio.Reader, b *Box) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	files := [3]*os.File{os.Stdin, w, w}
	if slave != nil {
		files = [3]*os.File{slave, w, w}
	}
	b, err = Start(o, files, slave)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.End(); r.Close() })
	return bufio.NewReader(r), b
}

func started(t *testing.T, o Order, slave *os.File) (out *bufio.Reader, b *Box, pid int) {
	t.Helper()
	out, b = run(t, o, slave)
	pid, err := b.Ready()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Go(); err != nil {
		t.Fatal(err)
	}
	return out, b, pid
}

func next(t *testing.T, b *Box) unix.WaitStatus {
	t.Helper()
	w, ended, err := b.Next()
	if err != nil || ended {
		t.Fatal(ended, err)
	}
	return w
}

func TestRun(t *testing.T) {
	o := order("sh", "-c", `echo "$PWD $1 $X $(ps -o pgid= -p $$ | tr -d ' ')"; exit 7`, "sh", "an argument")
	o.Env = append(o.Env, "X=a value")
	o.Dir = t.TempDir()
	out, b, pid := started(t, o, nil)
	if w := next(t, b); w.ExitStatus() != 7 {
		t.Errorf("%#x", w)
	}
	if text, _ := io.ReadAll(out); string(text) != fmt.Sprintf("%s an argument a value %d\n", o.Dir, pid) {
		t.Errorf("%q", text)
	}
	_, b, _ = started(t, order("sh", "-c", "kill -USR1 $$"), nil)
	if w := next(t, b); w.Signal() != unix.SIGUSR1 {
		t.Errorf("%#x", w)
	}
}

func TestFileSize(t *testing.T) {
	o := order("sh", "-c", `head -c 100000 /dev/zero > big 2>/dev/null; stat -c %s big; ulimit -f unlimited 2>/dev/null && echo raised`)
	o.Dir, o.FileSize = t.TempDir(), 8192
	out, b, _ := started(t, o, nil)
	next(t, b)
	if text, _ := io.ReadAll(out); !strings.Contains(string(text), "8192\n") || strings.Contains(string(text), "raised") {
		t.Errorf("%q", text)
	}
}

// What the caller had open stays the caller's; arguments are bytes.
func TestInherits(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("inherited"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(secret, unix.O_RDONLY, 0) // not closed on exec, as a shell's 5<secret
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	script := fmt.Sprintf(`cat <&%d; printf %%s "$1" | od -An -tx1; ls /proc/self/fd | wc -l`, fd)
	out, b, _ := started(t, order("bash", "-c", script, "sh", "\xff\x80\n"), nil)
	next(t, b)
	b.End()
	text, _ := io.ReadAll(out)
	if strings.Contains(string(text), "inherited") || !strings.Contains(string(text), " ff 80 0a\n4\n") {
		t.Errorf("%q", text)
	}
}

// What is wrong is said, and the command does not start.
func TestNotStarted(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	for want, change := range map[string]func(*Order){
		"/bin/false ended with status 1":                   func(o *Order) { o.Exec = []string{"/bin/false"} },
		"start /nowhere":                                   func(o *Order) { o.Exec = []string{"/nowhere"} },
		"read " + secret + " was not":                      func(o *Order) { o.Checks = []Check{{"read", secret}} },
		"write " + secret + " was not":                     func(o *Order) { o.Checks = []Check{{"write", secret}} },
		"create " + trace + "2 was not":                    func(o *Order) { o.Checks = []Check{{"create", trace + "2"}} },
		"rename " + secret + " was not":                    func(o *Order) { o.Checks = []Check{{"rename", secret}} },
		"connect 1 was not refused, but":                   func(o *Order) { o.Checks = []Check{{"connect", "1"}} },
		"signal " + strconv.Itoa(os.Getpid()):              func(o *Order) { o.Checks = []Check{{"signal", strconv.Itoa(os.Getpid())}} },
		"unknown check":                                    func(o *Order) { o.Checks = []Check{{"guess", ""}} },
		"read " + secret + "x was not refused, but failed": func(o *Order) { o.Checks = []Check{{"read", secret + "x"}} },
	} {
		o := order("touch", trace)
		change(&o)
		_, b := run(t, o, nil)
		if _, err := b.Ready(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, change := range map[error]func(*Order){
		unix.ENOENT: func(o *Order) { o.Path = "/nowhere" },
		unix.EACCES: func(o *Order) { o.Path = secret },
	} {
		o := order("touch", trace)
		change(&o)
		_, b, _ := started(t, o, nil)
		if _, _, err := b.Next(); !errors.Is(err, ErrNotExecuted) || !errors.Is(err, want) {
			t.Errorf("%v: %v", want, err)
		}
	}
	o := order("touch", trace)
	o.Dir = "/nowhere"
	_, b, _ := started(t, o, nil)
	if _, _, err := b.Next(); err == nil || !strings.Contains(err.Error(), "enter /nowhere") {
		t.Error(err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("the command was started")
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

func TestStop(t *testing.T) {
	_, b, _ := started(t, order("sh", "-c", "kill -STOP $$; exit 3"), nil)
	if w := next(t, b); !w.Stopped() || w.StopSignal() != unix.SIGSTOP {
		t.Fatalf("%#x", w)
	}
	if err := b.Resume(false); err != nil {
		t.Fatal(err)
	}
	if w := next(t, b); w.ExitStatus() != 3 {
		t.Errorf("%#x", w)
	}
}

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 3000 {
		if zombie(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
	unix.Kill(pid, unix.SIGKILL)
}

func number(t *testing.T, out *bufio.Reader) int {
	t.Helper()
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// With the command ends all of its session, also what has a group of its own.
func TestEndsAll(t *testing.T) {
	for _, how := range []string{"by itself", "by us", "by SIGKILL to the leader's supervisor"} {
		script := `set -m; sleep 1000 & echo $!; (trap '' HUP TERM; exec sleep 1000) & echo $!; `
		if how != "by itself" {
			script += "sleep 1000"
		}
		var out *bufio.Reader
		var b *Box
		var supervisor *exec.Cmd
		var folder string
		if how == "by SIGKILL to the leader's supervisor" {
			folder = filepath.Join(t.TempDir(), "of the run")
			if err := os.MkdirAll(filepath.Join(folder, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			script = "setsid sleep 1000 & echo $!; " + script
			supervisor = exec.Command("/proc/self/exe", "supervisor", script, folder)
			pipe, err := supervisor.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := supervisor.Start(); err != nil {
				t.Fatal(err)
			}
			out = bufio.NewReader(pipe)
		} else {
			out, b, _ = started(t, order("bash", "-c", script), nil)
		}
		if supervisor != nil {
			far := number(t, out)
			defer gone(t, far)
		}
		one, two := number(t, out), number(t, out)
		switch how {
		case "by itself":
			next(t, b)
		case "by us":
			b.End()
		default:
			supervisor.Process.Kill()
			supervisor.Wait()
		}
		gone(t, one)
		gone(t, two)
		for n := 0; folder != "" && n < 3000; n++ {
			if _, err := os.Stat(folder); err != nil {
				folder = ""
			}
			time.Sleep(10 * time.Millisecond)
		}
		if folder != "" {
			t.Errorf("%s is still there", folder)
		}
	}
}

// What made a session of its own is found by its mark.
func TestLeftovers(t *testing.T) {
	out, b, _ := started(t, order("sh", "-c", `setsid sh -c 'echo $$; exec sleep 1000' & wait $!`), nil)
	pid := number(t, out)
	b.End()
	if zombie(pid) {
		t.Fatal("the leader has found it: the test tests nothing")
	}
	if n := Leftovers("MARK=of"); n != 0 {
		t.Errorf("%d have half of the mark", n)
	}
	if n := Leftovers("MARK=of " + strconv.Itoa(os.Getpid())); n != 1 {
		t.Errorf("%d found", n)
	}
	gone(t, pid)
}

func TestLeaderKilled(t *testing.T) {
	out, b, _ := started(t, order("sh", "-c", "echo $PPID; sleep 1000"), nil)
	unix.Kill(number(t, out), unix.SIGKILL)
	if _, ended, err := b.Next(); !ended || err != nil {
		t.Error(ended, err)
	}
	Leftovers("MARK=of " + strconv.Itoa(os.Getpid()))
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	s, err := unix.Open("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master, slave = os.NewFile(uintptr(fd), "master"), os.NewFile(uintptr(s), "slave")
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

// A command that begins in the foreground reads at once; one in the background is
// stopped when it wants to, and reads when it may.
func TestForeground(t *testing.T) {
	for _, fore := range []bool{true, false} {
		master, slave := openPTY(t)
		o := order("sh", "-c", "read x; echo got $x")
		o.Foreground = fore
		out, b, _ := started(t, o, slave)
		master.WriteString("a line\n")
		w := next(t, b)
		if !fore {
			if !w.Stopped() || w.StopSignal() != unix.SIGTTIN {
				t.Fatalf("%#x", w)
			}
			if err := b.Resume(true); err != nil {
				t.Fatal(err)
			}
			w = next(t, b)
		}
		if text, _ := out.ReadString('\n'); w.ExitStatus() != 0 || text != "got a line\n" {
			t.Errorf("foreground %v: %#x, %q", fore, w, text)
		}
	}
}
