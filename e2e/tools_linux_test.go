package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"
)

// environ is the script's environment. testscript does not hand it out, only the value of a name, so the names
// are those that the setup, the commands and the script's own «env» lines set.
func (s *story) environ(ts *testscript.TestScript) []string {
	var env []string
	for name := range s.names {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return append(env, "PWD="+ts.MkAbs("."))
}

func (s *story) setenv(ts *testscript.TestScript, name, value string) {
	s.names[name] = true
	ts.Setenv(name, value)
}

// snapshot PATH... remembers what is there, for unchanged.
func (s *story) snapshot(ts *testscript.TestScript, neg bool, args []string) {
	for _, p := range args {
		p = ts.MkAbs(p)
		f, err := fingerprint(p)
		ts.Check(err)
		s.kept[p] = f
	}
}

// unchanged [PATH...]: everything a snapshot was made of (or these) is as it was: kind, mode, owner, content.
func (s *story) unchanged(ts *testscript.TestScript, neg bool, args []string) {
	switch changed := s.changes(ts, args); {
	case changed != "" && !neg:
		ts.Fatalf("%s", changed)
	case changed == "" && neg:
		ts.Fatalf("nothing changed")
	}
}

// settles [PATH...]: it will be before long, though nobody says when.
func (s *story) settles(ts *testscript.TestScript, neg bool, args []string) {
	for limit := time.Now().Add(s.patience); s.changes(ts, args) != ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			s.unchanged(ts, neg, args)
		}
	}
}

// changes tells what is not as in the snapshots, "" when all is.
func (s *story) changes(ts *testscript.TestScript, args []string) (changed string) {
	if len(args) == 0 {
		for p := range s.kept {
			args = append(args, p)
		}
	}
	if len(args) == 0 {
		ts.Fatalf("no snapshot")
	}
	for _, p := range args {
		p = ts.MkAbs(p)
		before, ok := s.kept[p]
		if !ok {
			ts.Fatalf("no snapshot of %s", p)
		}
		now, err := fingerprint(p)
		ts.Check(err)
		if now != before {
			changed += fmt.Sprintf("%s CHANGED on the host\nbefore:\n%snow:\n%s", p, before, now)
		}
	}
	return changed
}

// fingerprint is a text that differs when anything below path does. A path that does not exist has one too.
func fingerprint(path string) (string, error) {
	var lines []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			lines = append(lines, "absent "+p)
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) { // since the folder was read
			lines = append(lines, "absent "+p)
			return nil
		}
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d %s", info.Mode(), st.Uid, st.Gid, p)
		switch {
		case info.Mode().IsRegular():
			f, err := os.Open(p)
			if os.IsNotExist(err) {
				lines = append(lines, "absent "+p)
				return nil
			}
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", h.Sum(nil)[:8])
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			line += " -> " + to
		}
		lines = append(lines, line)
		return nil
	})
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n", err
}

// A background process belongs to the script, which may look at it by name; its output goes to $WORK/NAME.out.
type background struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (b *background) alive() bool {
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// start NAME CMD... runs CMD in the background; $NAME becomes its pid.
func (s *story) start(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: start name command...")
	}
	name := args[0]
	path, err := lookPath(ts, args[1])
	ts.Check(err)
	out, err := os.Create(filepath.Join(s.work, name+".out"))
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Args[0] = args[1]
	cmd.Dir, cmd.Env = ts.MkAbs("."), s.environ(ts)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	ts.Check(cmd.Start())
	out.Close()
	b := &background{cmd: cmd, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(b.done) }()
	s.running[name] = b
	s.setenv(ts, name, strconv.Itoa(cmd.Process.Pid))
	ts.Defer(func() {
		if b.alive() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
			select {
			case <-b.done:
			case <-time.After(2 * time.Second):
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				<-b.done
			}
		}
	})
}

func (s *story) named(ts *testscript.TestScript, args []string) *background {
	if len(args) != 1 || s.running[args[0]] == nil {
		ts.Fatalf("no background process %q", args)
	}
	return s.running[args[0]]
}

// finish NAME waits for the end of a background process and makes its output and status the last command's.
func (s *story) finish(ts *testscript.TestScript, neg bool, args []string) {
	b := s.named(ts, args)
	select {
	case <-b.done:
	case <-time.After(s.patience):
		ts.Fatalf("%s: still running after %v", args[0], s.patience)
	}
	text, err := os.ReadFile(filepath.Join(s.work, args[0]+".out"))
	ts.Check(err)
	ts.Stdout().Write(text)
	s.output, s.status = string(text), exitStatus(b.cmd)
}

// signal SIG NAME signals a background process (that one process, not its group).
func (s *story) signal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}
	sig, ok := signals[args[0]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[0])
	}
	ts.Check(syscall.Kill(s.named(ts, args[1:]).cmd.Process.Pid, sig))
}

// alive NAME: the background process still runs.
func (s *story) alive(ts *testscript.TestScript, neg bool, args []string) {
	b := s.named(ts, args)
	if neg { // give it the time to notice
		select {
		case <-b.done:
		case <-time.After(s.patience):
		}
	} else {
		time.Sleep(50 * time.Millisecond)
	}
	if b.alive() == neg {
		ts.Fatalf("alive: %v", b.alive())
	}
}

// appears FILE waits until there is such a file that is not empty, or a socket or folder of that name.
func (s *story) appears(ts *testscript.TestScript, neg bool, args []string) {
	limit := time.Now().Add(s.patience)
	for _, f := range args {
		for {
			if info, err := os.Stat(ts.MkAbs(f)); err == nil && (info.Size() > 0 || !info.Mode().IsRegular()) {
				if info.Mode()&os.ModeSocket != 0 {
					time.Sleep(time.Duration(100*busy()) * time.Millisecond) // bound, and about to listen
				}
				break
			}
			if time.Now().After(limit) {
				for name := range s.running {
					text, _ := os.ReadFile(filepath.Join(s.work, name+".out"))
					ts.Logf("[%s]\n%s", name, text)
				}
				ts.Fatalf("%s did not appear", f)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// pause MILLISECONDS: what follows needs the time to happen, and the more of it the more the machine has to do.
func (s *story) pause(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	time.Sleep(time.Duration(float64(n)*busy()) * time.Millisecond)
}

// busy is how many programs wait for each processor (proc_loadavg(5)): 1 on a quiet machine, 10 at most.
func busy() float64 {
	var running, all int
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 1
	}
	var one, five, fifteen float64
	if _, err := fmt.Sscanf(string(text), "%f %f %f %d/%d", &one, &five, &fifteen, &running, &all); err != nil {
		return 1
	}
	return min(max(max(one, float64(running))/float64(runtime.NumCPU()), 1), 10)
}

// quiet FILE: nobody writes into FILE any more. What writes does so every 50 ms.
func (s *story) quiet(ts *testscript.TestScript, neg bool, args []string) {
	size := func() int64 {
		info, err := os.Stat(ts.MkAbs(args[0]))
		ts.Check(err)
		return info.Size()
	}
	time.Sleep(300 * time.Millisecond)
	before := size()
	time.Sleep(500 * time.Millisecond)
	if grown := size() - before; (grown == 0) == neg {
		ts.Fatalf("%s grew by %d bytes in half a second", args[0], grown)
	}
}

// leftovers fails a script that left processes or mounts behind, and ends those processes. They are known by
// the mark in their environment.
func (s *story) leftovers() {
	var left []int
	for range 40 {
		if left = marked("AIGATE_E2E_ID=" + s.id); len(left) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, pid := range left {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		s.Errorf("LEFT BEHIND: process %d: %q", pid, cmdline)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.work) {
			s.Errorf("LEFT BEHIND: mount %s", line)
		}
	}
	var groups []string
	for range 60 {
		if groups = slices.DeleteFunc(orphanedGroups(), wasThere); len(groups) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, g := range groups {
		s.Errorf("LEFT BEHIND: cgroup %s", g)
	}
	s.sweep()
	if !s.Failed() && os.Getenv("AIGATE_E2E_KEEP") == "" {
		if err := removeAll(s.work); err != nil {
			s.Error(err)
		}
	}
}

// before are those that were there when the tests began: of runs that were killed together with who cleans up.
var before = orphanedGroups()

func wasThere(group string) bool { return slices.Contains(before, group) }

// orphanedGroups are cgroups of runs whose aigate, by its number in their name, is no more.
func orphanedGroups() (groups []string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		var pid int
		if err != nil || !d.IsDir() {
			return nil
		}
		if n, _ := fmt.Sscanf(d.Name(), "aigate-%d-", &pid); n == 1 {
			if _, err := os.Stat(fmt.Sprint("/proc/", pid)); errors.Is(err, fs.ErrNotExist) {
				groups = append(groups, path)
			}
			return fs.SkipDir
		}
		return nil
	})
	return groups
}

// sweep removes what a script that ended early left where the whole machine sees it; $NAME is part of its name.
func (s *story) sweep() {
	for _, dir := range []string{"/tmp", "/dev/shm", "/run"} {
		found, _ := filepath.Glob(dir + "/*" + s.name + "*")
		for _, f := range found {
			_ = removeAll(f)
		}
	}
	for _, drop := range []string{"shm-drop " + s.name, "mq-drop e2e-" + s.name, "key-drop e2e-" + s.name} {
		_ = exec.Command(filepath.Join(place, "bin", "attacker"), strings.Fields(drop)...).Run()
	}
}

// marked looks only at processes that are younger than this one: nobody else's environment is of interest.
func marked(mark string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	born := started("self")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if started(e.Name()) < born {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if strings.Contains(string(env), mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// started is when a process started, in clock ticks since the machine did.
func started(pid string) int {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(rest); len(f) > 19 {
		n, _ := strconv.Atoi(f[19])
		return n
	}
	return -1
}

// killAllOf ends what still runs under the uid of the tests' own user, by pid.
func killAllOf(uid string) {
	id, err := strconv.Atoi(uid)
	if err != nil || id == 0 {
		return
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if info, err := os.Stat("/proc/" + e.Name()); err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == id {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	time.Sleep(100 * time.Millisecond)
}

// removeAll also removes folders that an attack made unreadable.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// lookPath finds a command on the script's own PATH.
func lookPath(ts *testscript.TestScript, name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: command not found", name)
}
