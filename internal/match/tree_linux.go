package match

import (
	"strconv"
	"strings"
)

// Member is something that Tree met. It is gone when each returns.
type Member struct {
	At   int    // the open directory that holds it
	Name string // in there; its bytes belong to the walk
	Dir  bool

	top, as string
	in      *node
}

// Path puts together where it lies.
func (m Member) Path() string {
	return join(m.top+strings.TrimPrefix(m.in.path(), m.as), strings.Clone(m.Name))
}

// Tree calls each, concurrently, for everything below an open directory that
// path leads to; symlinks are met, not followed. In unreadable are directories
// that can't be listed and belong to the caller.
func Tree(dir int, path string, each func(Member)) (unreadable []string, err error) {
	as := "/proc/self/fd/" + strconv.Itoa(dir)
	t := &members{each: each, top: path, as: as}
	err = crawl([]*node{{name: as, follow: true}}, t, 0)
	for i, dir := range t.closed {
		t.closed[i] = path + strings.TrimPrefix(dir, as)
	}
	return t.closed, err
}

type members struct {
	counter
	each    func(Member)
	top, as string
	closed  []string
}

func (t *members) unreadable(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = append(t.closed, path)
}

func (t *members) entry(w *worker, n *node, e entry) error {
	t.each(Member{At: w.fd, Name: e.name, Dir: e.kind == kindDir, top: t.top, as: t.as, in: n})
	if e.kind == kindDir {
		w.push(n, &node{name: e.name})
	}
	return nil
}
