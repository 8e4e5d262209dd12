package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageCommand is the stage's arguments; Stage reads them back.
func stageCommand(w inward) []string {
	bits := ""
	for _, b := range []bool{w.wantPTY, w.pty[0], w.pty[1], w.pty[2], w.foreground, w.scope, w.inner} {
		bits += strconv.Itoa(b2i(b))
	}
	return append([]string{StageArg, bits, w.dir, w.cmd.Path}, w.cmd.Args...)
}

// Stage runs the inner stage; args are the process's arguments behind
// StageArg. It does not return.
func Stage(args []string) {
	if len(args) < 4 || len(args[0]) != 7 || os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "[aigate] the inner stage is started by aigate alone")
		os.Exit(1)
	}
	runtime.LockOSThread()
	bit := func(i int) bool { return args[0][i] == '1' }
	w := inward{
		sock: stageSock, wantPTY: bit(0), pty: [3]bool{bit(1), bit(2), bit(3)}, foreground: bit(4), scope: bit(5), inner: bit(6),
		dir: args[1], cmd: Command{Path: args[2], Args: args[3:], Env: os.Environ()},
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
