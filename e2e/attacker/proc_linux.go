package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("hold FILE READY", hold)
	add("ptrace PID", ptraceAttach)
	add("vm-read PID ADDRESS", vmRead)
	add("mem-read PID ADDRESS", memRead)
	add("pidfd-get PID FD", pidfdGet)
	add("pidfd-signal PID", pidfdSignal)
	add("scan PID...", scan)
	add("kill-all", killAll)
	add("kill PID...", killPids)
	add("caps", caps)
	add("reparent-walk FILE", walkRoots)
}

// hold keeps the content of a file in memory and open, and writes into READY where: PID ADDRESS FD.
func hold(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	text := make([]byte, 256)
	n, err := f.Read(text)
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[1], fmt.Appendf(nil, "%d %d %d\n", os.Getpid(), uintptr(unsafe.Pointer(&text[0])), f.Fd()), 0o644); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	runtime.KeepAlive(text[:n])
	return nil
}

func numbers(args []string) ([]int, error) {
	var out []int
	for _, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func ptraceAttach(args []string) error {
	n, err := numbers(args)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.PtraceAttach(n[0]); err != nil {
		return err
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(n[0], &ws, 0, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(n[0])
}

func vmRead(args []string) error {
	n, err := numbers(args)
	if err != nil {
		return err
	}
	buf := make([]byte, 64)
	local := []unix.Iovec{{Base: &buf[0], Len: 64}}
	remote := []unix.RemoteIovec{{Base: uintptr(n[1]), Len: 64}}
	if _, err := unix.ProcessVMReadv(n[0], local, remote, 0); err != nil {
		return err
	}
	fmt.Println(strings.TrimRight(string(buf), "\x00"))
	return nil
}

func memRead(args []string) error {
	n, err := numbers(args)
	if err != nil {
		return err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", n[0]))
	if err != nil {
		return err
	}
	buf := make([]byte, 64)
	if _, err := f.ReadAt(buf, int64(n[1])); err != nil {
		return err
	}
	fmt.Println(strings.TrimRight(string(buf), "\x00"))
	return nil
}

func pidfdGet(args []string) error {
	n, err := numbers(args)
	if err != nil {
		return err
	}
	p, err := unix.PidfdOpen(n[0], 0)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdGetfd(p, n[1], 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 256)
	k, err := unix.Pread(fd, buf, 0)
	if err != nil {
		return err
	}
	fmt.Println(string(buf[:k]))
	return nil
}

func pidfdSignal(args []string) error {
	n, err := numbers(args)
	if err != nil {
		return err
	}
	p, err := unix.PidfdOpen(n[0], 0)
	if err != nil {
		return err
	}
	return unix.PidfdSendSignal(p, unix.SIGKILL, nil, 0)
}

// needle is what every secret of the tests starts with, put together here so that this program does not find
// itself.
var needle = []byte("hunter" + strconv.Itoa(2) + "-")

// scan looks for a secret in the environment, the command line, the descriptors and the memory of the
// processes named ("all" for every other process there is, which is only done inside a sandbox).
func scan(args []string) error {
	if args[0] == "all" {
		if onHost() {
			return fmt.Errorf("not on the host")
		}
		args = nil
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, d := range dirs {
			if pid := filepath.Base(d); pid != strconv.Itoa(os.Getpid()) {
				args = append(args, pid)
			}
		}
	}
	found := false
	for _, pid := range args {
		for _, name := range []string{"environ", "cmdline"} {
			text, _ := os.ReadFile("/proc/" + pid + "/" + name)
			found = report(pid, name, text) || found
		}
		fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
		for _, p := range fds {
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Size() < 1<<16 {
				text, _ := os.ReadFile(p)
				found = report(pid, "fd/"+filepath.Base(p), text) || found
			}
		}
		found = scanMemory(pid) || found
	}
	if !found {
		return fmt.Errorf("nothing in %d processes", len(args))
	}
	return nil
}

func report(pid, where string, text []byte) bool {
	i := bytes.Index(text, needle)
	if i < 0 {
		return false
	}
	fmt.Printf("/proc/%s/%s: %s\n", pid, where, text[i:min(len(text), i+20)])
	return true
}

func scanMemory(pid string) (found bool) {
	maps, err := os.Open("/proc/" + pid + "/maps")
	if err != nil {
		fmt.Printf("/proc/%s/maps: %v\n", pid, err)
		return false
	}
	defer maps.Close()
	mem, err := os.Open("/proc/" + pid + "/mem")
	if err != nil {
		fmt.Printf("/proc/%s/mem: %v\n", pid, err)
		return false
	}
	defer mem.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		from, to, _ := strings.Cut(f[0], "-")
		start, _ := strconv.ParseUint(from, 16, 64)
		end, _ := strconv.ParseUint(to, 16, 64)
		if !strings.HasPrefix(f[1], "rw") || end-start > 64<<20 {
			continue
		}
		buf := make([]byte, end-start)
		n, _ := mem.ReadAt(buf, int64(start))
		found = report(pid, "mem", buf[:n]) || found
	}
	return found
}

// killAll signals every process it may.
func killAll([]string) error {
	if onHost() {
		return fmt.Errorf("not on the host")
	}
	return unix.Kill(-1, unix.SIGKILL)
}

func killPids(args []string) error {
	n, err := numbers(args)
	if err != nil {
		return err
	}
	for _, pid := range n {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// caps works when this process has any capability, or is not bound by no_new_privs.
func caps([]string) error {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	some := false
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name {
		case "CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd", "NoNewPrivs", "Seccomp":
			fmt.Println(name, value)
		}
		if name == "NoNewPrivs" && value != "1" || name != "CapBnd" && strings.HasPrefix(name, "Cap") && strings.Trim(value, "0") != "" {
			some = true
		}
	}
	if !some {
		return fmt.Errorf("no capability, no_new_privs")
	}
	return nil
}

// walkRoots reads FILE through the root and the working directory of every process there is.
func walkRoots(args []string) error {
	found := false
	for _, way := range []string{"root", "cwd"} {
		dirs, _ := filepath.Glob("/proc/[0-9]*/task/*/" + way)
		for _, d := range dirs {
			for _, p := range []string{d + args[0], d + "/" + filepath.Base(args[0])} {
				if text, err := os.ReadFile(p); err == nil && bytes.Contains(text, needle) {
					fmt.Printf("%s: %s", p, text)
					found = true
				}
			}
		}
	}
	if !found {
		return fmt.Errorf("nothing")
	}
	return nil
}
