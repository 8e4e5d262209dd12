package match

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A directory stays open until its last subdirectory is opened. In a tree made
// to hurt, thousands would wait for that at once, so beyond openMax a node is
// spare: each worker holds one of them open at most, and closes it for the
// next. A spare node is opened again by its subdirectory's "..", or from the
// top; in both cases it must be the same inode. All of that happens under
// crawler.spare, and never in an ordinary tree.

// handle is how a node is kept open.
type handle struct {
	fd     int          // -1: closed
	refs   atomic.Int32 // subdirectories that still need it
	pinned bool         // kept open to the end
	spare  bool
	inode  Inode // of a spare node

	asked, trusted bool // see inoTrusted
}

// openNode opens a directory for reading.
func (w *worker) openNode(n *node) (int, error) {
	parent, name, done, err := w.parentFd(n)
	if err != nil {
		return -1, err
	}
	defer done()
	return w.openAt(parent, name, n.follow)
}

func (w *worker) openAt(parent int, name string, follow bool) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	return retry(func() (int, error) { return unix.Openat(parent, name, flags, 0) })
}

func nothing() {}

// parentFd gives what to open a node by; done is called when that is over.
func (w *worker) parentFd(n *node) (fd int, name string, done func(), err error) {
	switch p := n.parent; {
	case p == nil:
		return unix.AT_FDCWD, n.name, nothing, nil
	case !p.spare:
		return p.fd, n.name, nothing, nil
	default:
		w.spare.Lock()
		if err := w.reopen(p); err != nil {
			w.spare.Unlock()
			return -1, "", nil, err
		}
		return p.fd, n.name, w.spare.Unlock, nil
	}
}

// keep leaves a directory open for its subdirectories, if there are any.
func (w *worker) keep(n *node, fd int) {
	n.fd = fd
	switch {
	case n.refs.Load() == 0:
		unix.Close(fd)
	case n.parent != nil && w.open.Load() >= w.openMax:
		w.spare.Lock()
		defer w.spare.Unlock()
		n.spare = true
		var err error
		if n.inode, err = inodeOf(fd); err != nil {
			n.inode = Inode{} // no directory has it: opening it again fails
		}
		w.hold(n)
	default:
		w.open.Add(1)
		if n.parent == nil {
			n.pinned = true // spare nodes are opened again from here
			n.refs.Add(1)
		}
	}
}

// letGo says that one subdirectory less needs the node.
func (w *worker) letGo(n *node) {
	if n == nil {
		return
	}
	if n.spare {
		w.spare.Lock()
		defer w.spare.Unlock()
	}
	if n.refs.Add(-1) > 0 {
		return
	}
	if n.spare && n.fd >= 0 {
		w.handBack(n)
	}
	if !n.spare {
		w.open.Add(-1)
	}
	if n.fd >= 0 {
		unix.Close(n.fd)
		n.fd = -1
	}
}

// hold keeps a spare node open, and closes the one held before.
func (w *worker) hold(n *node) {
	if w.held != nil && w.held != n && w.held.fd >= 0 {
		unix.Close(w.held.fd)
		w.held.fd = -1
	}
	w.held = n
}

// handBack opens a spare node's parent again by way of the node, which is
// cheap, where coming from the top is not.
func (w *worker) handBack(n *node) {
	p := n.parent
	if !p.spare || p.fd >= 0 || p.refs.Load() == 0 {
		return
	}
	fd, err := w.openAt(n.fd, "..", false)
	if err != nil {
		return
	}
	if inode, err := inodeOf(fd); err != nil || inode != p.inode {
		unix.Close(fd)
		return
	}
	p.fd = fd
	if w.held == n {
		w.held = p
	} else {
		w.hold(p)
	}
}

// reopen makes sure that a spare node is open.
func (w *worker) reopen(n *node) error {
	if n.fd >= 0 {
		w.hold(n)
		return nil
	}
	var way []*node
	top := n
	for ; top.parent != nil; top = top.parent {
		way = append(way, top)
	}
	fd := top.fd
	for i := len(way) - 1; i >= 0; i-- {
		next, err := w.openAt(fd, way[i].name, way[i].follow)
		if fd != top.fd {
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
		fd = next
	}
	if inode, err := inodeOf(fd); err != nil || inode != n.inode {
		unix.Close(fd)
		return unix.ENOENT // it was moved away: the tree has changed
	}
	n.fd = fd
	w.hold(n)
	return nil
}

func inodeOf(fd int) (Inode, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return Inode{Dev: uint64(st.Dev), Ino: st.Ino}, err
}
