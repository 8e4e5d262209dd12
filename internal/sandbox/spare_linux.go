package sandbox

import (
	"golang.org/x/sys/unix"
)

// spare is a folder of aigate's own, which no sandbox sees, where placeholders
// lie between runs. To make and remove one costs the file system an inode, and
// for a folder a block, several times what moving it costs, and a run needs a
// dozen. What a run takes is put back, so that there are always as many as were
// laid out. Where there is none left, no spare folder, or one on another file
// system, placeholders are made and removed.
type spare struct {
	fd     int // -1 without
	places map[Placeholder]*spares
}

// spares are those of one kind. Their names are a letter and a number.
type spares struct {
	letter string
	count  int // how many there are between runs
	full   int // no place before this one holds one that can be taken
	free   int // and none before this one is free
}

func sparePlaces() map[Placeholder]*spares {
	return map[Placeholder]*spares{
		DirView: {letter: "d", count: 16}, SocketView: {letter: "s", count: 8},
		FileView: {letter: "f", count: 4}, JSONView: {letter: "j", count: 4},
	}
}

// LaySpares makes a folder of spare placeholders, or fills it up again.
func LaySpares(path string) error {
	if err := unix.Mkdir(path, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	s := openSpare(path)
	defer s.close()
	if s.fd < 0 {
		return unix.ENOTDIR
	}
	for view, at := range s.places {
		for n := range at.count {
			if err := create(s.fd, at.letter+itoa(n), Step{View: view}); err != nil && err != unix.EEXIST {
				return err
			}
		}
	}
	return nil
}

// layBy is LaySpares for a process that runs a program: those that a killed run
// had taken are made anew.
func (s *spare) layBy(p *program) {
	for view, at := range s.places {
		for n := range at.count {
			name, mode, text := at.letter+itoa(n), int(viewMode(view)), viewText(view)
			switch view {
			case DirView:
				p.call("lay out a spare folder", unix.SYS_MKDIRAT, s.fd, name, mode&0o7777).unless(0, unix.EEXIST)
			case SocketView:
				p.call("lay out a spare socket", unix.SYS_MKNODAT, s.fd, name, mode, 0).unless(0, unix.EEXIST)
			default:
				f := p.newReg()
				p.call("lay out a spare file", unix.SYS_OPENAT, s.fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, mode&0o7777).
					into(f).unless(2, unix.EEXIST)
				p.call("write a spare file", unix.SYS_WRITE, f, text, len(text))
				p.close(f)
			}
		}
	}
}

// openSpare opens the folder, if it is there.
func openSpare(path string) *spare {
	if path == "" {
		return &spare{fd: -1}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &spare{fd: -1}
	}
	return &spare{fd, sparePlaces()}
}

// own gives none where the folder is another user's, as after sudo with his HOME:
// what lies there is his, and closed to root in a sandbox.
func (s *spare) own() *spare {
	var st unix.Stat_t
	if s.fd >= 0 && (unix.Fstat(s.fd, &st) != nil || int(st.Uid) != unix.Geteuid()) {
		s.close()
		s.fd, s.places = -1, nil
	}
	return s
}

func (s *spare) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
}

// take moves a placeholder to name in dir. It fails where none is to be had, and
// where the name exists.
func (s *spare) take(view Placeholder, dir int, name string) error {
	at := s.places[view]
	if at == nil {
		return unix.ENOENT
	}
	for ; at.full < at.count; at.full++ {
		place := at.letter + itoa(at.full)
		if !s.fit(view, place) {
			continue
		}
		err := unix.Renameat2(s.fd, place, dir, name, unix.RENAME_NOREPLACE)
		if err == nil {
			at.full++
		}
		if err != unix.ENOENT {
			return err
		}
	}
	return unix.ENOENT
}

// fit says that a placeholder is what it was laid out as, and throws away one
// that is not: somebody changed the modes of a whole home, or restored it.
func (s *spare) fit(view Placeholder, place string) bool {
	var st unix.Stat_t
	if unix.Fstatat(s.fd, place, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false
	}
	if st.Mode == viewMode(view) {
		return true
	}
	how := 0
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		how = unix.AT_REMOVEDIR
	}
	unix.Unlinkat(s.fd, place, how) // or it stays, and is passed over each time
	return false
}

// put moves a placeholder back. One that something was put in stays where it is.
func (s *spare) put(view Placeholder, dir int, name string) (done bool) {
	at := s.places[view]
	if at == nil {
		return false
	}
	for ; at.free < at.count; at.free++ {
		place := at.letter + itoa(at.free)
		err := unix.Renameat2(dir, name, s.fd, place, unix.RENAME_NOREPLACE)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return false
		}
		// Only now can nothing more be put in.
		if !s.asItWas(view, place) {
			unix.Renameat2(s.fd, place, dir, name, unix.RENAME_NOREPLACE)
			return false
		}
		at.free++
		return true
	}
	return false
}

// asItWas says whether a placeholder holds what it did when it was made.
func (s *spare) asItWas(view Placeholder, place string) bool {
	if view == DirView {
		return isEmpty(s.fd, place)
	}
	var st unix.Stat_t
	err := unix.Fstatat(s.fd, place, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && IsPlaceholder(st.Mode) && st.Nlink == 1 && st.Size == int64(len(viewText(view)))
}

// isEmpty says whether a folder holds nothing but . and .. entries.
func isEmpty(dir int, name string) bool {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var buf [1024]byte // room for a third entry of any length
	n, err := unix.Getdents(fd, buf[:])
	entries := 0
	for at := 0; at < n; entries++ {
		at += int(buf[at+16]) | int(buf[at+17])<<8 // d_reclen, getdents(2)
	}
	return err == nil && entries == 2
}
