package acl

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/AxeForging/aigate/internal/match"
	"golang.org/x/sys/unix"
)

const (
	accessAttr  = "system.posix_acl_access"
	defaultAttr = "system.posix_acl_default"
)

// syncer is one Sync.
type syncer struct {
	walker
	who    Agents
	rules  Rules
	linked func() (map[match.Inode]bool, error)
}

func newSyncer(who Agents, rules Rules) *syncer {
	return &syncer{walker: walker{umask: currentUmask()}, who: who, rules: rules, linked: sync.OnceValues(rules.Linked)}
}

func (s *syncer) top(path string) {
	s.walk(path, func(real string) func(f file, below string, dir bool) {
		// By either name: what a symlink leads to may be named as what it is.
		denied := func(below string, dir bool) bool {
			return s.rules.Denied(path+below, dir) || path != real && s.rules.Denied(real+below, dir)
		}
		all := false // once the top is denied
		return func(f file, below string, dir bool) {
			if below == "" {
				all = denied("", dir)
			}
			s.settle(f, all || denied(below, dir))
		}
	})
}

// walker opens files one after the other, in several threads.
type walker struct {
	counts
	umask uint32
}

func currentUmask() uint32 {
	umask := unix.Umask(0o077)
	unix.Umask(umask)
	return uint32(umask)
}

// file is one that is held open while its lists are changed.
type file struct {
	fd   int // O_PATH
	st   unix.Stat_t
	link string // what xattr(7) calls take: they refuse such a descriptor, but not the link to it
	path func() string
}

// walk begins at a path, and calls what begin gives first for what is there and
// then, concurrently, for everything below it. below is the rest of the path.
func (w *walker) walk(path string, begin func(real string) func(f file, below string, dir bool)) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
	if gone(err) {
		return
	} else if err != nil {
		w.failed(path, err)
		return
	}
	defer unix.Close(fd)
	f := file{fd: fd, path: func() string { return path }}
	if err := f.look(); err != nil {
		w.failed(path, err)
		return
	}
	real, err := realPath(f.link)
	if err != nil {
		w.failed(path, err)
		return
	}
	each := begin(real)
	each(f, "", f.dir())
	if !f.dir() {
		return
	}
	unreadable, err := match.Tree(fd, path, func(m match.Member) { w.member(m, path, each) })
	if err != nil {
		w.failed(path, err)
	}
	for _, dir := range unreadable {
		w.failed(dir, unix.EACCES)
	}
}

// member does one file or folder below a top.
func (w *walker) member(m match.Member, top string, each func(f file, below string, dir bool)) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(m.At, m.Name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if gone(err) {
		return
	} else if err != nil {
		w.failed(m.Path(), err)
		return
	}
	defer unix.Close(fd)
	f := file{fd: fd, path: m.Path}
	if err := f.look(); err != nil {
		w.failed(m.Path(), err)
		return
	}
	if f.st.Mode&unix.S_IFMT != unix.S_IFLNK { // a link has no rights of its own
		each(f, strings.TrimPrefix(m.Path(), top), f.dir())
	}
}

// look finds out what the open file is.
func (f *file) look() error {
	f.link = "/proc/self/fd/" + strconv.Itoa(f.fd)
	return unix.Fstat(f.fd, &f.st)
}

func (f *file) dir() bool { return f.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// settle makes a file's lists what they should be.
func (s *syncer) settle(f file, deny bool) {
	if !deny && f.st.Nlink > 1 && !f.dir() {
		linked, err := s.linked()
		if err != nil || linked[match.Inode{Dev: uint64(f.st.Dev), Ino: f.st.Ino}] {
			return // denied by another of its names, as far as anybody can say
		}
	}
	changed, err := s.access(f, deny)
	if err == nil && f.dir() {
		var more bool
		more, err = s.inherited(f, deny)
		changed = changed || more
	}
	switch {
	case gone(err):
	case deny && errors.Is(err, unix.EPERM) && s.closed(f):
		s.done(deny, false)
	case err != nil:
		s.failed(f.path(), err)
	default:
		s.done(deny, changed)
	}
}

// closed says that a file of somebody else's is closed to the agents without
// our doing, as /etc/shadow is.
func (s *syncer) closed(f file) bool {
	list, err := read(f.link, accessAttr)
	return err == nil && list == nil && f.st.Mode&0o007 == 0 && int(f.st.Gid) != s.who.Group && int(f.st.Uid) != s.who.User
}

// access changes what the file itself allows.
func (s *syncer) access(f file, deny bool) (changed bool, err error) {
	list, err := read(f.link, accessAttr)
	if err != nil {
		return false, err
	}
	if list == nil {
		if !deny {
			return false, nil
		}
		list = FromMode(f.st.Mode)
	}
	if deny {
		if list.Denies(s.who) {
			return false, nil
		}
		return true, write(f.link, accessAttr, list.Deny(s.who))
	}
	list, was := list.Clear(s.who)
	if !was {
		return false, nil
	}
	return true, write(f.link, accessAttr, list) // the kernel makes a mode of a list that is no more than one
}

// inherited changes what new files in a folder begin with. A default list takes
// the place of the umask, so one that we make leaves nobody more than the
// folder and the umask of now do.
func (s *syncer) inherited(f file, deny bool) (changed bool, err error) {
	list, err := read(f.link, defaultAttr)
	if err != nil {
		return false, err
	}
	if !deny {
		list, was := list.Clear(s.who)
		if !was {
			return false, nil
		}
		if !list.named() && !(s.rules.HadDefault != nil && s.rules.HadDefault(f.path())) {
			return true, ignoring(unix.Removexattr(f.link, defaultAttr), unix.ENODATA)
		}
		return true, write(f.link, defaultAttr, list)
	}
	if list.Denies(s.who) {
		return false, nil
	}
	if list == nil {
		list = FromMode(f.st.Mode &^ (s.umask & 0o077))
	} else if !list.named() {
		s.mu.Lock()
		s.report.Defaults = append(s.report.Defaults, f.path())
		s.mu.Unlock()
	}
	return true, write(f.link, defaultAttr, list.Deny(s.who))
}

// read gives a file's list, nil when it has none.
func read(link, attr string) (List, error) {
	var few [4 + 8*32]byte
	buf := few[:]
	for {
		n, err := retry(func() (int, error) { return unix.Getxattr(link, attr, buf) })
		switch {
		case err == unix.ENODATA:
			return nil, nil
		case err == unix.ERANGE && len(buf) == len(few):
			buf = make([]byte, 64<<10) // XATTR_SIZE_MAX
		case err != nil:
			return nil, err
		default:
			return Decode(buf[:n])
		}
	}
}

func write(link, attr string, list List) error {
	_, err := retry(func() (int, error) { return 0, unix.Setxattr(link, attr, list.Encode(), 0) })
	return err
}

func realPath(link string) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(link, buf[:])
	if err == nil && n == len(buf) {
		err = unix.ENAMETOOLONG
	}
	return string(buf[:n]), err
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// gone is an error that says that the file is not there any more, or that a
// link leads nowhere.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func ignoring(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
