package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// worldArg as the first argument makes this program furnish the namespaces
// that it was started in and measure there, as the uid that follows.
const worldArg = "__world"

// What the network is measured with: one name, one address, on loopback.
const (
	worldName, worldAddr = "bench.test", "203.0.113.1"
)

// inWorld is a command that runs this program in a network of its own, where
// worldName is a server's name and, for root, /dev/net/tun is everybody's.
func inWorld(ctx context.Context, dir string, args []string) *exec.Cmd {
	uid, gid := os.Getuid(), os.Getgid()
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid == 0 {
		uid, gid = plainID, plainID
	} else {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}
	}
	c := exec.CommandContext(ctx, filepath.Join(dir, "bench"), append([]string{worldArg, fmt.Sprint(uid), fmt.Sprint(gid)}, args...)...)
	c.SysProcAttr = attr
	return c
}

// furnishWorld does so and becomes the measuring program.
func furnishWorld(args []string) error {
	runtime.LockOSThread()
	var uid, gid int
	if _, err := fmt.Sscan(args[0], &uid); err != nil {
		return err
	}
	if _, err := fmt.Sscan(args[1], &gid); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	batch := exec.Command("ip", "-batch", "-")
	batch.Stdin = strings.NewReader("link set lo up\naddr add " + worldAddr + "/32 dev lo\n")
	if out, err := batch.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	dir := os.Getenv(placeEnv)
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"+worldAddr+" "+worldName+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if err := openTun(dir); err != nil {
			return err
		}
		if err := errors.Join(unix.Setgroups(nil), unix.Setresgid(gid, gid, gid), unix.Setresuid(uid, uid, uid)); err != nil {
			return err
		}
	} else if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	self := filepath.Join(dir, "bench")
	return unix.Exec(self, append([]string{self}, args[2:]...), os.Environ())
}

// openTun puts a node of its own over /dev/net/tun, as open to everybody as it
// is on most machines: slirp4netns needs it. Nobody sees it but this bench.
func openTun(dir string) error {
	at := filepath.Join(dir, "dev")
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	node := filepath.Join(at, "tun")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return err
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	return unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, "")
}
