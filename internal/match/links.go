package match

import "sync"

// Inode is a file, whatever names it has.
type Inode struct{ Dev, Ino uint64 }

// Links finds below root every name of the files in want; directories are
// never among them. A name that another file is mounted on counts as what lies
// beneath the mount. It does not descend into directories that skip, if given,
// turns down; skip is called concurrently.
func Links(root string, want map[Inode]bool, skip func(dir string) bool) (map[Inode][]string, error) {
	l := &linker{want: want, skip: skip, inos: make(map[uint64]bool, len(want)), found: make(map[Inode][]string)}
	for inode := range want {
		l.inos[inode.Ino] = true
	}
	if len(want) == 0 {
		return l.found, nil
	}
	err := crawl([]*node{{name: root, follow: true}}, l, 0)
	return l.found, err
}

type linker struct {
	want map[Inode]bool
	inos map[uint64]bool
	skip func(string) bool

	mu    sync.Mutex
	found map[Inode][]string
}

func (l *linker) enter(*node)            {}
func (l *linker) absent(string)          {}
func (l *linker) unreadable(string)      {} // Walk has reported it
func (l *linker) spelled(*node) []string { return nil }

func (l *linker) entry(w *worker, n *node, e entry) error {
	if e.kind == kindDir {
		if l.skip == nil || !l.skip(join(n.path(), e.name)) {
			w.push(n, &node{name: e.name})
		}
		return nil
	}
	if !l.inos[e.ino] && w.inoTrusted(n) {
		return nil
	}
	st, err := w.stat(n, e.name, false)
	if gone(err) {
		return nil
	}
	if err != nil {
		return w.failed(n, e.name, err)
	}
	if st.kind != kindDir && l.want[st.inode] {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.found[st.inode] = append(l.found[st.inode], join(n.path(), e.name))
	}
	return nil
}

// Inside lists the regular files below dir that have more than one name, and
// how many they have. It does not descend into directories that skip, if given,
// turns down; skip is called concurrently.
func Inside(dir string, skip func(dir string) bool) (map[Inode]uint32, error) {
	c := &counter{found: make(map[Inode]uint32), skip: skip}
	err := crawl([]*node{{name: dir, follow: true}}, c, 0)
	if err == nil && c.closed != "" {
		err = &closedError{c.closed}
	}
	return c.found, err
}

type closedError struct{ path string }

func (e *closedError) Error() string {
	return e.path + ": can't be read, so other names of the files in it would not be found; make it readable for yourself (chmod u+rx)"
}

type counter struct {
	skip func(string) bool

	mu     sync.Mutex
	found  map[Inode]uint32
	closed string
}

func (c *counter) enter(*node)            {}
func (c *counter) absent(string)          {}
func (c *counter) spelled(*node) []string { return nil }

func (c *counter) unreadable(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = path
}

func (c *counter) entry(w *worker, n *node, e entry) error {
	switch e.kind {
	case kindDir:
		if c.skip == nil || !c.skip(join(n.path(), e.name)) {
			w.push(n, &node{name: e.name})
		}
	case kindRegular:
		st, err := w.stat(n, e.name, false)
		if gone(err) {
			return nil
		}
		if err != nil {
			return w.failed(n, e.name, err)
		}
		if st.kind == kindRegular && st.nlink > 1 {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.found[st.inode] = st.nlink
		}
	}
	return nil
}
