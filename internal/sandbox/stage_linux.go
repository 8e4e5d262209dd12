package sandbox

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// order is what the stage has to know; readOrder reads it. It goes through a
// file, for bwrap is started before most of it is known.
func order(w inward) []byte {
	bits := ""
	for _, b := range w.flags() {
		bits += strconv.Itoa(b2i(*b))
	}
	fields := []string{bits, w.dir, w.cmd.Path, insideText(w.limits)}
	for _, list := range [][]string{w.sights, w.cmd.Args} {
		fields = append(append(fields, strconv.Itoa(len(list))), list...)
	}
	return []byte(strings.Join(append(fields, w.cmd.Env...), "\x00"))
}

func readOrder(text string) (w inward, ok bool) {
	f := strings.Split(text, "\x00")
	flags := w.flags()
	if len(f) < 4 || len(f[0]) != len(flags) {
		return w, false
	}
	for i, b := range flags {
		*b = f[0][i] == '1'
	}
	w.dir, w.cmd.Path = f[1], f[2]
	if w.limits, ok = readInside(f[3]); !ok {
		return w, false
	}
	f = f[4:]
	for _, list := range []*[]string{&w.sights, &w.cmd.Args} {
		if len(f) == 0 {
			return w, false
		}
		n, err := strconv.Atoi(f[0])
		if err != nil || n < 0 || n > len(f)-1 {
			return w, false
		}
		*list, f = f[1:1+n:1+n], f[1+n:]
	}
	w.cmd.Env = f
	return w, true
}

// flags are all that is yes or no.
func (w *inward) flags() []*bool {
	b := &w.bare
	return []*bool{&w.wantPTY, &w.pty[0], &w.pty[1], &w.pty[2], &w.foreground, &w.scope, &w.inner, &w.execs, &w.exposed,
		&b.namespace, &b.gate, &b.netfilter, &b.firewall, &b.ipv6}
}

// The inner stage begins before the packages initialize that only the rest of
// aigate needs.
func init() {
	if len(os.Args) == 2 && os.Args[1] == stageArg {
		runStage()
	}
}

// awaitOrder waits until the order is written: bubblewrap makes the frame while the
// supervisor finds out what else there is. Without a supervisor there is none.
func awaitOrder() {
	var word [8]byte
	for {
		n, _, err := unix.Recvfrom(stageSock, word[:], 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n == 1:
			return
		}
		fmt.Fprintln(os.Stderr, "[aigate] the inner stage is started by aigate alone")
		os.Exit(1)
	}
}

// runStage is the inner stage. It does not return.
func runStage() {
	var w inward
	awaitOrder()
	text, err := io.ReadAll(io.NewSectionReader(os.NewFile(stageOrder, "order"), 0, 1<<30))
	ok := err == nil && os.Getpid() == 1
	if ok {
		w, ok = readOrder(string(text))
	}
	if !ok {
		fmt.Fprintln(os.Stderr, "[aigate] the inner stage is started by aigate alone")
		os.Exit(1)
	}
	w.sock = stageSock
	runtime.LockOSThread()
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
	in.waitGo(p) // until what is mounted from outside is in place
	p.enterTop()
	in.finish(w, o, nil)
	all := ^uint64(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, ptrOf(&all), 0, 8, 0, 0)
	in.start()
}
