// Package limit holds a sandbox to what it may use of the machine: memory,
// processors, processes, time, the size of a file, open files.
//
// It promises that a limit counts for the sandbox as a whole, whatever is
// started inside, and that it is in force before the command runs; that what is
// inside cannot take it off or leave it; that the user is told which limit was
// reached; and that nothing is left behind. Who enforces it is said by Means,
// for aigate doctor and --verbose.
//
// Memory, processors and processes are the kernel's to count, in a cgroup of
// version 2 (cgroups(7), Documentation/admin-guide/cgroup-v2.rst): one that the
// user's systemd makes, or one of our own in a subtree that was delegated to
// the user. Where neither is to be had, a supervisor looks several times a
// second and ends the sandbox, see Watch; that is weaker, and said so. The
// others are limits of a process, setrlimit(2), or a clock.
package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits are what the whole sandbox may use. Zero means no limit.
type Limits struct {
	MaxMemory     int64         `json:"max_memory"`      // bytes
	MaxCPUPercent int64         `json:"max_cpu_percent"` // of the whole machine, 1 to 100
	MaxPids       int64         `json:"max_pids"`        // processes and threads
	MaxTime       time.Duration `json:"max_time"`
	MaxFileSize   int64         `json:"max_file_size"`  // bytes, of any one file that is written
	MaxOpenFiles  int64         `json:"max_open_files"` // of each process
}

// Counted says that something is limited that has to be counted over all of the
// sandbox.
func (l Limits) Counted() bool { return l.MaxMemory != 0 || l.MaxCPUPercent != 0 || l.MaxPids != 0 }

// Text is the value of a key of resource_limits as the configuration would have it.
func (l Limits) Text(key string) string {
	switch key {
	case "max_memory":
		return Size(l.MaxMemory)
	case "max_cpu_percent":
		return fmt.Sprintf("%d %%", l.MaxCPUPercent)
	case "max_pids":
		return strconv.FormatInt(l.MaxPids, 10)
	case "max_time":
		return Time(l.MaxTime)
	case "max_file_size":
		return Size(l.MaxFileSize)
	default:
		return strconv.FormatInt(l.MaxOpenFiles, 10)
	}
}

// String says what is limited, "" when nothing is.
func (l Limits) String() string {
	var out []string
	add := func(set bool, key, format string) {
		if set {
			out = append(out, fmt.Sprintf(format, l.Text(key)))
		}
	}
	add(l.MaxMemory != 0, "max_memory", "memory %s")
	add(l.MaxCPUPercent != 0, "max_cpu_percent", "CPU %s")
	add(l.MaxPids != 0, "max_pids", "%s processes")
	add(l.MaxTime != 0, "max_time", "%s of time")
	add(l.MaxFileSize != 0, "max_file_size", "files of %s")
	add(l.MaxOpenFiles != 0, "max_open_files", "%s open files")
	return strings.Join(out, ", ")
}

// Size writes bytes the way the configuration does: "4G".
func Size(n int64) string {
	for i := 4; i > 0; i-- {
		if unit := int64(1) << (10 * i); n >= unit && n%unit == 0 {
			return fmt.Sprintf("%d%c", n/unit, " KMGT"[i])
		}
	}
	return strconv.FormatInt(n, 10)
}

// Time writes a duration the way the configuration does: "1h30m".
func Time(d time.Duration) string {
	if d < time.Minute || d%time.Second != 0 {
		return d.String()
	}
	var out []string
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.is; n > 0 {
			out = append(out, fmt.Sprintf("%d%s", n, unit.name))
			d -= n * unit.is
		}
	}
	return strings.Join(out, "")
}

// Excess is a limit that was reached.
type Excess struct {
	Key   string // of resource_limits
	Ended bool   // the sandbox was ended for it
	Count int64  // how often something was refused or ended, 0 when that is not known
	Used  int64  // what was used when it was seen, 0 when that is not known
}

// Sentence is what the user is told.
func (e Excess) Sentence(l Limits) string {
	allowed := l.Text(e.Key)
	switch {
	case e.Key == "max_time":
		return fmt.Sprintf("the sandbox was ended after %s", allowed)
	case e.Key == "max_memory" && e.Ended && e.Used > 0:
		return fmt.Sprintf("the sandbox was ended, it used %s of memory and may use %s", rough(e.Used), allowed)
	case e.Key == "max_memory" && e.Ended:
		return fmt.Sprintf("the sandbox was ended, it needed more than the %s of memory that it may use", allowed)
	case e.Key == "max_memory":
		return fmt.Sprintf("the kernel ended %s, the sandbox needed more than the %s of memory that it may use", many(e.Count, "process", "processes"), allowed)
	case e.Key == "max_pids" && e.Ended:
		return fmt.Sprintf("the sandbox was ended, it had %d processes and threads and may have %s", e.Used, allowed)
	case e.Key == "max_pids":
		return fmt.Sprintf("%s refused, the sandbox may have %s", many(e.Count, "new process or thread was", "new processes and threads were"), allowed)
	}
	return fmt.Sprintf("the limit of %s was reached", allowed)
}

// Advice is how to raise it.
func (e Excess) Advice() string {
	return fmt.Sprintf("to raise it, set %s in resource_limits", e.Key)
}

func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// rough is a size in few digits.
func rough(n int64) string {
	f, unit := float64(n), 0
	for f >= 1024 && unit < 4 {
		f, unit = f/1024, unit+1
	}
	return strings.TrimSpace(strconv.FormatFloat(f, 'f', 1, 64) + " KMGT"[unit:unit+1])
}
