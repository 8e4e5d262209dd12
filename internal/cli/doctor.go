package cli

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/AxeForging/aigate/internal/gate"
	"github.com/AxeForging/aigate/internal/sandbox"
	"github.com/spf13/cobra"
)

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what the sandbox needs, and say which isolation is in force",
		Long: `Check what the sandbox needs: helper programs and kernel features, each by
trying it, and say which engine a run would use. Exit 1 when a run would refuse.`,
		Example: "  aigate doctor\n  aigate doctor --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d := examine()
			if asJSON {
				if err := printJSON(d); err != nil {
					return err
				}
			} else {
				d.print()
			}
			if !d.Works {
				return exitStatus(1)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "machine readable")
	return c
}

// finding is one line of the report.
type finding struct {
	OK     bool   `json:"ok"`
	Name   string `json:"name"`
	State  string `json:"state"` // version, or "enabled", "missing", ...
	Use    string `json:"use"`   // what it is for
	Remedy string `json:"remedy,omitempty"`
}

type diagnosis struct {
	Findings []finding `json:"findings"`
	Mode     string    `json:"isolation_mode"`
	Weaker   []string  `json:"weaker,omitempty"` // what does not hold here, and why
	Works    bool      `json:"works"`

	network bool // the gate can be had
}

func examine() diagnosis {
	var d diagnosis
	bwrap, noBwrap := findBwrap()
	d.tool("bwrap", bwrap, noBwrap == nil, "sandbox isolation (mount/pid/user namespaces)", "apt install bubblewrap (the native engine works without)")
	slirp, err := rootsProgram("slirp4netns")
	d.tool("slirp4netns", slirp, err == nil, "network: slirp4netns, for UDP and raw IP", "apt install slirp4netns (only where network: slirp4netns is set)")
	setfacl, err := exec.LookPath("setfacl")
	d.tool("setfacl", setfacl, err == nil, "persistent ACLs", "apt install acl (needed by setup alone)")
	native := sandbox.Probe(sandbox.Native, "")
	d.feature("user namespaces", native, "enabled", "", "sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns")
	var byBwrap error = noBwrap
	if noBwrap == nil {
		byBwrap = sandbox.Probe(sandbox.Bwrap, bwrap)
		d.feature("bwrap works", byBwrap, "yes", "tried with a full plan", "set engine: native, if that works")
	}
	scopes := sandbox.Supported(&sandbox.Plan{})
	d.feature("landlock scopes", scopes, "enabled", "abstract sockets, with the host's network", "Linux 6.12 or newer; or set allow_net")
	if byBwrap == nil {
		d.gate(sandbox.ProbeGate(sandbox.Bwrap, bwrap))
	} else if native == nil {
		d.gate(sandbox.ProbeGate(sandbox.Native, ""))
	}
	d.Works = d.network && (native == nil || byBwrap == nil)
	d.Mode = d.mode(native, byBwrap)
	if scopes != nil {
		d.Weaker = append(d.Weaker, "a run without allow_net is refused: "+scopes.Error())
	}
	d.Weaker = append(d.Weaker, "resource_limits are not enforced yet", "sub-commands of deny_exec are checked before the start alone")
	return d
}

// gate adds what a list in allow_net comes to here: how connections are caught, and what falls short of it.
func (d *diagnosis) gate(front gate.Front, refuses bool, err error) {
	f := finding{OK: err == nil, Name: "gate", State: "nf_tables", Use: "network by name (allow_net): TCP on every port"}
	d.network = err == nil
	switch {
	case err != nil:
		f.State, f.Remedy = "no", err.Error()+"; a run with hosts in allow_net is refused, one with allow_net: [] is not"
	case front.Variant == gate.ByPort:
		f.State, f.Use = "ports", "network by name (allow_net): TCP on the ports that rules name"
		f.Remedy = "every port needs nf_tables with TPROXY in the kernel: modprobe nft_tproxy"
		d.Weaker = append(d.Weaker, "a rule of allow_net without a port means the ports 22, 80 and 443")
	case !refuses:
		f.Remedy = "addresses that no rule names are refused after the handshake: the kernel has no nft_reject or nfnetlink_log"
	}
	if err == nil {
		f.Use += ", " + families(front.IPv6)
	}
	d.Findings = append(d.Findings, f)
}

func families(ipv6 bool) string {
	if ipv6 {
		return "IPv4 and IPv6"
	}
	return "IPv4 alone, as on this machine"
}

// mode is the sentence at the end of the guide's example.
func (d *diagnosis) mode(native, bwrap error) string {
	engine := ""
	switch {
	case bwrap == nil:
		engine = "bwrap"
	case native == nil:
		engine = "native namespaces"
	default:
		return "none: `aigate run` would refuse"
	}
	if !d.network {
		return engine + " (full isolation of files, processes and commands; no network by name)"
	}
	return engine + " + gate (full isolation)"
}

// tool adds a helper program with its version.
func (d *diagnosis) tool(name, path string, found bool, use, remedy string) {
	f := finding{OK: found, Name: name, Use: use}
	if !found {
		f.State, f.Remedy = "missing", remedy
	} else if f.State = version(path); f.State == "" {
		f.State = "found"
	}
	d.Findings = append(d.Findings, f)
}

// version runs a program with --version and takes the first word that looks
// like one.
func version(path string) string {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	for _, w := range strings.Fields(line) {
		if w = strings.TrimPrefix(w, "v"); w != "" && w[0] >= '0' && w[0] <= '9' {
			return "v" + strings.TrimRight(w, ",")
		}
	}
	return ""
}

// feature adds something that was tried.
func (d *diagnosis) feature(name string, err error, state, use, remedy string) {
	f := finding{OK: err == nil, Name: name, State: state, Use: use}
	if err != nil {
		f.State, f.Remedy = "no", err.Error()+"; see "+remedy
	}
	d.Findings = append(d.Findings, f)
}

func (d diagnosis) print() {
	for _, f := range d.Findings {
		mark := "ok"
		if !f.OK {
			mark = "--"
		}
		line := fmt.Sprintf("  %-5s %-16s %s", mark, f.Name, f.State)
		if f.Use != "" {
			line = fmt.Sprintf("  %-5s %-16s %-8s — %s", mark, f.Name, f.State, f.Use)
		}
		fmt.Println(line)
		if f.Remedy != "" {
			fmt.Printf("        %-16s %s\n", "", f.Remedy)
		}
	}
	fmt.Printf("\nIsolation mode: %s\n", d.Mode)
	for _, w := range d.Weaker {
		fmt.Printf("Note: %s\n", w)
	}
}
