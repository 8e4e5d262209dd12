package match

import "strings"

// node is a directory that waits to be read, or is being read, or is still
// needed by its subdirectories. Only its name is kept: paths in a tree that is
// a hundred thousand levels deep would fill the memory.
type node struct {
	parent *node  // nil for a starting point
	name   string // the whole path for a starting point
	//lint:ignore U1000 macOS keeps nothing open
	handle // how the platform keeps it open

	bare     bool     // names without a slash apply
	live     []cursor // longer patterns that are worth going further for
	aside    []cursor // patterns that are looked up elsewhere, but may end here
	follow   bool     // it may be a symlink: a starting point, or spelled out
	optional bool     // it may be absent
}

func (n *node) path() string {
	if n.parent == nil {
		return n.name
	}
	var names []string
	for ; n.parent != nil; n = n.parent {
		names = append(names, n.name)
	}
	var b strings.Builder
	if n.name != "/" {
		b.WriteString(n.name)
	}
	for i := len(names) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(names[i])
	}
	return b.String()
}

type kind uint8

const (
	kindOther kind = iota // a file, as far as patterns go
	kindDir
	kindLink
	kindSocket
	kindRegular
	kindUnknown // the file system does not say
)

// entry is one name in a directory. The name is valid during the call only.
type entry struct {
	name string
	kind kind
	ino  uint64
}

// status is what more there is to know of an entry.
type status struct {
	kind  kind
	inode Inode
	nlink uint32
}

// visitor is told what a crawl meets, by several workers at once.
type visitor interface {
	enter(n *node)                           // open, not yet read
	entry(w *worker, n *node, e entry) error // may call w.push and w.stat
	absent(path string)                      // a starting point that is not there
	unreadable(path string)                  // closed, but the caller's own
	spelled(n *node) []string                // what to try where listing is forbidden
}
