package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageCommand is the stage's arguments; Stage reads them back.
func stageCommand(w inward) []string {
	bits := ""
	for _, b := range []bool{w.wantPTY, w.pty[0], w.pty[1], w.pty[2], w.foreground, w.scope, w.inner, w.bare.namespace, w.bare.gate, w.bare.netfilter, w.bare.firewall, w.bare.ipv6} {
		bits += strconv.Itoa(b2i(b))
	}
	pwd, _ := lookUp(w.cmd.Env, "PWD")
	return append([]string{StageArg, bits, w.dir, pwd, w.cmd.Path}, w.cmd.Args...)
}

func lookUp(env []string, name string) (string, bool) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// withPWD gives the payload the PWD that the caller had: bwrap sets its own.
func withPWD(env []string, pwd string) (out []string) {
	for _, e := range env {
		if !strings.HasPrefix(e, "PWD=") {
			out = append(out, e)
		}
	}
	if pwd != "" {
		out = append(out, "PWD="+pwd)
	}
	return out
}

// Stage runs the inner stage; args are the process's arguments behind
// StageArg. It does not return.
func Stage(args []string) {
	if len(args) < 5 || len(args[0]) != 12 || os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "[aigate] the inner stage is started by aigate alone")
		os.Exit(1)
	}
	runtime.LockOSThread()
	bit := func(i int) bool { return args[0][i] == '1' }
	w := inward{
		sock: stageSock, wantPTY: bit(0), pty: [3]bool{bit(1), bit(2), bit(3)}, foreground: bit(4), scope: bit(5), inner: bit(6),
		bare: bare{bit(7), bit(8), bit(9), bit(10), bit(11)},
		dir:  args[1], cmd: Command{Path: args[3], Args: args[4:], Env: withPWD(os.Environ(), args[2])},
	}
	o, err := signals()
	if err != nil {
		fmt.Fprintln(os.Stderr, "[aigate] read the signal state:", err)
		os.Exit(1)
	}
	in, err := newInner(stageSock)
	if err != nil {
		fmt.Fprintln(os.Stderr, "[aigate]", err)
		os.Exit(1)
	}
	p := &in.setup
	in.handOutNetwork(p, w.bare)
	for fd := range 3 {
		p.call("pass a descriptor on", unix.SYS_DUP3, stageIn+fd, fd, 0)
	}
	p.call("close descriptors", unix.SYS_CLOSE_RANGE, stageSock+1, int(^uint32(0)), 0)
	p.call("make a session", unix.SYS_SETSID)
	in.handOut(w)
	in.finish(w, o, nil)
	all := ^uint64(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, ptrOf(&all), 0, 8, 0, 0)
	in.start()
}
