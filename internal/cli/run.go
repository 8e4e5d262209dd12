package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/doctor"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/limit"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/AxeForging/aigate/internal/sandbox"
	"github.com/spf13/cobra"
)

// runFlags are the flags of `aigate run`.
type runFlags struct {
	defaults, dryRun, json, quiet, verbose bool

	publish []string
	try     *tried // doctor's, see run_try.go

	asRunner bool
	handed   int // the descriptor with what root hands over to the runner, or 0
	given    *handover
}

func newRunCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] -- command [arguments]",
		Short: "Run a command in the sandbox",
		Long: `Run a command in the sandbox: the kernel keeps it from reading what deny_read
names, writing outside of the project, running what deny_exec names, and
reaching hosts that allow_net does not name.

The exit status is the command's own, or 128+N when signal N ended it; 127 when
it was not found, 126 when it could not be executed, 1 for aigate's own errors.`,
		Example: `  aigate run -- claude
  aigate run -- aider --model claude-3
  aigate run -- npm test
  aigate run --publish 3000 -- npm run dev   its server, on 127.0.0.1:3000 here
  aigate run --dry-run -- npm test      show what would be in place, run nothing
  aigate run --defaults -- ./untrusted  the built-in policy, no file needed
  sudo aigate run --as-runner -- npm test  as the sandbox's own user`,
		Args:                  cobra.ArbitraryArgs,
		ValidArgsFunction:     completeCommand,
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			f.verbose, _ = c.Flags().GetBool("verbose")
			return f.run(args)
		},
	}
	c.Flags().SetInterspersed(false) // what follows the command is the command's
	c.Flags().BoolVar(&f.defaults, "defaults", false, "use the built-in policy and no file")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the plan and run nothing")
	c.Flags().BoolVar(&f.json, "json", false, "with --dry-run: print policy and plan as JSON")
	c.Flags().StringArrayVar(&f.publish, "publish", nil, "let this machine reach a server inside: `PORT`, or 8080:3000 for port 3000 inside on port 8080 of 127.0.0.1 here; can be repeated")
	c.RegisterFlagCompletionFunc("publish", cobra.NoFileCompletions)
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no banner")
	f.registerRunner(c)
	return c
}

// run does it. The returned error carries the exit status.
func (f *runFlags) run(args []string) error {
	if f.json && !f.dryRun {
		return errors.New("--json is for --dry-run: aigate run --dry-run --json -- command [arguments]")
	}
	if len(args) == 0 {
		return errors.New("no command given: aigate run -- command [arguments]")
	}
	if f.asRunner && f.handed == 0 {
		return f.becomeRunner(args)
	}
	t := newTimer(f.verbose)
	host, err := lookAtCaller()
	if err != nil {
		return err
	}
	host.Command = args
	if f.handed > 0 {
		if err := f.takeOver(&host); err != nil {
			return err
		}
	}
	conf, err := f.config(host)
	if err != nil {
		return err
	}
	if f.try != nil {
		f.try.conf = conf
	}
	t.lap("configuration")
	// Begun now, it makes its namespaces while the policy is resolved.
	var pol *policy.Policy
	with, begun, err := f.begin(conf, func() []string { return pol.Secrets() }, t)
	if err != nil {
		return err
	}
	defer begun.End()
	done := f.slow("looking for what is denied and protected in " + host.Project)
	if pol, err = policy.Begin(conf, host); err == nil {
		begun.Frame(pol.Frame())
		err = pol.Finish()
	}
	done()
	if err != nil {
		return err
	}
	t.lap("policy")
	cmd, err := f.command(pol, args)
	if err != nil {
		f.noteDenied(err, host)
		return err
	}
	plan := pol.Plan()
	if plan.Publish, err = f.published(plan); err != nil {
		return err
	}
	if f.dryRun {
		return f.print(pol, plan)
	}
	if err := sandbox.Supported(plan); err != nil {
		return err
	}
	if f.try == nil {
		for _, w := range pol.Warnings {
			say("warning: %s", w)
		}
		with.Caller.Listen() // late: from here on Ctrl-C is for the command
	} else {
		defer deferSignals()()
	}
	opt := sandbox.Options{Spare: spare(host), Here: true, Timing: t.stage(), Watch: pol.Watch(t.say, say),
		Network: func(f gate.Front, refuses bool) { t.say("network: %s", frontText(f, refuses)) }}
	if !f.quiet {
		opt.Ready = func() { say("%s", pol.Banner()) }
	}
	endCommands := f.commands(&opt, pol, host)
	endLimits := f.limits(&opt, plan.Limits, host, t)
	endNetwork, err := f.network(&opt, with.Caller.WantsPTY(), plan, pol, host)
	if err != nil {
		return err
	}
	var found []string
	if f.try == nil {
		opt.Gone = func() { found = afterwards(pol) }
	}
	status, err := begun.Run(plan, cmd, opt)
	if f.otherEngine(&with, conf, err, t) {
		if begun, err = sandbox.Begin(with); err == nil {
			status, err = begun.Run(plan, cmd, opt)
		}
	}
	t.total()
	endNetwork()
	if f.try != nil {
		return tryError(err)
	}
	endCommands()
	endLimits()
	for _, line := range found {
		say("%s", line)
	}
	if err != nil {
		return runError(err, args[0])
	}
	if lost := with.Caller.Lost(); lost != nil {
		say("some of the output is lost: %v", lost)
		status = cmp.Or(status, 1)
	}
	if status == 128+int(syscall.SIGINT) && with.Caller.WantsPTY() {
		dieOf(syscall.SIGINT)
	}
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

// begin begins the sandbox, except for --dry-run. The secrets are asked for when there is something to mask.
func (f *runFlags) begin(conf *config.Config, secrets func() []string, t *timer) (with sandbox.Base, begun *sandbox.Sandbox, err error) {
	if f.dryRun {
		return with, nil, nil
	}
	with.OwnNet = conf.AllowNet != nil
	with.Limits, with.LimitsBy = limit.Limits(conf.Limits), os.Getenv("AIGATE_LIMITS")
	var why string
	if with.Engine, with.Bwrap, why, err = chooseEngine(conf.Engine); err != nil {
		return with, nil, err
	}
	t.say("engine %s: %s", with.Engine, why)
	if with.Caller, err = f.caller(); err != nil {
		return with, nil, err
	}
	if err := maskOutput(with.Caller, conf.Mask, secrets); err != nil {
		return with, nil, err
	}
	begun, err = sandbox.Begin(with)
	if f.otherEngine(&with, conf, err, t) {
		begun, err = sandbox.Begin(with)
	}
	if err != nil {
		return with, nil, runError(err, "")
	}
	t.lap("begun")
	return with, begun, nil
}

// spare is where placeholders lie between runs: with the configuration, which is
// hidden from every sandbox.
func spare(h policy.Host) string {
	if h.Home == "" {
		return ""
	}
	return filepath.Join(h.Home, ".aigate", sandbox.SpareFolder)
}

// dieOf ends aigate the way its command ended: a shell's loop stops at Ctrl-C
// only when the command in it died of it. It returns when that failed.
func dieOf(sig syscall.Signal) {
	signal.Reset(sig)
	if syscall.Kill(os.Getpid(), sig) == nil {
		time.Sleep(100 * time.Millisecond)
	}
}

// afterwards looks what came into being that the user's tools would run, and gives
// what there is to say of it, line by line.
func afterwards(pol *policy.Policy) (lines []string) {
	tell := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	removed, err := pol.StrikeOut()
	for _, path := range removed {
		tell("removed %s, which git would have followed to configuration of the sandboxed command's making", path)
	}
	if err != nil {
		tell("could not remove all of it: %v", err)
	}
	moved, err := pol.Disarm()
	for _, path := range moved {
		tell("moved aside: %s would have git run or read more than a repository needs; look at it before you use it", path)
	}
	if err != nil {
		tell("repositories that the command made could not all be looked at: %v", err)
	}
	for _, path := range pol.Reopened() {
		tell("opened %s, which the command had closed to you, to look for repositories in it", path)
	}
	for _, path := range pol.Moved() {
		tell("denied, and no longer there: %s; if it was moved, see that a rule still names it", path)
	}
	for _, path := range pol.Replaced() {
		tell("replaced outside while the command ran, and open to it for a moment: look at %s before your tools follow it", path)
	}
	for _, path := range pol.Appeared() {
		tell("made during the run, look at it before your tools run it: %s", path)
	}
	return lines
}

// exitStatus is an error that says nothing more than the number.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// statusError is a message of ours with an exit status other than 1.
type statusError struct {
	error
	status int
}

// runError gives failures of execve the statuses that shells give.
func runError(err error, name string) error {
	switch {
	case errors.Is(err, sandbox.ErrNotExecuted) && errors.Is(err, fs.ErrNotExist):
		return statusError{fmt.Errorf("%s: not found inside the sandbox (is it, or its interpreter, in a folder that is hidden or private inside, such as /tmp?)", name), 127}
	case errors.Is(err, sandbox.ErrNotExecuted):
		return statusError{fmt.Errorf("%s: %w", name, err), 126}
	}
	if errors.Is(err, sandbox.ErrEnded) {
		return err
	}
	why := "; this process may have no more files open: ulimit -n 1024, or whatever started it"
	if !errors.Is(err, syscall.EMFILE) {
		why = doctor.Explain()
	}
	return fmt.Errorf("the sandbox could not be built, nothing was started: %w%s", err, why)
}

// lookAtCaller gathers what Resolve must know.
func lookAtCaller() (policy.Host, error) {
	h := policy.Host{UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ()}
	var err error
	if h.Dir, err = currentDir(); err != nil {
		return h, err
	}
	home, err := homeDir()
	if err == nil {
		if h.Home, err = filepath.EvalSymlinks(home); err != nil {
			h.Home = home // not there: nothing in it is found
		}
	}
	h.Project = policy.FindProject(h.Dir, h.Home)
	return h, nil
}

// command finds the program as a shell would, in the PATH that it will have.
func command(pol *policy.Policy, args []string) (sandbox.Command, error) {
	cmd := sandbox.Command{Args: args, Env: pol.Env}
	path, err := lookPath(args[0], pol.Env)
	if denied := pol.CheckCommand(args[0], path, args[1:]); denied != nil {
		return cmd, denied
	}
	if err != nil {
		return cmd, err
	}
	cmd.Path = path
	return cmd, nil
}

// lookPath searches PATH for a name without a slash.
func lookPath(name string, env []string) (string, error) {
	if strings.ContainsRune(name, '/') {
		path, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		return path, executable(path, name)
	}
	dirs := "/usr/local/bin:/usr/bin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			dirs = v
		}
	}
	var last error = statusError{fmt.Errorf("command not found: %s", name), 127}
	for _, dir := range filepath.SplitList(dirs) {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		switch err := executable(path, name); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			last = err
		}
	}
	return "", last
}

func executable(path, name string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return statusError{fmt.Errorf("command not found: %s%w", name, quiet{fs.ErrNotExist}), 127}
	case err != nil:
		return statusError{err, 126}
	case st.IsDir():
		return statusError{fmt.Errorf("%s: is a directory", name), 126}
	case syscall.Access(path, 1) != nil:
		return statusError{fmt.Errorf("%s: permission denied", name), 126}
	}
	return nil
}

// quiet wraps an error that is there to be asked for, not to be read.
type quiet struct{ error }

func (quiet) Error() string         { return "" }
func (q quiet) Unwrap() error       { return q.error }
func (s statusError) Unwrap() error { return s.error }

// chooseEngine takes what the configuration says; auto is bubblewrap where it
// is installed by root, else native. A bwrap that the user owns is not used: a
// sandboxed command may have put it there, and it would run outside.
func chooseEngine(configured string) (e sandbox.Engine, bwrap, why string, err error) {
	if v := os.Getenv("AIGATE_ENGINE"); v != "" {
		configured = v
	}
	if sandbox.Only != "" {
		if configured != "" && configured != "auto" && configured != string(sandbox.Only) {
			return "", "", "", fmt.Errorf("engine %s is not for this system; take that line out of the configuration", configured)
		}
		return sandbox.Only, "", "this system has no other", nil
	}
	bwrap, found := findBwrap()
	switch configured {
	case "native":
		return sandbox.Native, "", "asked for", nil
	case "bwrap":
		if found != nil {
			return "", "", "", fmt.Errorf("engine bwrap: %w; install bubblewrap (apt install bubblewrap) or set engine: native", found)
		}
		if err := unfit(bwrap); err != nil {
			return "", "", "", fmt.Errorf("engine bwrap: %w; set engine: native", err)
		}
		return sandbox.Bwrap, bwrap, "asked for, " + bwrap, nil
	case "", "auto":
		if found == nil {
			found = unfit(bwrap)
		}
		if found == nil {
			return sandbox.Bwrap, bwrap, bwrap + " is there", nil
		}
		return sandbox.Native, "", found.Error(), nil
	}
	return "", "", "", fmt.Errorf("engine %q: auto, bwrap or native", configured)
}

func findBwrap() (string, error) { return rootsProgram("bwrap") }

// rootsProgram finds a program that runs outside of the sandbox. One that the
// user can change is not taken: a sandboxed command may have put it there.
func rootsProgram(name string) (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		var st syscall.Stat_t
		if !filepath.IsAbs(path) || syscall.Stat(path, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
			continue
		}
		if st.Uid != 0 && !unmapped(st.Uid) || st.Mode&0o022 != 0 {
			return "", fmt.Errorf("%s could have been changed by others than root", path)
		}
		return path, nil
	}
	return "", fmt.Errorf("no %s on the PATH", name)
}

// unmapped says that a file's owner is not known in this user namespace, and
// that root is not either: inside another sandbox root's files look like that.
func unmapped(uid uint32) bool {
	const overflow = 65534 // kernel.overflowuid(5)
	m, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && uid == overflow && !strings.HasPrefix(strings.TrimSpace(string(m)), "0 ")
}

// timer prints the stages of a start for --verbose.
type timer struct {
	on          bool
	start, last time.Time
}

func newTimer(on bool) *timer { now := time.Now(); return &timer{on, now, now} }

func (t *timer) lap(what string) {
	if t.on {
		now := time.Now()
		t.print(what, now.Sub(t.last))
		t.last = now
	}
}

func (t *timer) print(what string, d time.Duration) {
	fmt.Fprintf(os.Stderr, "[aigate] %-24s %6.2f ms\n", what, float64(d.Microseconds())/1000)
}

func (t *timer) say(format string, a ...any) {
	if t.on {
		say(format, a...)
		t.last = time.Now()
	}
}

func (t *timer) stage() func(string, time.Duration) {
	if !t.on {
		return nil
	}
	return t.print
}

func (t *timer) total() {
	if t.on {
		t.print("whole run", time.Since(t.start))
	}
}
