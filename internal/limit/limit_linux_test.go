package limit

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFindHierarchy(t *testing.T) {
	const v1 = "40 39 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n"
	const v2 = "34 24 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	const part = "34 24 0:28 /docker/abc /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
	for _, c := range []struct{ mounts, own, want string }{
		{v2, "0::/user.slice/user-1000.slice/session-2.scope\n", "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"},
		{v1 + v2, "8:cpu:/\n0::/\n", "/sys/fs/cgroup"},
		{part, "0::/docker/abc/x\n", "/sys/fs/cgroup/x"},
		{part, "0::/docker/abc\n", "/sys/fs/cgroup"},
		{part, "0::/docker/abcd\n", ""}, // another group, which only begins like it
		{part, "0::/docker\n", ""},
		{v2, "0::/../other\n", ""}, // outside of our cgroup namespace
		{v1, "8:cpu:/\n0::/\n", ""},
		{v2, "8:cpu:/\n", ""},
		{"", "", ""},
		{"- cgroup2 x\n", "0::/a", ""},
	} {
		if got, err := findHierarchy(c.mounts, c.own); got.own != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q %q: %q, %v", c.mounts, c.own, got, err)
		}
	}
	if !nsDelegate(v2) || nsDelegate(part) || nsDelegate(v1) {
		t.Error("nsdelegate")
	}
}

func TestSettings(t *testing.T) {
	l := Limits{MaxMemory: 100<<20 + 5, MaxCPUPercent: 80, MaxPids: 50}
	want := []setting{
		{"memory", "memory.max", "104857600", false},
		{"memory", "memory.swap.max", "0", true},
		{"cpu", "cpu.max", "320000 100000", false},
		{"pids", "pids.max", "53", false},
	}
	if got := l.settings(3, 4); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := l.controllers(); !reflect.DeepEqual(got, []string{"memory", "cpu", "pids"}) {
		t.Errorf("controllers %v", got)
	}
	if got := (Limits{MaxTime: time.Hour, MaxFileSize: 1, MaxOpenFiles: 1}).settings(1, 1); got != nil {
		t.Errorf("nothing is counted: %v", got)
	}
	if got := (Limits{MaxCPUPercent: 1}).quota(1); got != 1000 {
		t.Errorf("the kernel takes no less than 1000: %d", got)
	}
	// systemd is told the same: microseconds of a second are ten periods.
	for _, p := range l.properties(7, 3, 4) {
		switch v := p.Value.Value().(type) {
		case uint64:
			if want := map[string]uint64{"MemoryMax": 104857600, "MemorySwapMax": 0, "CPUQuotaPerSecUSec": 3_200_000, "TasksMax": 53}[p.Name]; v != want {
				t.Errorf("%s %d, want %d", p.Name, v, want)
			}
		}
	}
}

// verify finds a limit that is not what was asked for, and takes no notice of controllers that are not there.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	s := Limits{MaxMemory: 1 << 20, MaxPids: 5}.settings(1, 1)
	if have, err := verify(dir, s); have != nil || err != nil {
		t.Errorf("an empty group: %v, %v", have, err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("memory.max", "1048576")
	write("pids.max", "max")
	if _, err := verify(dir, s); err == nil || !strings.Contains(err.Error(), `pids.max is "max" instead of "6"`) {
		t.Errorf("another limit: %v", err)
	}
	write("pids.max", "6")
	if have, err := verify(dir, s); err != nil || !reflect.DeepEqual(have, []string{"memory", "pids"}) {
		t.Errorf("%v, %v", have, err)
	}
}

func TestEvent(t *testing.T) {
	const text = "low 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"
	if event(text, "oom_kill") != 2 || event(text, "max") != 12 || event(text, "none") != 0 || event("", "max") != 0 {
		t.Error("counters are read wrongly")
	}
}

func TestInside(t *testing.T) {
	if n := countRanges("0-3,5,8-9"); n != 7 {
		t.Errorf("processors: %d", n)
	}
	for _, bad := range []string{"", "x", "3-1", "1-"} {
		if n := countRanges(bad); n != 0 {
			t.Errorf("%q: %d", bad, n)
		}
	}
	if got := (Limits{MaxMemory: 1 << 30}).tmpSize(8 << 30); got != 512<<20 {
		t.Errorf("half of the memory: %d", got)
	}
	if got := (Limits{MaxMemory: 9 << 30}).tmpSize(8 << 30); got != 0 {
		t.Errorf("more than the machine has: %d", got)
	}
	c, err := Begin(Limits{MaxMemory: 1 << 30, MaxCPUPercent: 1, MaxPids: 9, MaxFileSize: 7, MaxOpenFiles: 33}, 2, string(Watched))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := []Rlimit{{unix.RLIMIT_FSIZE, 7}, {unix.RLIMIT_NOFILE, 33}, {unix.RLIMIT_NPROC, 11}}
	if got := c.Inside(); !reflect.DeepEqual(got.Rlimits, want) || got.Nice != niceness || processors() > 1 && got.CPUs == nil {
		t.Errorf("%+v", got)
	}
	if major, minor := version("6.1.0-25-amd64"); major != 6 || minor != 1 {
		t.Errorf("%d.%d", major, minor)
	}
	if _, err := Begin(Limits{MaxPids: 1}, 1, "somehow"); err == nil {
		t.Error("a way that there is not was taken")
	}
}

// What is resident is more than what is used: half of this memory is a file's.
func TestUse(t *testing.T) {
	proc, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)
	w := &watcher{Sight: Sight{Proc: proc}, limits: Limits{MaxMemory: 1}, buf: make([]byte, 4096)}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pid := strconv.Itoa(cmd.Process.Pid)
	for range 500 { // until it sleeps, and is not this program's copy
		text, _ := os.ReadFile("/proc/" + pid + "/comm")
		if w.state(pid) == "S" && strings.TrimSpace(string(text)) == "sleep" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p, ok := w.status(pid)
	if !ok || p.tasks != 1 || p.resident == 0 || p.tables == 0 {
		t.Fatalf("%+v, %v", p, ok)
	}
	rss, _ := numberOf(w.read(pid+"/status"), "VmRSS:")
	if own := w.own(p); own <= 0 || own >= rss<<10 {
		t.Errorf("%d of %d resident bytes are its own", own, rss<<10)
	}
	if p, ok := w.status("999999999"); ok {
		t.Errorf("a process that is not there has %+v", p)
	}
}

func TestWatch(t *testing.T) {
	proc, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)
	told := make(chan Excess, 2)
	watch(Limits{MaxPids: 1}, Sight{Proc: proc}, func(e Excess, err error) { told <- e })
	select {
	case e := <-told:
		if e.Key != "max_pids" || !e.Ended || e.Used < 2 {
			t.Errorf("%+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody looked")
	}
	w := watch(Limits{MaxPids: 1 << 22}, Sight{Proc: proc}, func(e Excess, err error) { told <- e })
	w.stop()
	failed := make(chan error, 1)
	watch(Limits{MaxPids: 1}, Sight{Proc: -1}, func(e Excess, err error) { failed <- err })
	if err := <-failed; err == nil {
		t.Error("that nobody can look is not told")
	}
	if len(told) > 0 {
		t.Errorf("within the limit: %+v", <-told)
	}
}

// A way that was asked for is taken or refused, never replaced.
func TestAskedFor(t *testing.T) {
	for _, way := range []By{Scope, Group} {
		c, err := Begin(Limits{MaxPids: 10}, 1, string(way))
		if err != nil {
			if !strings.Contains(err.Error(), "resource_limits: ") {
				t.Errorf("%s: %v", way, err)
			}
			continue
		}
		if c.means.By != way {
			t.Errorf("%s: %+v", way, c.means)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// standIn listens where systemd would.
func standIn(t *testing.T) net.Listener {
	t.Helper()
	dir, err := os.MkdirTemp("", "limit") // a socket's name has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "private"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestHangUp ends a conversation in the middle of what systemd is saying: between the head of a message and its body.
func TestHangUp(t *testing.T) {
	l := standIn(t)
	said := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			said <- err
			return
		}
		for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "BEGIN"; {
			answer := "REJECTED EXTERNAL"
			if strings.HasPrefix(lines.Text(), "AUTH EXTERNAL") {
				answer = "DATA"
			} else if strings.HasPrefix(lines.Text(), "DATA") {
				answer = "OK 0123456789abcdef0123456789abcdef"
			}
			fmt.Fprint(c, answer, "\r\n")
		}
		// A signal with a body of 8 bytes and one field in its head, PATH, up to the padding behind it.
		_, err = c.Write([]byte("l\x04\x00\x01\x08\x00\x00\x00\x01\x00\x00\x00\x0c\x00\x00\x00\x01\x01o\x00\x03\x00\x00\x00/ab\x00"))
		said <- err
	}()
	s, err := dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // it has been read
	s.close()
	time.Sleep(50 * time.Millisecond) // and nobody panics
}

// A systemd that does not answer holds a run up for a while, not for ever.
func TestSystemdHangs(t *testing.T) {
	t.Parallel()
	l := standIn(t)
	done := make(chan error, 1)
	go func() {
		_, err := dial(l.Addr().String())
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it greeted")
		}
	case <-time.After(6 * patience):
		t.Error("still waiting")
	}
}
