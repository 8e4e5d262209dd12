package limit

import (
	"testing"
	"time"
)

func TestText(t *testing.T) {
	l := Limits{MaxMemory: 4 << 30, MaxCPUPercent: 80, MaxPids: 1000, MaxTime: 90 * time.Minute, MaxFileSize: 1536, MaxOpenFiles: 64}
	if got, want := l.String(), "memory 4G, CPU 80 %, 1000 processes, 1h30m of time, files of 1536, 64 open files"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (Limits{}).String(); got != "" {
		t.Errorf("no limits: %q", got)
	}
	for _, c := range []struct {
		e    Excess
		want string
	}{
		{Excess{Key: "max_time", Ended: true}, "the sandbox was ended after 1h30m"},
		{Excess{Key: "max_memory", Ended: true, Used: 5<<30 + 300<<20}, "the sandbox was ended, it used 5.3G of memory and may use 4G"},
		{Excess{Key: "max_memory", Count: 1}, "the kernel ended 1 process, the sandbox needed more than the 4G of memory that it may use"},
		{Excess{Key: "max_memory", Count: 3}, "the kernel ended 3 processes, the sandbox needed more than the 4G of memory that it may use"},
		{Excess{Key: "max_pids", Ended: true, Used: 1200}, "the sandbox was ended, it had 1200 processes and threads and may have 1000"},
		{Excess{Key: "max_pids", Count: 1}, "1 new process or thread was refused, the sandbox may have 1000"},
		{Excess{Key: "max_pids", Count: 2}, "2 new processes and threads were refused, the sandbox may have 1000"},
	} {
		if got := c.e.Sentence(l); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
	}
}

func TestMeans(t *testing.T) {
	for _, c := range []struct {
		m    Means
		want string
	}{
		{Means{By: Scope, Memory: true, CPU: true, Pids: true}, "processors, memory and processes by the kernel (a scope of systemd's)"},
		{Means{By: Group, Memory: true, Pids: true}, "memory and processes by the kernel (a cgroup of our own), processors by priority and by number"},
		{Means{By: Watched, Why: "asked for"}, "processors by priority and by number, memory by looking several times a second, processes by RLIMIT_NPROC and by looking, because asked for"},
	} {
		if got := c.m.String(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.m, got, c.want)
		}
	}
}
