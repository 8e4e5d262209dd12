// Command internet stands in for the internet, and for the machine that aigate is called on. It makes two network
// namespaces with a cable between them: in one runs the test, in the other every address of the world answers.
//
//	internet -script FILE -dir DIR [-uid N -gid N] -- CMD...
//
// What the world looks like is the part «internet» of the script (see zone.go); DIR/log tells all that it heard, DIR/ca.pem
// is whom its certificates are signed by. Nothing of the real network is touched, and all of it ends with CMD.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The addresses at both ends of the cable.
const (
	hostV4, worldV4 = "10.77.0.2", "10.77.0.1"
	hostV6, worldV6 = "2001:db8:77::2", "2001:db8:77::1"
	hostsResolver   = "203.0.113.53"
)

type flags struct {
	script, dir string
	uid, gid    int
	serve       bool
}

func main() {
	var f flags
	flag.StringVar(&f.script, "script", "", "the script whose part «internet» is the zone")
	flag.StringVar(&f.dir, "dir", "", "where log, ca.pem and the like go")
	flag.IntVar(&f.uid, "uid", -1, "whom CMD runs as")
	flag.IntVar(&f.gid, "gid", -1, "and its group")
	flag.BoolVar(&f.serve, "serve", false, "be the world's end of the cable (internal)")
	flag.Parse()
	do := host
	if f.serve {
		do = world
	}
	status, err := do(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "internet:", err)
		status = 1
	}
	os.Exit(status)
}

// host is the machine's end: it finds itself in namespaces of its own, furnishes them and runs the command there.
func host(f flags) (int, error) {
	// Parent-death signals belong to the thread that forks, and ambient capabilities to the one that execs.
	runtime.LockOSThread()
	z, err := readZone(f.script)
	if err != nil {
		return 0, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("mounts of our own: %w", err)
	}
	l, err := openLog(filepath.Join(f.dir, "log"))
	if err != nil {
		return 0, err
	}
	serve := exec.Command("/proc/self/exe", "-serve", "-script", f.script, "-dir", f.dir)
	serve.Stderr = os.Stderr
	serve.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := serve.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := serve.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := serve.Start(); err != nil {
		return 0, err
	}
	defer serve.Wait()
	defer serve.Process.Kill()
	if err := ip(`link set lo up
link add eth0 type veth peer name eth0 netns ` + fmt.Sprint(serve.Process.Pid) + `
addr add ` + hostV4 + `/24 dev eth0
addr add ` + hostV6 + `/64 dev eth0 nodad
link set eth0 up
route add default via ` + worldV4 + `
route add ::/0 via ` + worldV6); err != nil {
		return 0, err
	}
	fmt.Fprintln(in, "the cable is in")
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, fmt.Errorf("the world did not start: %q %w", line, err)
	}
	if err := furnish(z, f.dir); err != nil {
		return 0, err
	}
	if z.stub != "" {
		if err := serveDNS(z, l, z.stub); err != nil {
			return 0, err
		}
	}
	return command(f)
}

// command runs the command to its end, without what we have and it must not: capabilities.
func command(f flags) (int, error) {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return 0, err
	}
	cmd := exec.Command(flag.Arg(0), flag.Args()[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if f.uid >= 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(f.uid), Gid: uint32(f.gid), Groups: []uint32{uint32(f.gid)}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() { cmd.Process.Signal(<-stop) }()
	err := cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return 0, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, fmt.Errorf("the command: %v", cmd.ProcessState)
}

// openTun puts a node over /dev/net/tun that everybody may open. Only root can make one; for others the machine's has to do.
func openTun(dir string) error {
	if unix.Access("/dev/net/tun", unix.R_OK|unix.W_OK) == nil && os.Getuid() != 0 {
		return nil
	}
	at := filepath.Join(dir, "dev")
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	node := filepath.Join(at, "tun")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("a /dev/net/tun for everybody (which takes root): %w", err)
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	return unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, "")
}

// furnish puts the files in place by which the machine finds names.
func furnish(z *zone, dir string) error {
	if z.tun {
		if err := openTun(dir); err != nil {
			return err
		}
	}
	resolv := z.resolv
	if resolv == "" {
		resolv = "nameserver " + hostsResolver + "\n"
	}
	files := map[string]string{"/etc/resolv.conf": resolv, "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n" + z.hosts}
	if z.layout != "" {
		return furnishLinked(z, dir, files)
	}
	for path, text := range files {
		own := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// furnishLinked lays /etc/resolv.conf out as distributions do: a link to z.layout. /etc and /run become layers over
// the machine's own, so that nothing of them changes outside of these namespaces.
func furnishLinked(z *zone, dir string, files map[string]string) error {
	layers := filepath.Join(dir, "layers")
	if err := os.Mkdir(layers, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", layers, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, at := range []string{"etc", "run"} {
		up, work := filepath.Join(layers, at), filepath.Join(layers, at+".work")
		for _, d := range []string{up, work} {
			if err := os.Mkdir(d, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount("overlay", "/"+at, "overlay", 0, "lowerdir=/"+at+",upperdir="+up+",workdir="+work); err != nil {
			return fmt.Errorf("a layer over /%s: %w", at, err)
		}
	}
	if err := os.WriteFile("/etc/hosts", []byte(files["/etc/hosts"]), 0o644); err != nil {
		return err
	}
	if err := os.Remove("/etc/resolv.conf"); err != nil {
		return err
	}
	if z.layout == "absent" {
		return nil
	}
	if err := os.Symlink(z.layout, "/etc/resolv.conf"); err != nil {
		return err
	}
	to := z.layout
	if !filepath.IsAbs(to) {
		to = filepath.Join("/etc", to)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, []byte(files["/etc/resolv.conf"]), 0o644)
}

// world is the other end: every address is local here, and what serves listens on all of them.
func world(f flags) (int, error) {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 0, err
	}
	// The local table comes first and would take the machine's own addresses for local, too.
	if err := ip(`link set lo up
addr add ` + worldV4 + `/24 dev eth0
addr add ` + worldV6 + `/64 dev eth0 nodad
link set eth0 up
route add 10.77.0.0/24 dev eth0 table local
route add 2001:db8:77::/64 dev eth0 table local
route add local default dev lo table local
route add local ::/0 dev lo table local`); err != nil {
		return 0, err
	}
	// Answers come from the address that was asked, which no interface here has.
	if err := os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0); err != nil {
		return 0, err
	}
	z, err := readZone(f.script)
	if err != nil {
		return 0, err
	}
	l, err := openLog(filepath.Join(f.dir, "log"))
	if err != nil {
		return 0, err
	}
	w := &site{zone: z, log: l, dir: f.dir}
	for _, start := range []func() error{
		func() error { return watchWire(l) },
		func() error { return serveDNS(z, l, ":53") },
		w.serveWeb, w.serveRaw, w.serveSSH,
	} {
		if err := start(); err != nil {
			return 0, err
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin) // until the machine's end is gone
	return 0, err
}

// ip gives lines to ip(8).
func ip(batch string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s", err, out)
	}
	return nil
}
