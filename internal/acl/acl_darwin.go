package acl

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/AxeForging/aigate/internal/match"
)

// syncer is one Sync.
type syncer struct {
	counts
	who   Agents
	rules Rules
}

func newSyncer(who Agents, rules Rules) *syncer { return &syncer{who: who, rules: rules} }

// top does a path and all below it: what is denied gets the entries, in as few
// processes as there is room for arguments, and from the rest they are taken.
func (s *syncer) top(path string) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		s.failed(path, err)
		return
	}
	// By either name: what a symlink leads to may be named as what it is.
	denied := func(at string, dir bool) bool {
		return s.rules.Denied(at, dir) || path != real && s.rules.Denied(path+strings.TrimPrefix(at, real), dir)
	}
	var files, folders, others []string
	hidden := map[match.Inode]bool{}
	err = filepath.WalkDir(real, func(at string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			s.failed(at, err)
		case d.Type()&fs.ModeSymlink != 0:
		case !denied(at, d.IsDir()):
			others = append(others, at)
		case d.IsDir():
			folders = append(folders, at)
		default:
			files = append(files, at)
			if i, several := inode(d); several {
				hidden[i] = true
			}
		}
		return nil
	})
	if err != nil {
		s.failed(path, err)
	}
	others = s.allowed(others, hidden)
	s.run(true, len(files), denyCommands(s.who, false, files))
	s.run(true, len(folders), denyCommands(s.who, true, folders))
	s.run(false, len(others), clearCommands(s.who, others))
}

// allowed leaves out what is denied by another of its names, as far as anybody
// can say.
func (s *syncer) allowed(paths []string, hidden map[match.Inode]bool) []string {
	linked := sync.OnceValues(s.rules.Linked)
	return slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Lstat(path)
		if err != nil {
			return true
		}
		i, several := inode(fs.FileInfoToDirEntry(info))
		if !several || info.IsDir() {
			return false
		}
		others, err := linked()
		return err != nil || hidden[i] || others[i]
	})
}

// inode also says whether the file has several names.
func inode(d fs.DirEntry) (i match.Inode, several bool) {
	info, err := d.Info()
	if err != nil {
		return i, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return i, false
	}
	return match.Inode{Dev: uint64(st.Dev), Ino: st.Ino}, st.Nlink > 1
}

// run runs commands about n files. What chmod could not do it says, a line each.
func (s *syncer) run(deny bool, n int, commands [][]string) {
	failed := map[string]bool{}
	for _, c := range commands {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Env = []string{"LC_ALL=C"}
		out, err := cmd.CombinedOutput()
		if err == nil || !deny {
			continue // -f: it says nothing of files that have no such entry
		}
		said := strings.TrimSpace(string(out))
		if said == "" {
			said = err.Error()
		}
		for line := range strings.SplitSeq(said, "\n") {
			if !failed[line] {
				failed[line] = true
				s.failed(line, errChmod)
			}
		}
	}
	for range n - min(n, len(failed)) {
		s.done(deny, deny)
	}
}

var errChmod = errors.New("chmod could not change it")
