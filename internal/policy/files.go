package policy

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/AxeForging/aigate/internal/match"
	"github.com/AxeForging/aigate/internal/sandbox"
	"golang.org/x/sys/unix"
)

func isDir(st unix.Stat_t) bool  { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isLink(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFLNK }

// isPlaceholder says that something only stands for a name that another run keeps from being made.
func isPlaceholder(st unix.Stat_t) bool { return sandbox.IsPlaceholder(uint32(st.Mode)) }

func inode(st unix.Stat_t) match.Inode { return match.Inode{Dev: uint64(st.Dev), Ino: st.Ino} }

func getenv(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// links finds the other names of hidden files: a hard link is the same file,
// wherever it lies.
type links struct {
	want  map[match.Inode]bool
	count map[match.Inode]uint32 // st_nlink
	known map[match.Inode]uint32 // names that are hidden already
	dirs  []string               // hidden folders, to be looked into
	spare string                 // but for this one: placeholders of ours, thirty folders and files
}

func newLinks() *links {
	return &links{want: map[match.Inode]bool{}, count: map[match.Inode]uint32{}, known: map[match.Inode]uint32{}}
}

// add takes note of one hidden file or folder.
func (l *links) add(path string, st unix.Stat_t) {
	switch {
	case isDir(st):
		l.dirs = append(l.dirs, path)
	case st.Nlink > 1:
		i := inode(st)
		l.want[i], l.count[i] = true, uint32(st.Nlink)
		l.known[i]++
	}
}

// find hides the names that lie in the project and counts the others.
func (l *links) find(p *Policy) error {
	for _, dir := range l.dirs {
		inside, err := match.Inside(dir, func(dir string) bool { return dir == l.spare })
		if err != nil {
			return fmt.Errorf("look for hard links into %s: %w", dir, err)
		}
		for i, n := range inside {
			l.want[i], l.count[i] = true, n
		}
	}
	if len(l.want) == 0 {
		return nil
	}
	names, err := match.Links(p.Project, l.want, func(dir string) bool { return p.isHidden(dir) })
	if err != nil {
		return fmt.Errorf("look for hard links: %w", err)
	}
	var all []string
	for _, paths := range names {
		all = append(all, paths...)
	}
	slices.Sort(all)
	for _, path := range all {
		p.hide(path, false, "hard link of a denied file")
	}
	return l.elsewhere(p, names)
}

// elsewhere warns of names that lie neither in the project nor in a hidden
// folder: they cannot be found without walking the whole disk.
func (l *links) elsewhere(p *Policy, names map[match.Inode][]string) error {
	inDirs := map[match.Inode]uint32{}
	for _, dir := range l.dirs {
		found, err := match.Links(dir, l.want, nil)
		if err != nil {
			return fmt.Errorf("look for hard links into %s: %w", dir, err)
		}
		for i, paths := range found {
			inDirs[i] += uint32(len(paths))
		}
	}
	missing := 0
	for i, n := range l.count {
		inProject := uint32(len(names[i]))
		if seen := max(inProject, l.known[i]) + inDirs[i]; seen < n {
			missing += int(n - seen)
		}
	}
	if missing > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d hard links of denied files lie outside of the project and may be readable", missing))
	}
	return nil
}

func (p *Policy) isHidden(path string) bool {
	for _, e := range p.Hidden {
		if e.Path == path {
			return true
		}
	}
	return false
}

// mostRead is how much of a file is read that a command may have made, in bytes.
const mostRead = 1 << 20

// readFile gives what a small file holds, "" for one that is none. The command of
// an earlier run may have made it: a FIFO would stop the start, a device or a
// huge file fill the memory.
func readFile(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > mostRead {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, mostRead))
	if err != nil {
		return ""
	}
	return string(b)
}
