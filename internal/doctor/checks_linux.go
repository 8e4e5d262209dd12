package doctor

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Machine is what is found out once, when first asked for.
type Machine struct {
	Project string // a folder whose file system matters

	facts func() Facts
	trial func() Trial
}

// NewMachine is this one.
func NewMachine(project string) *Machine {
	return &Machine{project, sync.OnceValue(Look), sync.OnceValue(TryNamespaces)}
}

// Facts are what the machine says of itself.
func (m *Machine) Facts() Facts { return m.facts() }

// Namespaces says whether a plain user can have a sandbox here at all.
func (m *Machine) Namespaces() bool {
	step, _ := m.trial().failed()
	return step == ""
}

// Explain gives what keeps a plain user from a sandbox, in words that go behind the error of a start:
// the first of the base checks that fails. "" when they all work, so that the error has another reason.
func Explain() string {
	for _, c := range NewMachine(".").Base() {
		f := c.Run()
		if f.Result != Fail {
			continue
		}
		s := "; " + f.Why
		if len(f.Fix) > 0 {
			s += "; to change that: " + strings.Join(strings.Fields(f.Fix[0]), " ")
		}
		return s
	}
	return ""
}

// Base are the checks of the kernel and of what lies between it and us.
func (m *Machine) Base() []Check {
	return []Check{
		{
			Name: "user namespaces", Try: m.userNamespaces,
			Without: "every run is refused",
		}, {
			Name: "kernel", Quiet: true, Try: m.kernel, Without: "every run is refused", Fix: []string{"Linux 5.12 or newer"},
		}, {
			Name: "seccomp", For: "calls that a filter cannot judge are made outside (Unix sockets, umounts)", Try: m.listener,
			Without: "every run is refused",
		}, {
			Name: "ACLs", For: "persistent ACLs in the project's file system", Quiet: true, Try: m.acls,
			Without: "deny_read has one layer here, the sandbox; commands that are run as the sandbox user without it can read what it names",
		},
	}
}

// Around are lines about what we are in; there is one only where it matters.
func (m *Machine) Around() (out []Check) {
	f := m.facts()
	line := func(name, state, why string) {
		out = append(out, Check{Name: name, For: why, Try: func() Outcome { return Outcome{Result: OK, State: state} }})
	}
	if f.Container.Kind != "" {
		line("container", f.Container.Kind, "what it refuses is named above, if anything")
	}
	if f.WSL == 2 {
		line("WSL", "2", "a Linux kernel in a virtual machine; aigate's tests have not been run there")
	}
	if f.SELinux {
		line("SELinux", "enforcing", "what it refuses is named above, if anything")
	}
	if f.InAigate {
		line("aigate", "around", "this is a sandbox already; one inside it has what the outer one allows")
	}
	return out
}

func (m *Machine) userNamespaces() Outcome {
	t := m.trial()
	if t.Broken != "" {
		return Outcome{Result: Fail, State: "unknown", Why: t.Broken}
	}
	says := t.String()
	if says == "" {
		return Outcome{Result: OK, State: "enabled"}
	}
	c, found := Blame(t, m.facts())
	if found {
		says = c.Why
	}
	return Outcome{Result: Fail, State: "refused", Why: says, Fix: c.Fix}
}

func (m *Machine) listener() Outcome {
	err := tryListener()
	var look *lookError
	switch f := m.facts(); {
	case err == nil || errors.Is(err, unix.EBUSY) && f.InAigate: // whose listener hears what is inside
		return Outcome{Result: OK, State: "notifies"}
	case errors.Is(err, unix.EBUSY):
		return Outcome{Result: Fail, State: "taken", Why: "the program that started this one has a seccomp listener, and there can be one listener alone", Fix: []string{
			"start aigate from a plain terminal"}}
	case errors.As(err, &look):
		o := Outcome{Result: Warn, State: "blind", Why: err.Error(), Without: "programs inside cannot bind sockets, so no server runs there"}
		if f.Ptrace == "3" {
			o.Why = "kernel.yama.ptrace_scope is 3: no process may look into another (" + o.Why + ")"
			o.Fix = []string{"set kernel.yama.ptrace_scope to 2 or less in /etc/sysctl.d and start the machine anew"}
		}
		return o
	default:
		return Outcome{Result: Fail, State: "no", Why: err.Error(), Fix: []string{"a kernel with CONFIG_SECCOMP_FILTER, and nothing around aigate that refuses seccomp(2)"}}
	}
}

func (m *Machine) kernel() Outcome {
	o := Outcome{Result: OK, State: "v" + m.facts().Kernel}
	if err := tryMountSetattr(); err != nil {
		o.Result, o.Why = Fail, fmt.Sprintf("this kernel, %s, has no mount_setattr(2): %v", m.facts().Kernel, err)
	}
	return o
}

func (m *Machine) acls() Outcome {
	err := TryACL(m.Project)
	switch {
	case err == nil:
		return Outcome{Result: OK, State: "work"}
	case errors.Is(err, unix.EOPNOTSUPP):
		return Outcome{Result: Absent, State: "none", Why: "the file system of " + m.Project + " has no ACLs"}
	}
	return Outcome{Result: Absent, State: "none", Why: fmt.Sprintf("an ACL cannot be set in %s: %v", m.Project, err)}
}

// Landlock is a check of its own, because who has the host's network needs its scopes.
func Landlock(needed bool) Check {
	const scopes = 6 // Linux 6.12
	without := "a run without allow_net is refused: on the host's network the abstract sockets of the host (often the session bus) would be in reach"
	return Check{
		Name: "Landlock", For: "abstract sockets and signals, where the network is the host's", Without: without,
		Fix: []string{"set allow_net (an empty list is no network), or use Linux 6.12 or newer with landlock in lsm="},
		Try: func() Outcome {
			abi, err := LandlockABI()
			o := Outcome{Result: OK, State: fmt.Sprintf("ABI %d", abi)}
			switch {
			case errors.Is(err, unix.EOPNOTSUPP):
				o.State, o.Why = "off", "the kernel was started without it"
			case err != nil:
				o.State, o.Why = "none", err.Error()
			case abi < scopes:
				o.Why = "scopes came with ABI 6, Linux 6.12"
			}
			if o.Why != "" {
				o.Result = Warn
			}
			if o.Why != "" && needed {
				o.Result = Fail
			}
			return o
		},
	}
}
