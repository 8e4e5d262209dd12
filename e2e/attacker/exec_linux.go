package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add("exec-memfd FILE ARG...", execMemfd)
	add("exec-at FILE ARG...", execAt)
	add("exec-secret FILE ARG...", execSecret)
	add("exec-lease FILE ARG...", execLease)
	add("exec-race LOOKS IS ARG...", execRace)
	add("exec-swarm N FILE", execSwarm)
}

// cstrings are the words of an execve.
func cstrings(words []string) []uintptr {
	out := make([]uintptr, len(words)+1)
	for i, w := range words {
		b, _ := unix.BytePtrFromString(w)
		keep = append(keep, b)
		out[i] = uintptr(unsafe.Pointer(b))
	}
	return out
}

// keep is what the kernel still has to read.
var keep []*byte

func execveat(dir int, path string, args []string, flags int) error {
	b, _ := unix.BytePtrFromString(path)
	argv, env := cstrings(args), cstrings(os.Environ())
	_, _, e := unix.Syscall6(unix.SYS_EXECVEAT, uintptr(dir), uintptr(unsafe.Pointer(b)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), uintptr(flags), 0)
	runtime.KeepAlive(argv)
	return e
}

// execMemfd executes a file that is nowhere but in memory.
func execMemfd(args []string) error {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("memory", 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, text); err != nil {
		return err
	}
	return execveat(fd, "", append([]string{"memory"}, args[1:]...), unix.AT_EMPTY_PATH)
}

// execAt executes a file by its folder, with dots and another name for it.
func execAt(args []string) error {
	dir, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return execveat(dir, args[0], append([]string{"other"}, args[1:]...), 0)
}

// execSecret keeps the path in memory that only this process can read,
// memfd_secret(2), where the kernel has that.
func execSecret(args []string) error {
	page := make([]byte, 4096)
	fd, _, e := unix.Syscall(unix.SYS_MEMFD_SECRET, 0, 0, 0)
	if e != 0 {
		fmt.Fprintln(os.Stderr, "no secret memory here:", e)
	} else if err := unix.Ftruncate(int(fd), 4096); err != nil {
		return err
	} else if page, err = unix.Mmap(int(fd), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return err
	}
	copy(page, args[0]+"\x00")
	argv, env := cstrings(append([]string{"other"}, args[1:]...)), cstrings(os.Environ())
	_, _, e = unix.Syscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(&page[0])), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
	return e
}

// execLease holds a write lease on the file, so that whoever opens it has to wait
// until this process lets go, fcntl(2): when there is a file called go.
func execLease(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return fmt.Errorf("take a lease: %w", err)
	}
	go func() {
		for os.Remove("go") != nil {
			time.Sleep(20 * time.Millisecond)
		}
		unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	}()
	return unix.Exec(args[0], append([]string{"other"}, args[1:]...), os.Environ())
}

// execRace has the kernel be asked for a path of which another thread changes one
// byte: the supervisor is shown LOOKS, and IS is executed. One of a few tries does it.
func execRace(args []string) error {
	looks, is := args[0], args[1]
	if len(looks) != len(is) {
		return errors.New("the paths must be equally long")
	}
	path, _ := unix.BytePtrFromString(looks)
	bytes := unsafe.Slice(path, len(looks))
	argv, env := cstrings(append([]string{"other"}, args[2:]...)), cstrings(os.Environ())
	go func() {
		for {
			copy(bytes, is)
			for range 2000 {
				runtime.KeepAlive(bytes)
			}
			copy(bytes, looks)
			for range 2000 {
				runtime.KeepAlive(bytes)
			}
		}
	}()
	var e syscall.Errno
	for range 1000 {
		_, _, e = unix.Syscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
	}
	return e
}

// execSwarm starts N programs, many at a time: a third is FILE, and a third is
// killed as soon as it is there, or before.
func execSwarm(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var ran, refused, killed atomic.Int32
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			// A shell in between: it waits, and the call is its child's.
			c := exec.Command("/bin/sh", "-c", "exec /bin/true")
			if i%3 == 0 {
				c = exec.Command("/bin/sh", "-c", "exec "+args[1]+" --version")
			}
			if err := c.Start(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			if i%3 == 1 {
				time.Sleep(time.Duration(i%50) * 100 * time.Microsecond)
				c.Process.Kill()
			}
			err := c.Wait()
			switch code := c.ProcessState.ExitCode(); {
			case code == 126:
				refused.Add(1)
			case i%3 == 1:
				killed.Add(1)
			case err == nil:
				ran.Add(1)
			}
		}()
	}
	wg.Wait()
	fmt.Printf("ran %d, refused %d, killed %d\n", ran.Load(), refused.Load(), killed.Load())
	return nil
}
