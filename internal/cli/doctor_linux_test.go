package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/doctor"
)

// TestDoctorAgreesWithRun makes every cause real, and has doctor and run say what they think of it.
func TestDoctorAgreesWithRun(t *testing.T) {
	const closed, open, listed = "allow_net: []\n", "{}\n", "allow_net: [example.com]\n"
	for _, c := range []struct {
		way, config string
		env         []string
		reason      string // of the refusal; "" when there is none
		fix         string
	}{
		{way: "unconfined", config: closed},
		{way: "unconfined", config: open},
		{way: "unconfined", config: listed},
		{way: "unconfined", config: listed + "network: slirp4netns\n"},
		{way: "max_user_namespaces", config: closed, reason: "user.max_user_namespaces is 0", fix: "sudo sysctl -w user.max_user_namespaces="},
		{way: "namespaces", config: closed, reason: "seccomp filter"},
		{way: "mount", config: closed, reason: "ermission denied"},
		{way: "covered-proc", config: closed, env: []string{"AIGATE_ENGINE=native"}, reason: "parts of /proc"},
		{way: "chroot", config: closed, reason: "this is a chroot"},
		{way: "no-seccomp", config: closed, reason: "seccomp(2) with a listener"},
		{way: "listener", config: closed, reason: "there can be one listener alone"},
		{way: "no-ptrace", config: closed},
		{way: "old-kernel", config: closed, reason: "no mount_setattr(2)", fix: "5.12"},
		{way: "no-landlock", config: closed},
		{way: "no-landlock", config: listed},
		{way: "no-landlock", config: open, reason: "Linux 6.12", fix: "allow_net"},
		{way: "unconfined", config: listed, env: []string{"AIGATE_GATE=none"}, reason: "AIGATE_GATE=none"},
		{way: "unconfined", config: closed, env: []string{"AIGATE_GATE=none"}},
		{way: "unconfined", config: "no_such_key: 1\n", reason: "no_such_key"},
		{way: "unconfined", config: closed, env: []string{"AIGATE_ENGINE=none"}, reason: `engine "none"`},
		{way: "unconfined", config: listed + "network: slirp4netns\n", env: []string{"PATH=/nothing"}, reason: "no slirp4netns on the PATH", fix: "slirp4netns"},
	} {
		for _, engine := range []string{"native", "bwrap"} {
			if len(c.env) > 0 && engine == "bwrap" {
				continue // the same, or without bwrap
			}
			name := strings.Fields(c.way + " " + strings.NewReplacer("\n", " ", ":", "").Replace(c.config) + strings.Join(c.env, " ") + " " + engine)
			t.Run(strings.Join(name, "_"), func(t *testing.T) {
				p := place(t, c.config, append([]string{"AIGATE_ENGINE=" + engine}, c.env...))
				said, refused := p.run(t, c.way, "run", "-q", "--", "/bin/true")
				report := p.doctor(t, c.way)
				if refused != (c.reason != "") || !strings.Contains(said, c.reason) {
					t.Errorf("run: refused %v\n%s\nwant %q in it", refused, said, c.reason)
				}
				if report.Works == refused {
					t.Errorf("doctor: works is %v, and run says\n%s", report.Works, said)
				}
				if len(report.Weaker()) == 0 && c.way != "unconfined" {
					t.Error("doctor finds nothing weaker")
				}
				if refused && said != "[aigate] "+report.Why+"\n" {
					t.Errorf("run says\n%sdoctor says\n%s", said, report.Why)
				}
				if fixes := strings.Join(allFixes(report), "\n") + report.Why; !strings.Contains(fixes, c.fix) {
					t.Errorf("%q is not among what is to be done:\n%s", c.fix, fixes)
				}
			})
		}
	}
}

// TestOtherEngine puts a bwrap on the PATH that root installed and that does not work: with engine: auto a
// run takes the other engine and says so when asked, and doctor knows; with engine: bwrap both refuse.
func TestOtherEngine(t *testing.T) {
	path := t.TempDir()
	if err := os.Symlink("/bin/false", filepath.Join(path, "bwrap")); err != nil {
		t.Fatal(err)
	}
	for _, auto := range []bool{true, false} {
		p := place(t, "allow_net: []\n", []string{"PATH=" + path + ":/usr/bin:/bin"})
		if !auto {
			p.env = append(p.env, "AIGATE_ENGINE=bwrap")
		}
		said, refused := p.run(t, "unconfined", "run", "-v", "--", "/bin/true")
		report := p.doctor(t, "unconfined")
		if refused == auto || strings.Contains(said, "engine native: bwrap did not start") != auto {
			t.Errorf("run, auto %v: refused %v\n%s", auto, refused, said)
		}
		if report.Works != auto || auto && report.Engine != "native" || report.Checks[0].Result == doctor.OK {
			t.Errorf("doctor, auto %v: %+v", auto, report)
		}
		if auto {
			said, _ := p.run(t, "unconfined", "run", "-q", "--", "/bin/sh", "-c", "echo inside >&2; echo >x")
			if said != "inside\n" {
				t.Errorf("said %q", said)
			}
		}
	}
}

// A bwrap that is setuid is not taken: the user namespace would be root's.
func TestSetuidBwrap(t *testing.T) {
	bwrap := filepath.Join(t.TempDir(), "bwrap")
	if err := os.WriteFile(bwrap, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unfit(bwrap); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(bwrap, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := unfit(bwrap); err == nil {
		t.Error("one that is setuid is fit")
	}
}

func allFixes(r doctor.Report) (out []string) {
	for _, f := range r.Checks {
		if f.Result != doctor.OK {
			out = append(out, f.Fix...)
		}
	}
	return out
}

// somewhere is a home with a configuration, and a project in it.
type somewhere struct {
	dir string
	env []string
}

func place(t *testing.T, config string, env []string) somewhere {
	home := t.TempDir()
	project := filepath.Join(home, "project")
	for _, dir := range []string{filepath.Join(home, ".aigate"), project} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, ".aigate", "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	race, quick := quickRace()
	return somewhere{project, append([]string{"HOME=" + home, "TMPDIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), race + "=" + quick}, env...)}
}

// run starts aigate under a confinement. It is refused when its status is 1.
func (p somewhere) run(t *testing.T, way string, args ...string) (stderr string, refused bool) {
	t.Helper()
	_, errs, status := p.aigate(t, way, args...)
	if status != 0 && status != 1 {
		t.Fatalf("aigate %q: status %d\n%s", args, status, errs)
	}
	return errs, status == 1
}

func (p somewhere) doctor(t *testing.T, way string) (r doctor.Report) {
	t.Helper()
	out, errs, status := p.aigate(t, way, "doctor", "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("aigate doctor --json: %v\n%s%s", err, out, errs)
	}
	if errs != "" || r.Works != (status == 0) {
		t.Errorf("aigate doctor: status %d, works %v, and says\n%s", status, r.Works, errs)
	}
	return r
}

func (p somewhere) aigate(t *testing.T, way string, args ...string) (out, errs string, status int) {
	t.Helper()
	programs, err := exec.LookPath("aigate")
	if err != nil {
		t.Fatal(err)
	}
	confine := filepath.Join(filepath.Dir(programs), "confine")
	c := &exec.Cmd{Path: confine, Args: append([]string{"confine", way, programs}, args...), Dir: p.dir, Env: p.env}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); c.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), c.ProcessState.ExitCode()
}
