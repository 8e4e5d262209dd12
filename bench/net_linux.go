package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A peer is one way from a client to the server.
type peer struct {
	name  string
	in    io.WriteCloser
	out   *bufio.Scanner
	relay int // the process that carries the bytes, 0 for none
	end   func()
}

// ask has the peer's client do something and gives its figure.
func (r *peer) ask(order string) (float64, error) {
	if _, err := fmt.Fprintln(r.in, order); err != nil {
		return 0, err
	}
	if !r.out.Scan() {
		return 0, fmt.Errorf("%s: %s: the client is gone", r.name, order)
	}
	v, err := strconv.ParseFloat(r.out.Text(), 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %s", r.name, order, r.out.Text())
	}
	return v, nil
}

// start runs the client by cmd.
func (r *peer) start(cmd *exec.Cmd) (err error) {
	if r.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	r.out = bufio.NewScanner(out)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	r.end = func() {
		r.in.Close()
		cmd.Wait()
	}
	return nil
}

// slirpFlags are those of a bwrap that slirp4netns is to join.
var slirpFlags = []string{"--unshare-user", "--unshare-pid", "--unshare-net", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc",
	"--dev", "/dev", "--info-fd", "3", "--block-fd", "4"}

// startSlirp is bwrap and slirp4netns by hand, as scripts do it: bwrap waits,
// tells the pid of its child, slirp4netns configures the interface and says
// that it is ready. It gives slirp4netns, which the caller ends.
func startSlirp(bwrap *exec.Cmd, start func() error) (*exec.Cmd, error) {
	info, infoW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	block, blockW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	for _, f := range []*os.File{info, blockW, ready} {
		defer f.Close()
	}
	bwrap.ExtraFiles = []*os.File{infoW, block}
	err = start()
	infoW.Close()
	block.Close()
	if err != nil {
		readyW.Close()
		return nil, err
	}
	said, _ := io.ReadAll(info)
	_, rest, _ := strings.Cut(string(said), `"child-pid": `)
	pid := rest[:max(strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' }), 0)]
	s := exec.Command("slirp4netns", "--configure", "--mtu=65520", "--ready-fd=3", "--userns-path=/proc/"+pid+"/ns/user", pid, "tap0")
	s.ExtraFiles = []*os.File{readyW}
	s.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = s.Start()
	readyW.Close()
	if err != nil {
		return nil, err
	}
	if n, _ := ready.Read(make([]byte, 1)); n == 0 {
		s.Wait()
		return nil, fmt.Errorf("slirp4netns did not start; is /dev/net/tun open to this user?")
	}
	_, err = blockW.Write([]byte("x"))
	return s, err
}

func endSlirp(s *exec.Cmd) {
	s.Process.Kill()
	s.Wait()
}

// peers starts a client on every way there is.
func (p *place) peers(dir string) ([]*peer, error) {
	self := filepath.Join(p.dir, "bench")
	direct := &peer{name: "direct"}
	if err := direct.start(exec.Command(self, clientArg, worldAddr, webPort(0))); err != nil {
		return nil, err
	}
	slirp := &peer{name: "slirp4netns"}
	var s *exec.Cmd
	for try := 0; ; try++ {
		c := exec.Command("bwrap", append(append([]string{}, slirpFlags...), "--", self, clientArg, worldAddr, webPort(1))...)
		var err error
		if s, err = startSlirp(c, func() error { return slirp.start(c) }); err == nil {
			if _, err = slirp.ask("idle 0"); err == nil {
				break
			}
			endSlirp(s)
		}
		if slirp.end(); try == 50 {
			return nil, err
		}
	}
	slirp.relay = s.Process.Pid
	end := slirp.end
	slirp.end = func() { end(); endSlirp(s) }
	all := []*peer{direct, slirp}
	for i, gate := range []string{"tproxy", "ports"} {
		r := &peer{name: "aigate"}
		if gate == "ports" {
			r.name = "aigate, no nf_tables"
		}
		c := p.inside("native", dir, "--", self, clientArg, worldName, webPort(2+i))
		c.Env = append(c.Env, "AIGATE_GATE="+gate)
		if err := r.start(c); err != nil {
			return nil, err
		}
		r.relay = c.Process.Pid
		all = append(all, r)
	}
	return all, nil
}

// A line of the table: an order, and what is shown of its figures.
type measure struct {
	name, order string
	rounds      int
	rate        float64 // shown is rate / figure
	unit        string
}

const (
	amount = 512 << 20
	idle   = 100
	many   = 1000
)

var measures = []measure{
	{"one stream down", fmt.Sprint("down ", amount), 7, float64(amount) / (1 << 30), "GiB/s"},
	{"one stream up", fmt.Sprint("up ", amount), 7, float64(amount) / (1 << 30), "GiB/s"},
	{"requests, 1 connection kept", "web 3000 1", 9, 1e6, "/s"},
	{"requests, 16 connections kept", "web 8000 16", 9, 1e6, "/s"},
	{"a connection for each request", "conns 500", 9, 1e6, "/s"},
	{"", fmt.Sprint("idle ", idle), 1, 0, ""},
	{fmt.Sprintf("one stream down, %d connections idle", idle), fmt.Sprint("down ", amount), 7, float64(amount) / (1 << 30), "GiB/s"},
	{fmt.Sprintf("one stream up, %d connections idle", idle), fmt.Sprint("up ", amount), 7, float64(amount) / (1 << 30), "GiB/s"},
}

// benchNet is the gate beside a bare loopback connection and slirp4netns.
func benchNet(p *place, w io.Writer) error {
	if err := serveNet(); err != nil {
		return err
	}
	dir, err := p.project("net")
	if err != nil {
		return err
	}
	rules := []string{"deny", "net", "--except", worldName, "--except", worldName + ":" + streamPort}
	for i := range peersMost {
		rules = append(rules, "--except", worldName+":"+webPort(i))
	}
	if err := quietly(p.command(p.dir, rules...)); err != nil {
		return err
	}
	if err := benchNetStart(p, dir, w); err != nil {
		return err
	}
	all, err := p.peers(dir)
	if err != nil {
		return err
	}
	for _, r := range all {
		defer r.end()
	}
	before := make([]string, len(all))
	for i, r := range all {
		if _, err := r.ask("idle 1"); err != nil { // it has begun
			return err
		}
		before[i] = resident(r.relay)
	}
	fmt.Fprintf(w, "### Network\n\nA client inside and a server outside, on the same machine: directly over loopback, out of bwrap through slirp4netns (with the largest packets it knows), and out of aigate to an allowed name, every request's `Host` judged. Medians of interleaved rounds; in brackets, × direct.\n\n")
	head := []string{""}
	for _, r := range all {
		head = append(head, r.name)
	}
	t := table{head}
	var single []float64
	for _, m := range measures {
		figures, err := rounds(all, m)
		if err != nil {
			return err
		}
		if m.name == "" {
			continue
		}
		row := []string{m.name}
		for _, f := range figures {
			row = append(row, fmt.Sprintf("%s (%.2f)", shown(m.rate/f, m.unit), figures[0]/f))
		}
		t.row(row...)
		if strings.HasPrefix(m.order, "conns") {
			single = figures
		}
	}
	row := []string{"added until the first byte of an answer"}
	for _, f := range single {
		row = append(row, fmt.Sprintf("%.2f ms", max(0, f-single[0])/1000))
	}
	t.row(row...)
	if _, err := rounds(all, measure{order: fmt.Sprint("idle ", many), rounds: 1}); err != nil {
		return err
	}
	row, holds := []string{"memory of the relay"}, []string{fmt.Sprintf("memory, %d connections open", many)}
	for i, r := range all {
		row, holds = append(row, before[i]), append(holds, resident(r.relay))
	}
	t.row(row...)
	t.row(holds...)
	t.print(w)
	return nil
}

// rounds asks every peer in turns and gives the median of each.
func rounds(all []*peer, m measure) ([]float64, error) {
	figures := make([][]float64, len(all))
	warm := 1
	if m.rounds == 1 {
		warm = 0
	}
	for round := -warm; round < m.rounds; round++ {
		for i := range all {
			at := (i + round + warm) % len(all)
			v, err := all[at].ask(m.order)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				figures[at] = append(figures[at], v)
			}
		}
	}
	medians := make([]float64, len(all))
	for i, f := range figures {
		medians[i] = quantile(f, 0.5)
	}
	return medians, nil
}

func shown(v float64, unit string) string {
	if unit == "GiB/s" {
		return fmt.Sprintf("%.2f GiB/s", v)
	}
	return fmt.Sprintf("%.0f%s", v, unit)
}

func resident(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if pid == 0 || err != nil {
		return ""
	}
	return mebibytes(text, "VmRSS")
}

// benchNetStart is the start with a list, beside bwrap that has no network and
// bwrap with slirp4netns.
func benchNetStart(p *place, dir string, w io.Writer) error {
	twin, err := p.project("net-twin")
	if err != nil {
		return err
	}
	steps, err := p.plan(twin)
	if err != nil {
		return err
	}
	bare := p.bareBwrap(steps, twin, false)
	flags := bare.Args[1 : len(bare.Args)-1]
	starts, failed := 0, 0
	slirp := &series{name: "the same and slirp4netns"}
	once := func() error {
		c := exec.Command("bwrap", append(append([]string{"--info-fd", "3", "--block-fd", "4"}, flags...), "true")...)
		c.Dir = twin
		s, err := startSlirp(c, c.Start)
		if err != nil {
			c.Wait()
			return err
		}
		err = c.Wait()
		endSlirp(s)
		return err
	}
	slirp.run = func() (err error) {
		for range 50 { // bwrap and slirp4netns at times do not wait for each other
			start := time.Now()
			starts++
			if err = once(); err == nil {
				slirp.took = time.Since(start)
				return nil
			}
			failed++
		}
		return err
	}
	all := []*series{
		again("bare bwrap, namespaces and folders, no network", bare),
		again("bare bwrap, all mounts of the plan, no network", p.bareBwrap(steps, twin, true)),
		slirp,
		again("aigate with a list, engine native", p.inside("native", dir, "--", "true")),
		again("aigate with a list, engine bwrap", p.inside("bwrap", dir, "--", "true")),
	}
	if err := interleave(p.rounds, all...); err != nil {
		return err
	}
	fmt.Fprintf(w, "### Start-up with a network\n\n`true`, with rules for %s in `allow_net`; %d interleaved rounds.\n\n", worldName, p.rounds)
	t := table{{"", "median", "p10", "× bare bwrap", "× with all mounts"}}
	for _, s := range all {
		t.row(s.name, ms(s.median()), ms(s.p10()), times(s.median(), all[0].median()), times(s.median(), all[1].median()))
	}
	t.print(w)
	fmt.Fprintf(w, "Of %d starts with slirp4netns %d failed, as bwrap and it do not always wait for each other; these were tried again and are not counted. No other start failed.\n\n", starts, failed)
	return nil
}
