package sandbox

import (
	"path"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/AxeForging/aigate/internal/limit"
	"golang.org/x/sys/unix"
)

// stubText is the program that stands where a denied one was. It is a constant:
// the name it reports is the one it was called by.
const stubText = `#!/bin/sh
printf "[aigate] blocked: '%s' is denied by policy\n" "${0##*/}" >&2
exit 126
`

// attr is the argument of mount_setattr(2).
type attr = unix.MountAttr

const (
	openTreeFlags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	moveByFD      = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
)

// relative turns an absolute path of the sandbox into one below the current
// directory, which is the sandbox's root while it is built.
func relative(p string) string {
	if r := strings.TrimLeft(p, "/"); r != "" {
		return r
	}
	return "."
}

// clone copies the mount tree at a path of the host, below the folder in a
// register or at an absolute path.
func (p *program) clone(dir any, path string) reg {
	r := p.newReg()
	p.call("open "+path, unix.SYS_OPEN_TREE, dir, path, openTreeFlags).into(r)
	return r
}

// source is clone for a path whose links the policy resolved: one that is on
// the way now was put there since, and ends the program (ELOOP).
func (p *program) source(dir any, path string) reg {
	if p.stepwise {
		return p.clone(dir, path)
	}
	r, from := p.newReg(), p.newReg()
	how := &unix.OpenHow{Flags: targetFlags, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	p.call("open "+path, unix.SYS_OPENAT2, dir, path, ptrArg(p, how), int(unsafe.Sizeof(*how))).into(from)
	p.call("clone "+path, unix.SYS_OPEN_TREE, from, "", openTreeFlags|unix.AT_EMPTY_PATH).into(r)
	p.close(from)
	p.nregs-- // from is free again
	return r
}

// setattr changes the flags of every mount of a detached tree.
func (p *program) setattr(what string, tree reg, set uint64) {
	a := &attr{Attr_set: set}
	p.call("set mount flags of "+what, unix.SYS_MOUNT_SETATTR, tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE,
		ptrArg(p, a), int(unsafe.Sizeof(*a)))
}

// attach mounts a detached tree at a path of the sandbox.
func (p *program) attach(tree reg, path string) {
	p.call("mount "+path, unix.SYS_MOVE_MOUNT, tree, "", unix.AT_FDCWD, relative(path), unix.MOVE_MOUNT_F_EMPTY_PATH)
	p.close(tree)
}

// target opens the place of a mount without following a symlink anywhere on
// the way: between the resolving of the policy and now, another process may
// have put one there. A path that is gone leaves out the next skip steps; one
// that leads through a symlink ends the program (ELOOP).
func (p *program) target(path string, skip int) reg {
	r := p.newReg()
	if !p.stepwise {
		how := &unix.OpenHow{Flags: targetFlags, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
		p.call("open "+path, unix.SYS_OPENAT2, unix.AT_FDCWD, relative(path), ptrArg(p, how), int(unsafe.Sizeof(*how))).
			into(r).unless(skip, unix.ENOENT, unix.ENOTDIR, p.unreachable).counts = !p.optional
		return r
	}
	// Inside another aigate openat2 is not to be had: a folder at a time then.
	// Only the last element may be a symlink.
	parts := strings.Split(relative(path), "/")
	p.call("open .", unix.SYS_OPENAT, unix.AT_FDCWD, ".", targetFlags|unix.O_DIRECTORY, 0).into(r)
	up := p.newReg()
	for i, part := range parts {
		left := 1 + 4*(len(parts)-1-i) + skip
		p.call("keep", unix.SYS_FCNTL, r, unix.F_DUPFD_CLOEXEC, 0).into(up)
		p.call("close", unix.SYS_CLOSE, r)
		flags := targetFlags
		if i < len(parts)-1 {
			flags |= unix.O_DIRECTORY // of a symlink: ENOTDIR
		}
		p.call("open "+path, unix.SYS_OPENAT, up, part, flags, 0).into(r).unless(left, unix.ENOENT, p.unreachable).counts = !p.optional
		p.call("close", unix.SYS_CLOSE, up)
	}
	p.nregs--
	return r
}

// forCaller: root looks everywhere when the policy is resolved, but has no
// capability inside, so what lies in another user's closed folder is out of
// the payload's reach as well as of the mounts'.
func (p *program) forCaller(plan *Plan) {
	if plan.RootUser {
		p.unreachable = unix.EACCES
	}
}

const targetFlags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC

// cover mounts a clone of a kit file over path. A path that has vanished needs
// no cover; when it comes back the watcher sees it. One that vanishes between the
// two calls is none to mount on: ENOENT, too.
func (p *program) cover(path, kit string) {
	to := p.target(path, 4)
	tree := p.newReg()
	p.call("open "+kit, unix.SYS_OPEN_TREE, unix.AT_FDCWD, relative(kit), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC).into(tree)
	p.call("cover "+path, unix.SYS_MOVE_MOUNT, tree, "", to, "", moveByFD).unless(0, unix.ENOENT).counts = !p.optional
	p.close(tree)
	p.close(to)
	p.nregs -= 2 // the registers are free again: thousands of masks must fit
}

// rebind binds path onto itself, with more flags.
func (p *program) rebind(path string, set uint64) {
	n := 4
	if set != 0 {
		n = 5
	}
	to := p.target(path, n)
	tree := p.newReg()
	p.call("clone "+path, unix.SYS_OPEN_TREE, to, "", openTreeFlags|unix.AT_EMPTY_PATH).into(tree)
	if set != 0 {
		p.setattr(path, tree, set)
	}
	p.call("bind "+path, unix.SYS_MOVE_MOUNT, tree, "", to, "", moveByFD)
	p.close(tree)
	p.close(to)
	p.nregs -= 2
}

// late appends the steps that need nothing but a finished tree around them:
// both engines run this code, native before it enters the new root, bwrap from
// outside, and the watcher for what appears later.
func (p *program) late(s Step) {
	switch s.Kind {
	case Pin:
		p.rebind(s.Path, 0)
	case Protect:
		switch s.View {
		case NoPlaceholder, TextView:
			p.rebind(s.Path, unix.MOUNT_ATTR_RDONLY)
		case SocketView:
			p.cover(s.Path, kitSocket)
		case FileView:
			p.cover(s.Path, kitEmpty)
		case JSONView:
			p.cover(s.Path, kitJSON)
		case DirView:
			p.cover(s.Path, kitVoid)
		}
	case Text:
		p.cover(s.Path, textFile(s))
	case Mask:
		p.cover(s.Path, kitEmpty)
	case Hide:
		p.cover(s.Path, kitVoid)
	case Block:
		p.cover(s.Path, kitStub)
	}
}

// isLate says which kinds late knows.
func isLate(k Kind) bool { return k >= Pin && k != Anchor }

// procGuard covers what a caller who is root could change through the
// sandbox's own /proc: the kernel guards these files by uid 0 alone, no
// capability asked. A plain user cannot write them, and for him nothing is
// mounted here, because a covered /proc keeps nested sandboxes from mounting
// theirs.
func (p *program) procGuard() {
	p.optional = true
	for _, f := range []string{"sys", "irq", "bus", "fs", "acpi", "scsi", "sysrq-trigger", "latency_stats", "timer_list"} {
		p.rebind("/proc/"+f, unix.MOUNT_ATTR_RDONLY)
	}
	for _, f := range []string{"keys", "key-users"} { // a keyring's names; its contents are out of reach anyway
		p.cover("/proc/"+f, kitEmpty)
	}
}

// share makes the finished tree shared among its own copies (and nobody
// else's): a mount namespace that the payload makes for itself becomes a slave
// of it and receives the masks that come later.
func (p *program) share() {
	p.call("make mounts private", unix.SYS_MOUNT, "", "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	p.call("make mounts shared", unix.SYS_MOUNT, "", "/", 0, unix.MS_REC|unix.MS_SHARED, 0)
}

// devNodes are the devices a program may expect, as in bubblewrap and Docker.
var devNodes = []string{"null", "zero", "full", "random", "urandom", "tty"}

var devLinks = [][2]string{
	{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	{"pts/ptmx", "/dev/ptmx"},
}

const plainAttr = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV

// stage is where native builds: a tmpfs over the old tree's /tmp whose
// sub-folders become /tmp, /run, /dev and the kit of the new root.
const (
	stage     = "/tmp"
	stageDev  = stage + "/dev"
	stageProc = stage + "/proc"
	stageKit  = stage + "/kit"
)

// shell is what native makes before the plan is known, while the policy is
// resolved: what takes nothing from the plan, and so every plan has.
type shell struct {
	umask reg    // the caller's
	tmp   reg    // what the stage lies over
	at    string // the path of that
}

// prepare appends the stage, with a /dev, a /proc and a kit to be moved to their
// places. Of the host's files they hold but the devices: its tree, and what is
// bound, is copied when the policy has been resolved.
func (in *inner) prepare(p *program) (s shell) {
	s.umask = p.newReg()
	p.call("umask", unix.SYS_UMASK, 0).into(s.umask)
	s.at = stage
	if at, err := filepath.EvalSymlinks(stage); err == nil {
		s.at = at
	}
	var devices []reg
	for _, d := range devNodes {
		devices = append(devices, p.clone(unix.AT_FDCWD, "/dev/"+d))
	}
	s.tmp = p.open(stage, unix.O_PATH|unix.O_DIRECTORY)
	p.call("mount a tmpfs", unix.SYS_MOUNT, "tmpfs", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	p.dev(devices)
	p.call("mkdir "+stageProc, unix.SYS_MKDIRAT, unix.AT_FDCWD, stageProc, 0o755)
	p.call("mount /proc", unix.SYS_MOUNT, "proc", stageProc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, 0)
	p.call("mkdir "+stageKit, unix.SYS_MKDIRAT, unix.AT_FDCWD, stageKit, 0o755)
	p.kitInto(stageKit, constantFiles)
	p.kitNodes(stageKit)
	return s
}

// mountFrame turns the frame of a plan into system calls for the native engine.
// They run with all capabilities of the sandbox's own user namespace and end in
// the new root, which is not yet everybody's.
func (p *program) mountFrame(steps []Step, made shell) {
	p.call("make mounts private", unix.SYS_MOUNT, "", "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	b := builder{program: p, steps: steps, trees: p.cloneSources(steps, made)}
	for i := range steps {
		b.step(i)
	}
}

// mounts turns the rest of it into system calls. They end with the new root in
// place and the old one gone.
func (p *program) mounts(plan *Plan, limits limit.Inside) {
	p.forCaller(plan)
	p.size(stage, limits)
	p.kitInto(stageKit, planFiles(plan)) // the kit that is shown shows them, too
	for _, s := range plan.Steps[len(plan.frame()):] {
		p.late(s)
	}
	if plan.RootUser {
		p.procGuard()
	}
	p.call("pivot_root", unix.SYS_PIVOT_ROOT, ".", ".")
	p.call("leave the old root", unix.SYS_UMOUNT2, ".", unix.MNT_DETACH)
	p.call("chdir /", unix.SYS_CHDIR, "/")
	p.bedrock(plan)
	p.enterTop()
	p.share()
}

// bedrock stacks a copy of the finished tree on top of it: the copy is what the
// payload has as its root, and the tree itself, which nobody sees, lies below it
// for good.
//
// A mount point cannot be renamed or removed, but the kernel looks for mount
// points in the caller's own mount namespace alone. In a namespace of its own
// the payload can be rid of the tree that is its root: pivot_root(2) hangs it
// elsewhere, and it goes with the folder that it hangs on, or by a lazy umount.
// What lies below that root stays: it is locked there (mount_namespaces(7)), no
// path leads to it, and whatever takes the root's place is put on top of it. So
// everything that is masked or protected is a mount point in every namespace that
// comes of the sandbox's, whatever is done there.
//
// For the same reason the folders above a mask are anchored there. A bind mount
// of another folder, made before, does not know of the mask: a folder that could
// be moved into it would show what the mask hides. In the payload's own tree
// nothing lies on them, so files can be renamed from one to the other.
func (p *program) bedrock(plan *Plan) {
	top := p.clone(unix.AT_FDCWD, "/")
	for _, s := range plan.Steps {
		if s.Kind == Anchor {
			p.cover(s.Path, kitVoid)
		}
	}
	p.call("mount the copy of the tree", unix.SYS_MOVE_MOUNT, top, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	p.close(top)
}

// enterTop makes the uppermost of the mounts at the root the process's own. "/"
// and "." would stay where they are; ".." of the root does not.
func (p *program) enterTop() {
	p.call("enter the root", unix.SYS_CHDIR, "/..")
	p.call("enter the root", unix.SYS_CHROOT, ".")
}

// cloneSources takes copies of everything that comes from the host, before
// anything is mounted that could lie over it. Only the stage does, and is left out
// of the copies; what lies under it is reached by the folder that was opened before.
func (p *program) cloneSources(steps []Step, made shell) map[string]reg {
	trees := map[string]reg{}
	p.call("keep the stage from being copied", unix.SYS_MOUNT, "", stage, 0, unix.MS_UNBINDABLE, 0)
	for _, s := range steps {
		if s.Kind != Root && s.Kind != Bind && s.Kind != Show {
			continue
		}
		if s.Path == made.at {
			trees[s.Path] = p.source(made.tmp, ".")
		} else if rest, ok := strings.CutPrefix(s.Path, made.at+"/"); ok {
			trees[s.Path] = p.source(made.tmp, rest)
		} else {
			trees[s.Path] = p.source(unix.AT_FDCWD, s.Path)
		}
	}
	p.call("let the stage be copied", unix.SYS_MOUNT, "", stage, 0, unix.MS_PRIVATE, 0)
	p.close(made.tmp)
	return trees
}

type builder struct {
	*program
	steps   []Step
	trees   map[string]reg
	folders int
}

// folder makes a folder of the stage and gives a detached mount of it.
func (b *builder) folder(mode uint32) (tree reg) {
	path := stage + "/" + string(rune('a'+b.folders))
	b.folders++
	b.call("mkdir "+path, unix.SYS_MKDIRAT, unix.AT_FDCWD, path, int(mode))
	return b.clone(unix.AT_FDCWD, path)
}

func (b *builder) step(i int) {
	s := b.steps[i]
	switch s.Kind {
	case Root:
		b.root(s)
	case Dev:
		b.move(stageDev, s.Path)
	case Proc:
		b.move(stageProc, s.Path)
	case Scratch:
		b.mountPoint(i, true)
		b.attach(b.folder(s.Mode), s.Path)
	case Kit:
		b.kit()
	case Make: // hold has made it
	case Bind, Show:
		set := uint64(plainAttr)
		if s.Kind == Show {
			set |= unix.MOUNT_ATTR_RDONLY
		}
		b.mountPoint(i, s.Mode == ModeDir)
		b.setattr(s.Path, b.trees[s.Path], set)
		b.attach(b.trees[s.Path], s.Path)
	}
}

func (b *builder) root(s Step) {
	b.setattr("/", b.trees[s.Path], plainAttr|unix.MOUNT_ATTR_RDONLY)
	b.call("mkdir root", unix.SYS_MKDIRAT, unix.AT_FDCWD, stage+"/root", 0o755)
	b.call("mount the new root", unix.SYS_MOVE_MOUNT, b.trees[s.Path], "", unix.AT_FDCWD, stage+"/root", unix.MOVE_MOUNT_F_EMPTY_PATH)
	b.close(b.trees[s.Path])
	b.call("enter the new root", unix.SYS_CHDIR, stage+"/root")
}

// mountPoint makes the path of step i where it lies in a scratch folder that an
// earlier step emptied.
func (b *builder) mountPoint(i int, dir bool) {
	s := b.steps[i]
	top := scratchAbove(b.steps[:i], s.Path)
	if top == "" {
		return
	}
	rest := strings.Split(strings.TrimPrefix(s.Path, top+"/"), "/")
	at := top
	for n, part := range rest {
		at += "/" + part
		if n == len(rest)-1 && !dir {
			f := b.newReg()
			b.call("create "+at, unix.SYS_OPENAT, unix.AT_FDCWD, relative(at), unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o444).into(f)
			b.close(f)
			return
		}
		b.call("mkdir "+at, unix.SYS_MKDIRAT, unix.AT_FDCWD, relative(at), 0o755).unless(0, unix.EEXIST)
	}
}

// scratchAbove gives the innermost private folder that holds path.
func scratchAbove(steps []Step, path string) (top string) {
	for _, s := range steps {
		if (s.Kind == Scratch || s.Kind == Dev) && len(s.Path) > len(top) && strings.HasPrefix(path, s.Path+"/") {
			top = s.Path
		}
	}
	return top
}

// move takes a mount of the stage to its place.
func (b *builder) move(from, to string) {
	b.call("mount "+to, unix.SYS_MOVE_MOUNT, unix.AT_FDCWD, from, unix.AT_FDCWD, relative(to), 0)
}

// dev makes a /dev in the stage.
func (p *program) dev(devices []reg) {
	p.call("mkdir "+stageDev, unix.SYS_MKDIRAT, unix.AT_FDCWD, stageDev, 0o755)
	tree := p.clone(unix.AT_FDCWD, stageDev)
	p.call("mount "+stageDev, unix.SYS_MOVE_MOUNT, tree, "", unix.AT_FDCWD, stageDev, unix.MOVE_MOUNT_F_EMPTY_PATH)
	p.close(tree)
	for i, d := range devNodes {
		f, at := p.newReg(), stageDev+"/"+d
		p.call("create /dev/"+d, unix.SYS_OPENAT, unix.AT_FDCWD, at, unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o600).into(f)
		p.close(f)
		p.call("mount /dev/"+d, unix.SYS_MOVE_MOUNT, devices[i], "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
		p.close(devices[i])
	}
	for _, l := range devLinks {
		p.call("symlink "+l[1], unix.SYS_SYMLINKAT, l[0], unix.AT_FDCWD, stage+l[1])
	}
	for _, d := range []string{"pts", "shm"} {
		p.call("mkdir /dev/"+d, unix.SYS_MKDIRAT, unix.AT_FDCWD, stageDev+"/"+d, 0o755)
	}
	p.call("chmod /dev/shm", unix.SYS_FCHMODAT, unix.AT_FDCWD, stageDev+"/shm", 0o1777)
	p.call("mount /dev/pts", unix.SYS_MOUNT, "devpts", stageDev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
}

// kitFile is a file of the kit: its name, contents and mode.
type kitFile struct {
	path, text string
	mode       uint32
}

// constantFiles are those that the plan does not change.
var constantFiles = []kitFile{
	{kitEmpty, "", 0o444},
	{kitJSON, "{}\n", 0o444},
	{kitStub, stubText, 0o555},
}

// planFiles are those that it does.
func planFiles(plan *Plan) []kitFile {
	files := []kitFile{{PolicyFile, plan.PolicyText, 0o444}}
	for _, s := range plan.Steps {
		if s.Kind == Text {
			files = append(files, kitFile{textFile(s), s.Text, 0o444})
		}
	}
	return files
}

// kit shows the folder in the stage, read-only, at its place.
func (b *builder) kit() {
	tree := b.clone(unix.AT_FDCWD, stageKit)
	b.setattr(KitDir, tree, plainAttr|unix.MOUNT_ATTR_RDONLY)
	b.call("mkdir "+KitDir, unix.SYS_MKDIRAT, unix.AT_FDCWD, relative(KitDir), 0o755)
	b.attach(tree, KitDir)
}

// kitInto fills a folder with files of the kit.
func (p *program) kitInto(dir string, files []kitFile) {
	for _, f := range files {
		fd := p.newReg()
		p.call("create "+f.path, unix.SYS_OPENAT, unix.AT_FDCWD, dir+"/"+path.Base(f.path), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, int(f.mode)).into(fd)
		if f.text != "" {
			p.call("write "+f.path, unix.SYS_WRITE, fd, f.text, len(f.text)).least = uintptr(len(f.text))
		}
		p.close(fd)
	}
}

// kitNodes adds what in the kit is no file.
func (p *program) kitNodes(dir string) {
	p.call("mkdir "+kitVoid, unix.SYS_MKDIRAT, unix.AT_FDCWD, dir+"/"+path.Base(kitVoid), 0o555)
	p.call("mknod "+kitSocket, unix.SYS_MKNODAT, unix.AT_FDCWD, dir+"/"+path.Base(kitSocket), unix.S_IFSOCK, 0)
}

// idMap maps one id of the parent namespace.
func idMap(inside, outside int) string { return itoa(inside) + " " + itoa(outside) + " 1\n" }

// maps writes the calling process's id maps. user_namespaces(7): one's own
// effective id may be mapped without a privilege, the group's once setgroups
// is denied.
func (p *program) maps(uid, outsideUID, gid, outsideGID int) {
	p.write("/proc/self/setgroups", "deny")
	p.write("/proc/self/uid_map", idMap(uid, outsideUID))
	p.write("/proc/self/gid_map", idMap(gid, outsideGID))
}

func itoa(n int) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}

// loopback brings lo up, as only the owner of the network namespace can.
func (p *program) loopback() {
	s := p.newReg()
	p.call("make a socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).into(s)
	var ifr [40]byte
	copy(ifr[:], "lo")
	*(*uint16)(unsafe.Pointer(&ifr[16])) = unix.IFF_UP | unix.IFF_RUNNING
	p.call("bring the loopback device up", unix.SYS_IOCTL, s, unix.SIOCSIFFLAGS, p.bytes(ifr[:]))
	p.close(s)
}
