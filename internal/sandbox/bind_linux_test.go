package sandbox

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestSharedDevices(t *testing.T) {
	const mounts = `21 1 254:0 / / ro,nosuid - ext4 /dev/vda rw
22 21 0:5 / /dev rw - devtmpfs dev rw
23 21 0:30 / /tmp rw - tmpfs tmp rw
24 21 0:31 / /run rw - tmpfs run rw
25 21 0:40 /a /tmp rw - tmpfs tmpfs rw
26 21 0:40 /b /run rw - tmpfs tmpfs rw
27 26 0:40 /k /run/aigate ro - tmpfs tmpfs rw
28 21 0:40 /k/empty /home/u/p/.env ro - tmpfs tmpfs rw
29 25 0:30 /p /tmp/p rw - tmpfs tmp rw
30 21 0:33 / /home/u/with\040blank rw - tmpfs x rw
31 21 0:34 / /srv/disk rw - tmpfs x rw
`
	plan := &Plan{Steps: []Step{{Kind: Root, Path: "/"}, {Kind: Dev, Path: "/dev"}, {Kind: Scratch, Path: "/tmp"}, {Kind: Scratch, Path: "/run"},
		{Kind: Kit, Path: KitDir}, {Kind: Scratch, Path: "/home/u/with blank"}, {Kind: Scratch, Path: "/srv/disk"}, {Kind: Bind, Path: "/srv/disk"}, {Kind: Bind, Path: "/tmp/p"}}}
	want := []uint64{unix.Mkdev(0, 30), unix.Mkdev(0, 34), unix.Mkdev(254, 0)}
	if got := slices.Sorted(maps.Keys(sharedDevices(mounts, plan))); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPathsOfSockets(t *testing.T) {
	for _, c := range []struct{ path, dir, name, inside, way string }{
		{"s", ".", "s", "s", ""},
		{"/s", "/", "s", "s", ""},
		{"/tmp/a/s", "/tmp/a/", "s", "tmp/a/s", "/tmp /tmp/a"},
		{"a//b/s", "a//b/", "s", "a/b/s", "a a//b"},
		{"../../x/./s", "../../x/./", "s", "x/s", ".. ../.. ../../x ../../x/."},
		{"a/../../s", "a/../../", "s", "s", "a a/.. a/../.."},
		{"dir/", "dir/", "", "dir", "dir"},
	} {
		dir, name := splitPath(c.path)
		if got := [4]string{dir, name, insideRoot(c.path), strings.Join(prefixes(c.path), " ")}; got != [4]string{c.dir, c.name, c.inside, c.way} {
			t.Errorf("%s: %q", c.path, got)
		}
	}
}

// The socket goes where the folder is, whatever the path leads to, and its
// address is the path that was asked for.
func TestBindIn(t *testing.T) {
	for _, path := range []string{"/tmp/x/sock", "sock", "../up/sock", strings.Repeat("d/", 53) + "so"} {
		dir := t.TempDir()
		sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(sock)
		name := filepath.Base(path)
		if errno := bindInto(t, sock, dir, path, name); errno != 0 {
			t.Fatalf("%s: %v", path, errno)
		}
		if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || st.Mode() != os.ModeSocket|0o750 {
			t.Errorf("%s: %v %v", path, st, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: left behind: %v", path, entries)
		}
		if own, err := unix.Getsockname(sock); err != nil || own.(*unix.SockaddrUnix).Name != path {
			t.Errorf("%s: bound as %v %v", path, own, err)
		}
		if err := unix.Listen(sock, 1); err != nil {
			t.Fatal(err)
		}
		if c, err := net.Dial("unix", filepath.Join(dir, name)); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		again, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(again)
		if errno := bindInto(t, again, dir, path, name); errno != unix.EADDRINUSE || isBound(again) {
			t.Errorf("%s, a second time: %v", path, errno)
		}
		if !isBound(sock) {
			t.Error("not bound")
		}
	}
}

// bindInto runs the helper's part in namespaces of its own.
func bindInto(t *testing.T, sock int, dir, path, name string) syscall.Errno {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ours, theirs, err := sockets()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ours)
	in, err := newInner(theirs)
	if err != nil {
		t.Fatal(err)
	}
	in.only = true
	p := &in.setup
	p.maps(0, os.Getuid(), 0, os.Getgid())
	d := p.newReg()
	p.call("open", unix.SYS_OPENAT, unix.AT_FDCWD, dir, unix.O_PATH|unix.O_CLOEXEC, 0).into(d)
	b := binding{sock: sock, umask: 0o027}
	// The folder's number is known once the first part has run; here it is made one.
	const folder = 200
	p.call("number", unix.SYS_DUP3, d, folder, 0)
	p.call("umask", unix.SYS_UMASK, 0)
	b.bindIn(p, folder, path, name)
	pid, pidfd, err := in.fork(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)
	unix.Close(theirs)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pidfd)
	m, err := receive(ours)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(pid)
	in.setup.mem.free()
	if m.kind != msgFailed {
		return 0
	}
	return errnoOfBind((&running{}).failure(m))
}

func TestReadMemory(t *testing.T) {
	text := []byte("/tmp/sock\x00rest")
	at := uintptr(unsafe.Pointer(&text[0]))
	if got, e := readMemory(os.Getpid(), at, 14, -1); e != 0 || string(got) != string(text) {
		t.Errorf("%q %v", got, e)
	}
	if got, e := readMemory(os.Getpid(), at, 14, 0); e != 0 || string(got) != "/tmp/sock" {
		t.Errorf("%q %v", got, e)
	}
	if _, e := readMemory(os.Getpid(), at, 4, 0); e != unix.ENAMETOOLONG {
		t.Error(e)
	}
	if _, e := readMemory(os.Getpid(), 8, 4, 0); e != unix.EFAULT {
		t.Error(e)
	}
	page, err := unix.Mmap(-1, 0, 2*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	if err := unix.Mprotect(page[4096:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	copy(page[4090:], "short\x00")
	if got, e := readMemory(os.Getpid(), uintptr(unsafe.Pointer(&page[4090])), 100, 0); e != 0 || string(got) != "short" {
		t.Errorf("before a page that is not there: %q %v", got, e)
	}
}
