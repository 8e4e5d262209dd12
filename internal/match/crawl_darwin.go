package match

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// handle has nothing to keep: directories are read one after the other, by path.
type handle struct{}

// worker reads directories. On macOS Seatbelt judges paths itself, so the walk
// need not be fast or proof against renames; it finds the same things.
type worker struct {
	visit visitor
	stack []*node
}

func crawl(seeds []*node, v visitor, _ int) error {
	w := &worker{visit: v, stack: seeds}
	for len(w.stack) > 0 {
		n := w.stack[len(w.stack)-1]
		w.stack = w.stack[: len(w.stack)-1 : len(w.stack)-1]
		if err := w.read(n); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) push(parent, n *node) {
	n.parent = parent
	n.name = strings.Clone(n.name)
	w.stack = append(w.stack, n)
}

func (w *worker) read(n *node) error {
	path := n.path()
	look := os.Lstat
	if n.follow {
		look = os.Stat
	}
	info, err := look(path)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	var entries []fs.DirEntry
	if err == nil {
		w.visit.enter(n)
		entries, err = os.ReadDir(path)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return w.closed(n, path, info)
	case gone(err) && (n.parent != nil || n.optional):
		if n.parent == nil {
			w.visit.absent(path)
		}
		return nil
	case err != nil:
		return w.failed(n, "", err)
	}
	for _, d := range entries {
		if err := w.visit.entry(w, n, entry{name: d.Name(), kind: kindOf(d.Type())}); err != nil {
			return err
		}
	}
	return nil
}

// closed deals with a directory that may not be listed, or not be looked up.
func (w *worker) closed(n *node, path string, info fs.FileInfo) error {
	if info == nil {
		if dir, own := closedAbove(path); own {
			w.visit.unreadable(dir)
		}
		return nil
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() {
		w.visit.unreadable(path)
		return nil
	}
	for _, name := range w.visit.spelled(n) {
		st, err := w.stat(n, name, false)
		if err != nil {
			continue
		}
		if err := w.visit.entry(w, n, entry{name: name, kind: st.kind}); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) stat(n *node, name string, follow bool) (status, error) {
	look := os.Lstat
	if follow {
		look = os.Stat
	}
	info, err := look(join(n.path(), name))
	if err != nil {
		return status{}, err
	}
	s := status{kind: kindOf(info.Mode())}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = Inode{Dev: uint64(st.Dev), Ino: st.Ino}
		s.nlink = uint32(st.Nlink)
	}
	return s, nil
}

func (w *worker) inoTrusted(*node) bool { return false }

func (w *worker) failed(n *node, name string, err error) error {
	path := n.path()
	if name != "" {
		path = join(path, name)
	}
	return fmt.Errorf("can't look for denied files in %s: %w", path, err)
}

func kindOf(mode fs.FileMode) kind {
	switch mode.Type() {
	case fs.ModeDir:
		return kindDir
	case fs.ModeSymlink:
		return kindLink
	case fs.ModeSocket:
		return kindSocket
	case 0:
		return kindRegular
	}
	return kindOther
}
