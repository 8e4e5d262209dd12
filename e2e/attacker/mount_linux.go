package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	add("umount PATH", func(a []string) error { return unix.Unmount(a[0], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) })
	add("bind FROM TO", func(a []string) error { return unix.Mount(a[0], a[1], "", unix.MS_BIND, "") })
	add("remount-rw PATH", remountRW)
	add("setattr-rw PATH", setattrRW)
	add("clone-tree FROM TO", func(a []string) error { return cloneTree(a, 0) })
	add("clone-tree-rec FROM TO", func(a []string) error { return cloneTree(a, unix.AT_RECURSIVE) })
	add("open-tree-read FOLDER NAME", openTreeRead)
	add("tree-wait FOLDER READY GO NAME", treeWait)
	add("move-mount FROM TO", moveMount)
	add("pivot NEW", pivot)
	add("chroot-escape FILE", chrootEscape)
	add("mounted FS TARGET OPTIONS", func(a []string) error { return unix.Mount("none", a[1], a[0], 0, a[2]) })
	add("setns PID KINDS CMD...", setns)
}

func remountRW(a []string) error {
	return unix.Mount("", a[0], "", unix.MS_REMOUNT|unix.MS_BIND, "")
}

func setattrRW(a []string) error {
	return unix.MountSetattr(unix.AT_FDCWD, a[0], unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
}

func cloneTree(a []string, flags uint) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, a[0], unix.OPEN_TREE_CLONE|flags)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, a[1], unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// openTreeRead reads a file below a detached copy of a folder, where whatever was mounted over it is gone.
func openTreeRead(a []string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, a[0], unix.OPEN_TREE_CLONE)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	f, err := unix.Openat(fd, a[1], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := unix.Read(f, buf)
	if n <= 0 {
		return fmt.Errorf("empty %v", err)
	}
	fmt.Print(string(buf[:n]))
	return nil
}

// treeWait keeps a detached copy of a folder, says so in READY, waits for GO and reads NAME through the copy.
func treeWait(a []string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, a[0], unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	if err := os.WriteFile(a[1], []byte("ready\n"), 0o644); err != nil {
		return err
	}
	for range 500 {
		if _, err := os.Stat(a[2]); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	f, err := unix.Openat(fd, a[3], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := unix.Read(f, buf)
	if n <= 0 {
		return fmt.Errorf("empty %v", err)
	}
	fmt.Print(string(buf[:n]))
	return nil
}

func moveMount(a []string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, a[0], 0)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, a[1], unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// pivot makes NEW the root, lets go of the old one and shows the mounts that are left.
func pivot(a []string) error {
	if err := unix.Chdir(a[0]); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

// chrootEscape leaves a chroot by the oldest trick there is, and reads FILE from whatever root it comes to.
func chrootEscape(a []string) error {
	dir, err := os.MkdirTemp(os.Getenv("JAIL"), "jail")
	if err != nil {
		return err
	}
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	text, err := os.ReadFile(a[0])
	fmt.Print(string(text))
	if err == nil && len(text) == 0 {
		return fmt.Errorf("empty")
	}
	return err
}

// setns enters another process's namespaces by pidfd and runs CMD there. A Go program has many threads, so the
// user and mount namespaces are not for it; nsenter(1) is tried for those.
func setns(a []string) error {
	pid := 0
	if _, err := fmt.Sscan(a[0], &pid); err != nil {
		return err
	}
	flags := map[rune]int{'n': unix.CLONE_NEWNET, 'i': unix.CLONE_NEWIPC, 'p': unix.CLONE_NEWPID}
	all := 0
	for _, k := range a[1] {
		all |= flags[k]
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	if err := unix.Setns(fd, all); err != nil {
		return err
	}
	path, err := exec.LookPath(a[2])
	if err != nil {
		return err
	}
	return unix.Exec(path, a[2:], os.Environ())
}
