package limit

import "strings"

// Means is who enforces what has to be counted.
type Means struct {
	By     By
	Memory bool   // the kernel counts it
	CPU    bool   // likewise
	Pids   bool   // likewise
	Why    string // there is nothing better
}

// By is how the kernel is told, if it is.
type By string

// The ways, the best first.
const (
	Scope   By = "systemd" // a transient scope of the user's systemd
	Group   By = "cgroup"  // a cgroup of our own in a subtree that is ours
	Watched By = "watched" // no cgroup: we look ourselves
)

// share is one of the things that are counted.
type share struct {
	controller, what string
	without          string // what is done where the kernel does not count it
	counted          bool
}

func (m Means) shares() []share {
	return []share{
		{"cpu", "processors", "processors by priority and by number", m.CPU},
		{"memory", "memory", "memory by looking several times a second", m.Memory},
		{"pids", "processes", "processes by RLIMIT_NPROC and by looking", m.Pids},
	}
}

// Counted gives the controllers that the kernel counts by, and those that lack.
func (m Means) Counted() (have, lack []string) {
	for _, s := range m.shares() {
		if s.counted {
			have = append(have, s.controller)
		} else {
			lack = append(lack, s.controller)
		}
	}
	return have, lack
}

// Substitutes says what is done about those that the kernel does not count.
func (m Means) Substitutes() string {
	var out []string
	for _, s := range m.shares() {
		if !s.counted {
			out = append(out, s.without)
		}
	}
	return strings.Join(out, ", ")
}

// String says it for --verbose.
func (m Means) String() string {
	var by []string
	for _, s := range m.shares() {
		if s.counted {
			by = append(by, s.what)
		}
	}
	var out []string
	if len(by) > 0 {
		how := "a cgroup of our own"
		if m.By == Scope {
			how = "a scope of systemd's"
		}
		out = append(out, list(by)+" by the kernel ("+how+")")
	}
	if rest := m.Substitutes(); rest != "" {
		out = append(out, rest)
	}
	if m.Why != "" {
		out = append(out, "because "+m.Why)
	}
	return strings.Join(out, ", ")
}

func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
