package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/doctor"
	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/sandbox"
)

// patient is the machine under a configuration: with the engines and the network, which doctor does
// not know.
type patient struct {
	*doctor.Machine
	conf   config.Config
	engine sandbox.Engine // that a run takes
	choice error          // why none
	bwrap  string
	absent error // why there is no bubblewrap

	native, withBwrap func() error // nil: the engine works
}

func newPatient(conf config.Config) *patient {
	p := &patient{Machine: doctor.NewMachine(projectFolder()), conf: conf}
	p.engine, _, _, p.choice = chooseEngine(conf.Engine)
	p.bwrap, p.absent = findBwrap()
	p.native = sync.OnceValue(func() error { return sandbox.Probe(sandbox.Native, "") })
	p.withBwrap = sync.OnceValue(func() error {
		if p.absent != nil {
			return p.absent
		}
		return sandbox.Probe(sandbox.Bwrap, p.bwrap)
	})
	var failed *sandbox.EngineError
	if p.engine == sandbox.Bwrap && ourChoice(conf.Engine) && errors.As(p.withBwrap(), &failed) {
		p.engine = sandbox.Native // as a run does, see otherEngine
	}
	return p
}

// checks are the table, in the guide's order first.
func (p *patient) checks() []doctor.Check {
	all := []doctor.Check{
		{
			Name: "bwrap", For: "sandbox isolation (mount/pid/user namespaces)", Try: p.tryBwrap,
			Install: doctor.Everywhere("bubblewrap"),
		}, {
			Name: "slirp4netns", For: "UDP and raw IP to allowed hosts (network: slirp4netns)", Try: p.trySlirp,
			Install: doctor.Everywhere("slirp4netns"),
		}, {
			Name: "setfacl", For: "persistent ACLs", Try: trySetfacl, // the words are the guide's
			Without: "aigate sets ACLs itself; setfacl and getfacl are for your own eyes", Install: doctor.Everywhere("acl"),
		},
	}
	all = append(append(all, p.Base()...), p.accounts()...)
	return append(all,
		doctor.Check{
			Name: "native", For: "sandbox isolation without bwrap", Try: p.tryNative,
		}, doctor.Check{
			Name: "nf_tables", For: "network by name (allow_net)", Try: p.tryGate,
		},
		doctor.Landlock(p.conf.AllowNet == nil),
		doctor.Check{
			Name: "cgroup v2", For: "limits of the sandbox as a whole, by the kernel (resource_limits)", Try: p.tryLimits,
			Fix: []string{"log in with a systemd of your own, or have a cgroup delegated to you whose controllers are memory, cpu and pids; where cgroups of version 1 have these, boot with systemd.unified_cgroup_hierarchy=1"},
		}, doctor.Check{
			Name: "exec guard", For: "programs inside are judged by path and arguments (deny_exec)", Try: tryGuard,
			Without: "inside, deny_exec holds by stubs over the programs alone: a rule with arguments (kubectl delete) is checked before the start and no more",
		},
	)
}

func tryGuard() doctor.Outcome {
	if active, why := sandbox.ExecGuard(); !active {
		return doctor.Outcome{Result: doctor.Warn, State: "stubs", Why: why}
	}
	return doctor.Outcome{Result: doctor.OK, State: "active"}
}

// tryLimits makes a sandbox that has every limit that is counted.
func (p *patient) tryLimits() doctor.Outcome {
	engine, bwrap := p.working()
	if engine == "" {
		return doctor.Outcome{Result: doctor.Absent, State: "not tried"}
	}
	m, err := sandbox.ProbeLimits(engine, bwrap, os.Getenv("AIGATE_LIMITS"))
	if err != nil {
		return doctor.Outcome{Result: doctor.Fail, State: "no", Why: err.Error(), Without: "a run with resource_limits is refused"}
	}
	have, lack := m.Counted()
	if len(lack) == 0 {
		return doctor.Outcome{Result: doctor.OK, State: strings.Join(have, " ")}
	}
	o := doctor.Outcome{Result: doctor.Absent, State: "none", Why: m.Why, Without: "instead: " + m.Substitutes()}
	if len(have) > 0 {
		o.State = strings.Join(have, " ")
	}
	return o
}

func (p *patient) tryBwrap() doctor.Outcome {
	needed := p.engine == sandbox.Bwrap || p.choice != nil
	o := doctor.Outcome{Result: doctor.Absent, State: doctor.Missing, Without: "aigate makes the namespaces itself (native), which keeps the same promises"}
	if p.absent != nil {
		if _, err := exec.LookPath("bwrap"); err == nil {
			o.State, o.Why = "not used", p.absent.Error()
			o.Fix = []string{"see who put it there; one that root installed, earlier on the PATH, is used"}
		}
		if needed {
			o.Result, o.Without = doctor.Fail, "every run is refused, as engine: bwrap asks for it"
		}
		return o
	}
	version, err := doctor.Version(p.bwrap)
	if o.State = version; version == "" {
		o.State = "broken"
	}
	if err == nil {
		err = unfit(p.bwrap)
	}
	if err == nil {
		err = p.withBwrap()
	}
	switch {
	case err == nil:
		return doctor.Outcome{Result: doctor.OK, State: version}
	case !p.Namespaces(): // which has a line
		return doctor.Outcome{Result: doctor.Fail, State: o.State}
	case !needed: // native is taken
		o.Result = doctor.Warn
	case ourChoice(p.conf.Engine):
		o.Result, o.Without = doctor.Fail, "every run is refused, as engine: auto takes bwrap where it is installed"
	default:
		o.Result, o.Without = doctor.Fail, "every run is refused, as engine: bwrap asks for it"
	}
	o.Why = err.Error()
	if p.native() == nil {
		o.Fix = []string{"set engine: native in ~/.aigate/config.yaml; it works here, and bwrap is not tried first"}
	}
	return o
}

func (p *patient) trySlirp() doctor.Outcome {
	asked := p.conf.Network == "slirp4netns"
	o := doctor.Outcome{Result: doctor.Absent, State: doctor.Missing, Without: "nothing needs it unless network: slirp4netns is set; the gate, which is the default, has TCP and names"}
	path, err := findSlirp()
	if err == nil {
		if o.State, err = doctor.Version(path); err == nil {
			o.Result = doctor.OK
			return o
		}
		o.State, o.Why = "broken", err.Error()
	}
	if asked {
		o.Result, o.Without = doctor.Fail, "every run with hosts in allow_net is refused, as network: slirp4netns is set"
	}
	return o
}

func trySetfacl() doctor.Outcome {
	path, err := rootsProgram("setfacl") // it is run, and so must be root's
	if err != nil {
		return doctor.Outcome{Result: doctor.Absent, State: doctor.Missing}
	}
	version, err := doctor.Version(path)
	if err != nil {
		return doctor.Outcome{Result: doctor.Warn, State: "broken", Why: err.Error()}
	}
	return doctor.Outcome{Result: doctor.OK, State: version}
}

func (p *patient) tryNative() doctor.Outcome {
	err := p.native()
	if err == nil {
		return doctor.Outcome{Result: doctor.OK, State: "works"}
	}
	o := doctor.Outcome{Result: doctor.Absent, State: "no", Without: "engine: native is refused"}
	if p.engine == sandbox.Native {
		o.Result, o.Without = doctor.Fail, "every run is refused"
	}
	if o.Why = err.Error(); !p.Namespaces() { // that line says it
		o.Why, o.Without = "", ""
	}
	return o
}

// tryGate makes a sandbox with a network by name, and with it a table of nf_tables.
func (p *patient) tryGate() doctor.Outcome {
	engine, bwrap := p.working()
	if engine == "" {
		return doctor.Outcome{Result: doctor.Absent, State: "not tried"}
	}
	front, refuses, err := sandbox.ProbeGate(engine, bwrap)
	switch {
	case err != nil:
		o := doctor.Outcome{Result: doctor.Warn, State: "no", Why: err.Error(), Without: "a run with hosts in allow_net is refused; one with allow_net: [] is not"}
		if len(p.conf.AllowNet) > 0 && p.conf.Network != "slirp4netns" {
			o.Result = doctor.Fail
		}
		return o
	case front.Variant == gate.ByPort:
		return doctor.Outcome{Result: doctor.Warn, State: "ports", Why: "the kernel has no nf_tables with TPROXY, so the gate listens on the ports that rules name", Without: "a rule of allow_net without a port means the ports 22, 80 and 443; a program inside cannot listen on these itself",
			Fix: []string{"sudo modprobe nft_tproxy   (of the kernel's modules package)"}}
	case !refuses:
		return doctor.Outcome{Result: doctor.Warn, State: "works", Why: "the kernel has no nft_reject or nfnetlink_log", Without: "addresses that no rule names are refused after the handshake, not before",
			Fix: []string{"sudo modprobe -a nft_reject_inet nfnetlink_log   (of the kernel's modules package)"}}
	case !front.IPv6:
		return doctor.Outcome{Result: doctor.OK, State: "IPv4"}
	}
	return doctor.Outcome{Result: doctor.OK, State: "works"}
}

// working is an engine to try something with that works, "" without any.
func (p *patient) working() (engine sandbox.Engine, bwrap string) {
	engine, bwrap = p.engine, p.bwrap
	if p.choice != nil || engine == sandbox.Bwrap && p.withBwrap() != nil {
		engine, bwrap = sandbox.Native, ""
	}
	if engine == sandbox.Native && p.native() != nil {
		return "", ""
	}
	return engine, bwrap
}

// mode is the sentence at the end of the guide's example.
func (p *patient) mode(r *doctor.Report) string {
	if !r.Works {
		return "none: `aigate run` would refuse"
	}
	network, quality := "gate", "full isolation"
	switch {
	case p.conf.AllowNet == nil:
		network, quality = "the host's network", "isolation of files, processes and commands; the network is open"
	case len(p.conf.AllowNet) == 0:
		network = "no network"
	case p.conf.Network == "slirp4netns":
		network = "slirp4netns"
	}
	for _, f := range r.Checks {
		if f.Result == doctor.Warn {
			quality += ", but see above"
			break
		}
	}
	return fmt.Sprintf("%s + %s (%s)", engineName(r.Engine), network, quality)
}
