package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// bubblewrap opens what it mounts by name, and follows links. Another sandbox
// that may write in an enclosing folder could put a link, or another folder, in
// the place of a writable one between our look and bubblewrap's. (native opens
// without following links, see source.) So what was asked for is opened before
// bubblewrap starts, and compared afterwards, before the command runs, with what
// it mounted: at every path, not by way of a link, a mount of its own, of that
// very folder. As every bind makes one mount, none can have gone elsewhere then.

// asked is a mount that bubblewrap is asked for, as it was then.
type asked struct {
	step     Step
	fd       int // keeps the inode from being used anew
	dev, ino uint64
	readOnly bool
}

// openSources opens what the frame of a plan takes from the host.
func openSources(steps []Step) (out []asked, err error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /: %w", err)
	}
	defer unix.Close(root)
	for _, s := range steps {
		a := asked{step: s, fd: -1}
		if s.Kind == Bind || s.Kind == Show {
			if a.fd, err = openBeneath(root, s.Path); err != nil {
				return out, fmt.Errorf("open %s: %w", s.Path, err)
			}
			is, err := lookInto(a.fd)
			if err != nil {
				return append(out, a), fmt.Errorf("look at %s: %w", s.Path, err)
			}
			a.dev, a.ino, a.readOnly = is.dev, is.ino, is.readOnly || s.Kind == Show
		} else if s.Kind != Scratch {
			continue
		}
		out = append(out, a)
	}
	return out, nil
}

func closeSources(list []asked) {
	for _, a := range list {
		if a.fd >= 0 {
			unix.Close(a.fd)
		}
	}
}

// openBeneath opens an absolute path below a root, one name at a time, and
// follows no link. (openat2(2) is not to be had inside another aigate.)
func openBeneath(root int, path string) (int, error) {
	at, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	parts := strings.Split(relative(path), "/")
	for i, part := range parts {
		flags := targetFlags
		if i < len(parts)-1 {
			flags |= unix.O_DIRECTORY // of a symlink: ENOTDIR
		}
		next, err := unix.Openat(at, part, flags, 0)
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// seen is what is at an open path.
type seen struct {
	dev, ino  uint64
	mount     bool // it is the root of a mount
	readOnly  bool
	inMemory  bool // a tmpfs
	directory bool
}

func lookInto(fd int) (s seen, err error) {
	var st unix.Stat_t
	var fs unix.Statfs_t
	var x unix.Statx_t
	if err := unix.Fstat(fd, &st); err != nil {
		return s, err
	}
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return s, err
	}
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, 0, &x); err != nil {
		return s, err
	}
	return makeSeen(&st, &fs, &x), nil
}

func makeSeen(st *unix.Stat_t, fs *unix.Statfs_t, x *unix.Statx_t) seen {
	return seen{
		dev: uint64(st.Dev), ino: st.Ino, directory: st.Mode&unix.S_IFMT == unix.S_IFDIR,
		mount:    x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0,
		readOnly: fs.Flags&unix.ST_RDONLY != 0, inMemory: fs.Type == unix.TMPFS_MAGIC,
	}
}

// is says that what stands in the sandbox is what was asked for.
func (a asked) is(s seen) bool {
	if a.step.Kind == Scratch {
		return s.mount && s.inMemory && s.directory
	}
	return s.mount && s.dev == a.dev && s.ino == a.ino && s.readOnly == a.readOnly
}

// looked is where a child leaves what it sees at a path of the sandbox.
type looked struct{ stat, statf, statx uintptr }

// lookInside appends a look at a path; one that is gone leaves nothing.
func (p *program) lookInside(path string) looked {
	l := looked{ptrArg(p, &unix.Stat_t{}), ptrArg(p, &unix.Statfs_t{}), ptrArg(p, &unix.Statx_t{})}
	at := p.target(path, 4)
	p.call("look at "+path, unix.SYS_FSTAT, at, l.stat)
	p.call("look at "+path, unix.SYS_FSTATFS, at, l.statf)
	p.call("look at "+path, unix.SYS_STATX, at, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, 0, l.statx)
	p.close(at)
	p.nregs--
	return l
}

func (l looked) seen() seen {
	return makeSeen((*unix.Stat_t)(address(l.stat)), (*unix.Statfs_t)(address(l.statf)), (*unix.Statx_t)(address(l.statx)))
}

// asMeant finishes what bubblewrap began, and looks, with either engine, whether
// the paths that the policy was resolved by still led to the same when they were
// mounted.
func (r *running) asMeant() (err error) {
	gone := 0
	if r.Engine == Bwrap {
		if gone, err = r.finishFromOutside(); err != nil {
			return err
		}
		if err := r.goOn(); err != nil {
			return err
		}
		r.lap("mounts from outside")
	} else {
		if err := r.isHere(); err != nil {
			return err
		}
		gone = r.inner.setup.gone
	}
	if gone > 0 {
		return r.nothingReturned()
	}
	return nil
}

// isHere says that the folder the command starts in is the one we are in,
// unless that is hidden.
func (r *running) isHere() error {
	dir := r.plan.Dir
	if !r.opt.Here || slices.ContainsFunc(r.plan.Steps, func(s Step) bool {
		return s.Kind == Hide && (s.Path == dir || strings.HasPrefix(dir, s.Path+"/"))
	}) {
		return nil
	}
	var here unix.Stat_t
	if err := unix.Stat(".", &here); err != nil {
		return fmt.Errorf("look at the current folder: %w", err)
	}
	there := r.here.seen()
	if there.ino == 0 && r.plan.RootUser {
		return nil // closed to root without capabilities: the command cannot enter it
	}
	if uint64(here.Dev) != there.dev || here.Ino != there.ino {
		return &MovedError{dir}
	}
	return nil
}

// nothingReturned is asked when paths of the plan were gone as they were to be
// covered. A path that is gone needs no cover, and where it went the watcher
// looks; but one that is back now would be uncovered. An editor that saves a
// file or a server that makes its socket anew is through with it, and it is
// covered then; what keeps moving ends the start.
func (r *running) nothingReturned() error {
	const tries = 3
	for try := 1; ; try++ {
		back, err := r.returned()
		if err != nil || len(back) == 0 {
			return err
		}
		if try == tries {
			return &MovedError{back[0].Path}
		}
		if err := join(r.mntns, r.plan, func(p *program) {
			for _, s := range back {
				p.late(s)
			}
		}); err != nil {
			return err
		}
	}
}

// returned gives the steps whose paths are there and not covered.
func (r *running) returned() (back []Step, err error) {
	var late []Step
	var saw []looked
	err = joinAndSee(r.mntns, r.plan, func(p *program) {
		for _, s := range r.plan.Steps {
			if isLate(s.Kind) {
				late, saw = append(late, s), append(saw, p.lookInside(s.Path))
			}
		}
	}, func(*program) error {
		for i, s := range late {
			if is := saw[i].seen(); is.ino != 0 && !is.mount {
				back = append(back, s)
			}
		}
		return nil
	})
	return back, err
}

// MovedError is a path that was put elsewhere while the sandbox was built.
type MovedError struct{ Path string }

func (e *MovedError) Error() string {
	return fmt.Sprintf("%s was moved or replaced while the sandbox was built: nothing was started; see what else is at work there, and start again", quote(e.Path))
}
