package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestNet runs the scripts whose names begin with net_, attacks and works alike, as plain user and as root, on both
// engines. Each has an internet of its own (see e2e/internet): this test's binary is started once more in a network
// namespace where every address of the world answers, and there alone.
//
//	go test ./e2e -run TestNet/plain/native/attack/net_direct -v
//	AIGATE_E2E=full go test ./e2e -run TestNet       with 5 GiB, ten minutes and 1 GiB where CI has less
func TestNet(t *testing.T) {
	if script := os.Getenv("AIGATE_E2E_SCRIPT"); script != "" {
		tellStory(t, strings.Fields(script))
		return
	}
	if os.Getenv("AIGATE_E2E_PLACE") != "" {
		t.Skip("root starts these for the plain user")
	}
	if !hollow && !controlsOnly {
		prepareWorks(t)
	}
	if err := prepareNet(); err != nil {
		t.Fatal(err)
	}
	callers := []string{"plain", "root"}
	if os.Geteuid() != 0 || hollow {
		callers = callers[:1]
	}
	groups := []string{"attack", "works"}
	if hollow || controlsOnly {
		groups = groups[:1]
	}
	for _, caller := range callers {
		t.Run(caller, func(t *testing.T) {
			for _, engine := range engines {
				if hollow && engine != "native" {
					continue
				}
				t.Run(engine, func(t *testing.T) {
					for _, g := range groups {
						t.Run(g, func(t *testing.T) { netGroup(t, caller, engine, g) })
					}
				})
			}
		})
	}
}

// isNet says whether a script belongs to TestNet.
func isNet(file string) bool { return strings.HasPrefix(filepath.Base(file), "net_") }

func netGroup(t *testing.T, caller, engine, group string) {
	files, err := filepath.Glob(filepath.Join(place, "testdata", group, "net_*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in group %s (%v)", group, err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if caller == "plain" && uid == 0 {
		u, err := user.Lookup(plainUser)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	for _, dir := range []string{caller, filepath.Join(caller, engine[:1]), filepath.Join(caller, engine[:1], "net")} {
		dir = filepath.Join(place, dir)
		err := os.Mkdir(dir, 0o755)
		if os.IsExist(err) {
			continue
		}
		if err == nil {
			err = os.Chown(dir, uid, gid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if onlyIn(t, file, caller, engine) {
				return
			}
			t.Parallel()
			if os.Getuid() != 0 && needsRoot(t, file) {
				return
			}
			inNamespace(t, caller, engine, file, uid, gid)
		})
	}
}

// modes is a line of a script that takes long and does not depend on who calls it on which engine: the modes it runs in.
var modes = regexp.MustCompile(`(?m)^only (.*)$`)

func onlyIn(t *testing.T, file, caller, engine string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := modes.FindSubmatch(text)
	return m != nil && os.Getuid() == 0 && !hollow && !controlsOnly && !slices.Contains(strings.Fields(string(m[1])), caller+"/"+engine)
}

// needsRoot says whether only root can furnish a script's world: device nodes and a layer over /etc.
func needsRoot(t *testing.T, file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^(tun$|layout )`).Match(text) {
		return false
	}
	loud := "NOT RUN: " + filepath.Base(file) + " takes root to set up"
	if os.Getenv("CI") == "true" {
		t.Error(loud)
	}
	fmt.Fprintln(os.Stderr, "e2e: "+loud)
	return true
}

// inNamespace has one script told by another process, in its own world.
func inNamespace(t *testing.T, caller, engine, file string, uid, gid int) {
	dir, err := os.MkdirTemp(filepath.Join(place, "worlds"), "w")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(place, "bin")
	args := []string{"-script", file, "-dir", dir}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if os.Getuid() == 0 {
		args = append(args, "-uid", fmt.Sprint(uid), "-gid", fmt.Sprint(gid))
	} else { // the same, as far as a user can: with capabilities in a user namespace of one's own
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attr.AmbientCaps = []uintptr{1, 10, 12, 13, 21} // DAC_OVERRIDE, NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_ADMIN
	}
	args = append(args, "--", filepath.Join(bin, "e2e.test"), "-test.run=^TestNet$", "-test.timeout=20m")
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command(filepath.Join(bin, "internet"), args...)
	cmd.Dir = place
	cmd.Env = []string{"HOME=/nonexistent", "PATH=" + searchPath(), "AIGATE_E2E_PLACE=" + place,
		"AIGATE_E2E_SCRIPT=" + strings.Join([]string{caller, engine, file, dir}, " ")}
	for _, name := range []string{"CI", "AIGATE_E2E", "AIGATE_E2E_KEEP"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// tellStory is the other process: it runs one script, here and now.
func tellStory(t *testing.T, script []string) {
	caller, engine, file, world := script[0], script[1], script[2], script[3]
	n := &netStory{work: &work{story: &story{T: t, caller: caller, engine: engine, script: file}}, world: world}
	defer n.judge()
	testscript.RunT(n.story, testscript.Params{
		Files:               []string{file},
		WorkdirRoot:         filepath.Join(place, caller, engine[:1], "net"),
		Setup:               n.setup,
		Cmds:                n.commands(),
		Condition:           n.condition,
		Deadline:            time.Now().Add(18 * time.Minute),
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
	})
}

// netStory is a story whose commands run in a world of their own.
type netStory struct {
	*work
	world string // the folder of its internet
}

func (n *netStory) setup(env *testscript.Env) error {
	if err := n.work.setup(env); err != nil {
		return err
	}
	ca := filepath.Join(n.world, "ca.pem")
	full := ""
	if os.Getenv("AIGATE_E2E") == "full" {
		full = "1"
	}
	for name, value := range map[string]string{
		"WORLD": n.world, "FULL": full, "HOST_NETNS": readlink("/proc/self/ns/net"),
		"SSL_CERT_FILE": ca, "NODE_EXTRA_CA_CERTS": ca, "CURL_CA_BUNDLE": ca, "GIT_SSL_CAINFO": ca, "REQUESTS_CA_BUNDLE": ca, "PIP_CERT": ca,
		"GIT_SSH_COMMAND": "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
	} {
		env.Vars = append(env.Vars, name+"="+value)
		n.names[name] = true
	}
	return nil
}

func readlink(path string) string {
	to, _ := os.Readlink(path)
	return to
}

func (n *netStory) commands() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := n.work.commands()
	maps.Copy(cmds, map[string]func(*testscript.TestScript, bool, []string){
		"heard":   n.heard,
		"forget":  n.forget,
		"told":    n.told,
		"listens": n.listens,
		"only":    func(*testscript.TestScript, bool, []string) {}, // see modes
	})
	return cmds
}

func (n *netStory) condition(cond string) (bool, error) {
	if cond == "full" {
		return os.Getenv("AIGATE_E2E") == "full", nil
	}
	return n.work.condition(cond)
}

// heard REGEXP: the internet was told something like that since the last forget: a line of
//
//	wire tcp 203.0.113.66:443                                         any packet that left the machine
//	dns evil.test A udp                                               a query
//	tls sni=evil.test addr=203.0.113.66:443                           a handshake
//	http host=evil.test sni=- addr=203.0.113.66:80 HTTP/1.1 GET /     a request
//	raw 203.0.113.10:9 "bytes", udp 203.0.113.10:7 "bytes", ssh user=git addr=203.0.113.33:22
func (n *netStory) heard(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] heard regexp")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	limit := 3 * time.Second
	if neg {
		limit = 100 * time.Millisecond // what is under way arrives
	}
	if neg {
		n.settle(ts)
	}
	var text string
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		text = n.log(ts)
		if found := want.FindString(text); found != "" {
			if neg {
				ts.Fatalf("LEFT: the internet heard %q\n%s", found, text)
			}
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	if !neg {
		ts.Fatalf("the internet did not hear %q, but\n%s", args[0], text)
	}
}

// marker is where settle sends its packets; they are no part of what was heard.
const marker = "203.0.113.254"

var markers = regexp.MustCompile(`(?m)^wire udp ` + regexp.QuoteMeta(marker) + `:\d+\n`)

func (n *netStory) log(ts *testscript.TestScript) string {
	text, err := os.ReadFile(filepath.Join(n.world, "log"))
	ts.Check(err)
	return string(markers.ReplaceAll(text, nil))
}

// settle waits until all packets that left so far are in the log: packets are told of in their order, and the last one
// is the marker.
func (n *netStory) settle(ts *testscript.TestScript) {
	c, err := net.Dial("udp", net.JoinHostPort(marker, strconv.Itoa(20000+rand.IntN(40000))))
	ts.Check(err)
	defer c.Close()
	_, err = c.Write([]byte("marker"))
	ts.Check(err)
	line := "wire udp " + c.RemoteAddr().String() + "\n"
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(n.world, "log"))
		ts.Check(err)
		if strings.Contains(string(text), line) {
			return
		}
	}
	ts.Fatalf("the internet does not hear")
}

// forget empties what the internet heard.
func (n *netStory) forget(ts *testscript.TestScript, neg bool, args []string) {
	n.settle(ts)
	ts.Check(os.Truncate(filepath.Join(n.world, "log"), 0))
}

// listens PORT|PATH|@NAME... waits until somebody on this machine takes connections there.
func (n *netStory) listens(ts *testscript.TestScript, neg bool, args []string) {
	for _, what := range args {
		listening := regexp.MustCompile(`(?m)^\w+: \w+ \w+ 00010000 0001 01 +\d+ ` + regexp.QuoteMeta(what) + `$`)
		if port, err := strconv.Atoi(what); err == nil {
			listening = regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: \w+:%04X \w+:0000 0A `, port))
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			var all []byte
			for _, table := range []string{"tcp", "tcp6", "unix"} {
				text, err := os.ReadFile("/proc/net/" + table)
				ts.Check(err)
				all = append(all, text...)
			}
			if listening.Match(all) {
				break
			}
			if time.Now().After(end) {
				ts.Fatalf("nobody listens on %s:\n%s", what, all)
			}
		}
	}
}

// told REGEXP: the audit log has a line like that.
func (n *netStory) told(ts *testscript.TestScript, neg bool, args []string) {
	text, err := os.ReadFile(filepath.Join(ts.Getenv("HOME"), ".aigate/audit.jsonl"))
	if err != nil && !neg {
		ts.Check(err)
	}
	if found := regexp.MustCompile("(?m)" + args[0]).Match(text); found == neg {
		ts.Fatalf("the audit log has\n%s", text)
	}
}

// prepareNet builds what these scripts need beside the rest.
func prepareNet() error {
	if err := os.Mkdir(filepath.Join(place, "worlds"), 0o755); err != nil {
		return err
	}
	return build("./internet", filepath.Join(place, "bin/internet"))
}
