package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/mask"
	"golang.org/x/sys/unix"
)

// benchOutput is what masking costs: the rules alone, a gigabyte through a
// sandbox, the echo of a key.
func benchOutput(p *place, w io.Writer) error {
	fmt.Fprintf(w, "### Masking\n\nAll presets. Processor time of one thread; the regexp is Go's, of the same rules, applied to every line.\n\n")
	if err := benchRules(w); err != nil {
		return err
	}
	return benchThrough(p, w)
}

// buildLog is what a build prints, over and over; with a token in every line
// when it is to be the worst.
func buildLog(size int, token bool) []byte {
	rnd := rand.New(rand.NewSource(1))
	words := strings.Fields("compiling linking src internal package module github.com/spf13/cobra node_modules task disk index.js build/output.o warning: unused variable in function checking dependencies for target release [optimized] installed test passed ok 0.123s error git fetch --verbose --no-cache key value batch search service https://registry.npmjs.org/left-pad")
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "2026-11-24T%02d:%02d:%02dZ ", rnd.Intn(24), rnd.Intn(60), rnd.Intn(60))
		for range 4 + rnd.Intn(8) {
			b.WriteString(words[rnd.Intn(len(words))] + " ")
		}
		if token {
			b.WriteString("token ghp_a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()[:size]
}

func benchRules(w io.Writer) error {
	m, err := mask.New(mask.Rules{Presets: mask.Presets()})
	if err != nil {
		return err
	}
	all, err := regexp.Compile(strings.Join(mask.Expressions(), "|"))
	if err != nil {
		return err
	}
	const total, few = 1 << 30, 2 << 20
	t := table{{"", "aigate", "one regexp a line", "aigate is faster by"}}
	for _, c := range []struct {
		name  string
		token bool
	}{{"a build log of 1 GiB", false}, {"every line holds a token", true}} {
		log := buildLog(8<<20, c.token)
		s := m.Stream()
		mine := rate(total, func() {
			for range total / len(log) {
				for rest := log; len(rest) > 0; {
					n := min(len(rest), 64<<10)
					s.Next(rest[:n])
					rest = rest[n:]
				}
			}
		})
		regexps := rate(few, func() {
			for line := range bytes.Lines(log[:few]) {
				all.ReplaceAll(line, []byte("***"))
			}
		})
		t.row(c.name, fmt.Sprintf("%.0f MB/s", mine), fmt.Sprintf("%.1f MB/s", regexps), fmt.Sprintf("%.0f ×", mine/regexps))
	}
	t.print(w)
	return nil
}

// rate gives megabytes a second of this thread's processor time.
func rate(size int, work func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime()
	work()
	return float64(size) / 1e6 / (threadTime() - begin).Seconds()
}

func threadTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// maskHome makes a home with a configuration that masks, or does not.
func (p *place) maskHome(name, mask string) (string, error) {
	home := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Join(home, ".aigate"), 0o755); err != nil {
		return "", err
	}
	return home, os.WriteFile(filepath.Join(home, ".aigate/config.yaml"), []byte("allow_net: []\n"+mask), 0o644)
}

func benchThrough(p *place, w io.Writer) error {
	dir, err := p.project("output")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "log"), buildLog(256<<20, false), 0o644); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(dir, "log"))
	var through, echo []*series
	for _, c := range [][2]string{{"without masking", ""}, {"with all presets", "mask_stdout:\n  presets: [" + strings.Join(mask.Presets(), ", ") + "]\n"}} {
		home, err := p.maskHome("home-"+c[0][:4], c[1])
		if err != nil {
			return err
		}
		inside := func(args ...string) *exec.Cmd {
			c := p.inside("native", dir, args...)
			c.Env = append(c.Env, "HOME="+home)
			return c
		}
		through = append(through, &series{name: c[0], run: func() error { return drained(inside("--", "cat", "log")) }})
		keys, end, err := typist(inside("--", "sh", "-c", "stty raw -echo; printf ready; exec cat"))
		if err != nil {
			return err
		}
		defer end()
		echo = append(echo, &series{name: c[0], run: keys})
	}
	if err := interleave(7, through...); err != nil {
		return err
	}
	const keys = 500
	if err := interleave(keys, echo...); err != nil {
		return err
	}
	fmt.Fprintf(w, "256 MiB of that log by `cat` inside to a pipe outside, 7 interleaved rounds; the echo of a key typed at a terminal, by `cat` inside, %d times in turns.\n\n", keys)
	t := table{{"", "256 MiB through a pipe", "", "echo of a key, median", "p90"}}
	for i, s := range through {
		t.row(s.name, fmt.Sprintf("%.0f ms", s.median()), fmt.Sprintf("%.0f MB/s", 256*1.048576/s.median()*1000), ms(echo[i].median()), ms(quantile(echo[i].ms, 0.9)))
	}
	t.print(w)
	return nil
}

// drained runs a command whose output is read and thrown away.
func drained(c *exec.Cmd) error {
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{out}, make([]byte, 64<<10))
	if err := errors.Join(err, c.Wait()); err != nil {
		return err
	}
	if n != 256<<20 {
		return fmt.Errorf("%d bytes came", n)
	}
	return nil
}

// typist starts a command on a terminal of its own and gives what types one key
// there and waits for its echo.
func typist(c *exec.Cmd) (key func() error, end func(), err error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	slave, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, uintptr(syscall.O_RDWR|syscall.O_NOCTTY))
	if errno != 0 {
		return nil, nil, errno
	}
	tty := os.NewFile(slave, "tty")
	defer tty.Close()
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGTERM}
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	end = func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait()
		master.Close()
	}
	buf := make([]byte, 4096)
	for shown := ""; !strings.HasSuffix(shown, "ready"); {
		n, err := master.Read(buf)
		if err != nil {
			end()
			return nil, nil, fmt.Errorf("%q: %w", shown, err)
		}
		shown += string(buf[:n])
	}
	typed := 0
	return func() error {
		typed++
		if _, err := master.Write([]byte{"the quick brown fox jumps over the lazy dog "[typed%44]}); err != nil {
			return err
		}
		_, err := master.Read(buf)
		return err
	}, end, nil
}
