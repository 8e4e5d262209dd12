package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/seatbelt"
	"github.com/AxeForging/aigate/internal/term"
	"golang.org/x/sys/unix"
)

// sandboxExec is part of the system, where nobody but Apple can change it.
const sandboxExec = "/usr/bin/sandbox-exec"

// The stages begin before the packages initialize that only the rest of aigate
// needs.
func init() { seatbelt.Stage(os.Args) }

// Sandbox is one that was begun.
type Sandbox struct {
	Base
	plan  Plan
	opt   Options
	clock time.Time

	tmp     string // the run's own folder
	mark    string // in the environment of all that runs inside
	proxy   *gate.Explicit
	master  *os.File
	slave   *os.File
	box     *seatbelt.Box
	session *term.Session
	ended   bool
	clk     clock
}

// Begin begins a sandbox. Whoever begins one must End it.
func Begin(with Base) (*Sandbox, error) {
	if with.Engine != SeatbeltEngine {
		return nil, fmt.Errorf("no engine %q on this system", with.Engine)
	}
	if _, err := os.Stat(sandboxExec); err != nil {
		return nil, fmt.Errorf("macOS's own sandbox: %w", err)
	}
	return &Sandbox{Base: with}, nil
}

// Frame does nothing here: a profile is one piece.
func (s *Sandbox) Frame(*Plan) {}

// Run executes the command under the plan and gives its exit status: the
// payload's own, or 128+N when signal N ended it. An error means that nothing was
// started (or, after the start, that the sandbox was ended).
func (s *Sandbox) Run(plan *Plan, cmd Command, opt Options) (status int, err error) {
	s.plan, s.opt, s.clock = *plan, opt, time.Now()
	defer s.End()
	if plan.OwnNet != s.OwnNet {
		return 1, errors.New("the sandbox was begun with another network than the plan's")
	}
	for _, p := range plan.Publish {
		if p.Inside != p.Outside {
			return 1, fmt.Errorf("--publish %d:%d: on macOS the sandbox has this machine's own loopback, so the port is the same inside; write --publish %d", p.Outside, p.Inside, p.Inside)
		}
	}
	if err := s.folder(); err != nil {
		return 1, err
	}
	env, err := s.environment(cmd.Env)
	if err != nil {
		return 1, err
	}
	if err := s.terminal(); err != nil {
		return 1, err
	}
	if err := s.start(cmd, env); err != nil {
		return 1, err
	}
	status, err = s.supervise()
	if s.clk.stop() && err == nil {
		e := limit.Excess{Key: "max_time", Ended: true}
		if opt.Exceeded != nil {
			opt.Exceeded(e)
		}
		status = statusOf(e)
	}
	return status, err
}

// lap reports how long the stage since the last lap took.
func (s *Sandbox) lap(stage string) {
	if s.opt.Timing != nil {
		now := time.Now()
		s.opt.Timing(stage, now.Sub(s.clock))
		s.clock = now
	}
}

// folder makes the run's own: its path is short, because a socket's has room for
// 103 bytes.
func (s *Sandbox) folder() (err error) {
	if s.tmp, err = os.MkdirTemp("/private/tmp", "aigate-"); err != nil {
		return fmt.Errorf("make a folder for temporary files: %w", err)
	}
	for name, text := range map[string]string{policyName: s.plan.PolicyText, tryDenied: "", tryKept: ""} {
		if err := os.WriteFile(filepath.Join(s.tmp, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write into the folder for temporary files: %w", err)
		}
	}
	s.plan = withTries(s.plan, s.tmp)
	return nil
}

// environment leads to the folder, and to the gate.
func (s *Sandbox) environment(env []string) (out []string, err error) {
	own := []string{"TMPDIR=" + s.tmp + "/", "AIGATE_POLICY=" + filepath.Join(s.tmp, policyName)}
	s.mark = own[1]
	if s.plan.Gate != nil {
		if s.opt.Gate == nil {
			return nil, errors.New("the plan has a gate, and none was given")
		}
		if s.proxy, err = gate.ListenExplicit(); err != nil {
			return nil, err
		}
		go s.proxy.Serve(s.opt.Gate)
		own = append(own, s.proxy.Env()...)
		if s.opt.Network != nil {
			s.opt.Network(*s.plan.Gate, true)
		}
	}
	names := map[string]bool{"TMP": true, "TEMP": true}
	for _, e := range own {
		name, _, _ := strings.Cut(e, "=")
		names[name] = true
	}
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); !names[name] {
			out = append(out, e)
		}
	}
	return append(out, own...), nil
}

func (s *Sandbox) terminal() (err error) {
	if !s.Caller.WantsPTY() {
		return nil
	}
	if s.master, s.slave, err = openPTY(); err != nil {
		return err
	}
	size, modes := s.Caller.Settings()
	if err := unix.IoctlSetTermios(int(s.slave.Fd()), unix.TIOCSETA, &modes); err != nil {
		return fmt.Errorf("set the pty's modes: %w", err)
	}
	if err := unix.IoctlSetWinsize(int(s.slave.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		return fmt.Errorf("set the pty's size: %w", err)
	}
	return nil
}

// start runs everything up to the command, and lets it go.
func (s *Sandbox) start(cmd Command, env []string) error {
	seat := Seat{Tmp: s.tmp}
	if s.slave != nil {
		seat.TTY = s.slave.Name()
	}
	if s.proxy != nil {
		seat.Proxy = s.proxy.Port()
	}
	exec, err := s.profile(s.plan.Seatbelt(seat))
	if err != nil {
		return err
	}
	order := seatbelt.Order{Exec: exec, Dir: s.plan.Dir, Path: cmd.Path, Args: cmd.Args, Env: env,
		Foreground: s.Caller.WantsPTY() && s.Caller.Foreground(), Checks: tries(&s.plan, s.tmp, os.Getpid()),
		Mark: s.mark, Remove: s.tmp}
	order = limited(order, s.plan.Limits)
	var files [3]*os.File
	for n, f := range [3]*os.File{s.Caller.Stdin(), s.Caller.Stdout(), s.Caller.Stderr()} {
		if files[n] = f; s.Caller.OnPTY(n) {
			files[n] = s.slave
		}
	}
	if s.box, err = seatbelt.Start(order, files, s.slave); err != nil {
		return err
	}
	pid, err := s.box.Ready()
	if err != nil {
		return err
	}
	s.lap("sandbox")
	if s.opt.Ready != nil {
		s.opt.Ready()
	}
	master := s.master
	s.master = nil
	if s.session, err = s.Caller.Start(master, pid); err != nil {
		return err
	}
	if err := s.box.Go(); err != nil {
		return err
	}
	s.clk.set(s.plan.Limits.MaxTime, pid)
	s.lap("command started")
	return nil
}

// profile gives sandbox-exec's arguments. A long profile goes by a file: all
// arguments and the environment together have a megabyte.
func (s *Sandbox) profile(text string) ([]string, error) {
	const most = 200 << 10
	if len(text) < most {
		return []string{sandboxExec, "-p", text}, nil
	}
	path := filepath.Join(s.tmp, "profile.sb") // read before the command exists
	if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
		return nil, fmt.Errorf("write the profile: %w", err)
	}
	return []string{sandboxExec, "-f", path}, nil
}

// supervise follows the command to its end.
func (s *Sandbox) supervise() (int, error) {
	for {
		w, ended, err := s.box.Next()
		switch {
		case errors.Is(err, seatbelt.ErrNotExecuted):
			return 1, fmt.Errorf("%w: %w", ErrNotExecuted, err)
		case err != nil:
			return 1, err
		case ended:
			return 128 + int(unix.SIGKILL), fmt.Errorf("%w: something killed its first process", ErrEnded)
		case w.Stopped():
			fg, err := s.session.Stopped(w.StopSignal())
			if err != nil {
				return 1, err
			}
			if err := s.box.Resume(fg); err != nil {
				return 1, err
			}
		case w.Signaled():
			s.lap("command ran")
			return 128 + int(w.Signal()), nil
		default:
			s.lap("command ran")
			return w.ExitStatus(), nil
		}
	}
}

// End leaves nothing behind of a sandbox, whether or not it was run. A nil one is
// none.
func (s *Sandbox) End() {
	if s == nil || s.ended {
		return
	}
	s.ended = true
	if s.box != nil {
		s.box.End()
	}
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.mark != "" {
		seatbelt.Leftovers(s.mark)
	}
	if s.slave != nil {
		s.slave.Close()
	}
	if s.session != nil {
		s.session.Finish()
	}
	if s.master != nil {
		s.master.Close()
	}
	if s.Caller != nil && s.session == nil {
		s.Caller.Close()
	}
	if s.tmp != "" {
		os.RemoveAll(s.tmp)
	}
	if s.opt.Gone != nil {
		s.opt.Gone()
	}
	s.lap("cleaned up")
}

// openPTY makes a pty, as posix_openpt(3), grantpt(3), unlockpt(3) and ptsname(3)
// do.
func openPTY() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	var name [128]byte // as much as TIOCPTYGNAME fills
	for _, call := range []struct {
		what string
		do   func() error
	}{
		{"grant the pty", func() error { return unix.IoctlSetInt(fd, unix.TIOCPTYGRANT, 0) }},
		{"unlock the pty", func() error { return unix.IoctlSetInt(fd, unix.TIOCPTYUNLK, 0) }},
		{"name the pty", func() error { return ptyName(fd, &name) }},
	} {
		if err := call.do(); err != nil {
			unix.Close(fd)
			return nil, nil, fmt.Errorf("%s: %w", call.what, err)
		}
	}
	path := unix.ByteSliceToString(name[:])
	tty, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), "pty"), os.NewFile(uintptr(tty), path), nil
}

// Probe tries the engine: it starts a sandbox with a command that does not exist.
func Probe(engine Engine, _ string) error {
	return probe(&Plan{OwnNet: true}, Base{Engine: engine}, Options{})
}

// ProbeGate tries the network of a run whose rules name hosts.
func ProbeGate(engine Engine, _ string) (front gate.Front, refuses bool, err error) {
	rules, err := gate.NewRules([]string{"example.com"})
	if err != nil {
		return front, false, err
	}
	want, err := gate.NewFront(rules, "")
	if err != nil {
		return front, false, err
	}
	g := gate.New(rules, nil, nil)
	defer g.Close()
	return *want, true, probe(&Plan{OwnNet: true, Gate: want}, Base{Engine: engine}, Options{Gate: g})
}

func probe(plan *Plan, with Base, opt Options) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	with.Caller, with.OwnNet = term.Detached(null), plan.OwnNet
	plan.Dir = "/"
	s, err := Begin(with)
	if err != nil {
		return err
	}
	nowhere := "/nowhere" + strconv.Itoa(os.Getpid())
	_, err = s.Run(plan, Command{Path: nowhere, Args: []string{nowhere}}, opt)
	if errors.Is(err, ErrNotExecuted) && errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// Supported: what this system can keep of the promises does not depend on the
// plan.
func Supported(*Plan) error { return nil }

// LaySpares has nothing to do: no placeholders are made here.
func LaySpares(string) error { return nil }

// IsPlaceholder: none are made here.
func IsPlaceholder(uint32) bool { return false }

// Watch has nothing to do here: see Plan.Names.
type Watch struct{}
