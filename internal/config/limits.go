package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/AxeForging/aigate/internal/limit"
)

// Limits are what the whole sandbox may use, as limit has them. Zero means no
// limit.
type Limits limit.Limits

// limitKeys are the keys of resource_limits, in the order of the default file.
var limitKeys = []string{"max_memory", "max_cpu_percent", "max_pids", "max_time", "max_file_size", "max_open_files"}

// of is the value that a key of resource_limits stands for.
func (l *Limits) of(key string) *int64 {
	switch key {
	case "max_memory":
		return &l.MaxMemory
	case "max_cpu_percent":
		return &l.MaxCPUPercent
	case "max_pids":
		return &l.MaxPids
	case "max_time":
		return (*int64)(&l.MaxTime)
	case "max_file_size":
		return &l.MaxFileSize
	}
	return &l.MaxOpenFiles
}

// String says what is limited, "" when nothing is.
func (l Limits) String() string { return limit.Limits(l).String() }

// replaced is a project's limits over the global ones.
func (l Limits) replaced(by Limits) Limits {
	for _, key := range limitKeys {
		if v := *by.of(key); v != 0 {
			*l.of(key) = v
		}
	}
	return l
}

// within is the part of a project's limits that tightens the global ones, or
// that nothing is known about when global is nil.
func (l Limits) within(global *Limits) Limits {
	for _, key := range limitKeys {
		if theirs := global; theirs == nil || *theirs.of(key) != 0 && *l.of(key) > *theirs.of(key) {
			*l.of(key) = 0
		}
	}
	return l
}

// beyond says, a sentence each, which limits kept lacks.
func (l Limits) beyond(kept Limits) (out []string) {
	for _, key := range limitKeys {
		if *l.of(key) != *kept.of(key) {
			out = append(out, fmt.Sprintf("%s: sets the limit to %s", key, limit.Limits(l).Text(key)))
		}
	}
	return out
}

func (d *decoder) limit(key string, v node, l *Limits) {
	at := l.of(key)
	switch key {
	case "max_memory":
		*at = d.measure(v, key, func(s string) (int64, *problem) { return parseSize(s, "memory limit", 1<<20) })
	case "max_file_size":
		*at = d.measure(v, key, func(s string) (int64, *problem) { return parseSize(s, "file size limit", 1<<10) })
	case "max_time":
		*at = d.measure(v, key, parseTime)
	case "max_cpu_percent":
		*at = d.count(v, key, 1, 100, "it is of the whole machine: 100 is all of it, and leaving the key out is no limit")
	case "max_pids":
		*at = d.count(v, key, 1, 1<<22, "the kernel has no more process numbers than that; leaving the key out is no limit")
	case "max_open_files":
		*at = d.count(v, key, 16, 1<<20, "a program needs some to start, and the kernel has no more than that; leaving the key out is no limit")
	}
}

// measure takes a scalar that parse understands.
func (d *decoder) measure(v node, key string, parse func(string) (int64, *problem)) int64 {
	switch v.kind {
	case text, integer, float, boolean:
		n, wrong := parse(v.text)
		d.check(v, wrong)
		return n
	}
	d.text(v, key)
	return 0
}

// count takes a number from least to most.
func (d *decoder) count(n node, key string, least, most int, hint string) int64 {
	if n.kind != integer {
		digits := strings.TrimSuffix(n.text, "%")
		if v, err := strconv.Atoi(digits); n.kind == text && err == nil {
			if v < least || v > most {
				d.failAt(n, fmt.Sprintf("%s must be from %d to %d, this is %s", key, least, most, n.text), hint)
				return 0
			}
			d.failAt(n, fmt.Sprintf("%s must be a number, this is %s", key, n.kind), fmt.Sprintf("write %s: %s", key, digits))
			return 0
		}
		d.failAt(n, fmt.Sprintf("%s must be a whole number, this is %s", key, n.kind), fmt.Sprintf("write a number from %d to %d", least, most))
		return 0
	}
	v, err := strconv.Atoi(n.text)
	if err != nil || v < least || v > most {
		d.failAt(n, fmt.Sprintf("%s must be from %d to %d, this is %s", key, least, most, n.text), hint)
		return 0
	}
	return int64(v)
}

// parseTime reads "90s", "30m", "2h", "1h30m", "1d".
func parseTime(s string) (int64, *problem) {
	const hint = `write a time such as "30m" or "2h", without a blank; leaving the key out is no limit`
	rest := s
	var days time.Duration
	if d, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 || n > 10_000 {
			return 0, wrong(hint, "bad time %q", s)
		}
		days, rest = time.Duration(n)*24*time.Hour, after
	}
	var t time.Duration
	if rest != "" || days == 0 {
		var err error
		if t, err = time.ParseDuration(rest); err != nil || strings.ContainsAny(rest, "+-") {
			return 0, wrong(hint, "bad time %q", s)
		}
	}
	switch t += days; {
	case t < time.Second:
		return 0, wrong(hint, "a time limit of %q is too short to do anything", s)
	case t > 10_000*24*time.Hour:
		return 0, wrong(hint, "a time limit of %q is more than there can be", s)
	}
	return int64(t), nil
}
