package acl

import (
	"golang.org/x/sys/unix"
)

// Apply goes through a project. Files get what their owner may do with them, and
// folders pass it on to what is made in them.
func (g Grant) Apply(project string) Report {
	w := &walker{umask: currentUmask()}
	w.walk(project, func(string) func(f file, below string, dir bool) {
		return func(f file, below string, dir bool) {
			if int(f.st.Uid) == g.To || f.st.Nlink > 1 && !dir {
				return // its own; or one with names elsewhere, where nobody has asked for this
			}
			if !g.Denied(project+below, dir) {
				w.tell(f, func() (bool, error) { return g.give(w, f, project+below) })
			}
		}
	})
	return w.report
}

func (g Grant) give(w *walker, f file, path string) (changed bool, err error) {
	perm := uint16(f.st.Mode >> 6 & 7)
	protected := g.Protected(path, f.dir())
	if protected {
		perm &^= 2
	}
	list, err := readOr(f.link, accessAttr, FromMode(f.st.Mode))
	if err != nil {
		return false, err
	}
	if !list.gives(g.To, perm) {
		if err := write(f.link, accessAttr, list.Give(g.To, perm)); err != nil {
			return false, err
		}
		changed = true
	}
	if !f.dir() || protected {
		return changed, nil
	}
	list, err = readOr(f.link, defaultAttr, FromMode(f.st.Mode&^(w.umask&0o077)))
	if err != nil || list.gives(g.To, 7) && list.gives(g.Owner, 7) {
		return changed, err
	}
	return true, write(f.link, defaultAttr, list.Give(g.Owner, 7).Give(g.To, 7))
}

// Revoke takes it back from everything below a project.
func (g Grant) Revoke(project string) Report {
	w := &walker{}
	w.walk(project, func(string) func(f file, below string, dir bool) {
		return func(f file, below string, dir bool) {
			if int(f.st.Uid) != g.To {
				w.tell(f, func() (bool, error) { return g.take(f) })
			}
		}
	})
	return w.report
}

func (g Grant) take(f file) (changed bool, err error) {
	for _, attr := range []string{accessAttr, defaultAttr} {
		if attr == defaultAttr && !f.dir() {
			break
		}
		list, err := read(f.link, attr)
		if err != nil {
			return changed, err
		}
		rest, was := list.Take(g.To)
		if !was {
			continue
		}
		rest, _ = rest.Take(g.Owner) // to the owner it made no difference
		if attr == defaultAttr && !rest.named() {
			err = ignoring(unix.Removexattr(f.link, attr), unix.ENODATA)
		} else {
			err = write(f.link, attr, rest)
		}
		if err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// OpenWay lets the user through one folder that leads to a project, and says
// whether that took a change.
func (g Grant) OpenWay(dir string) (changed bool, err error) {
	return onOne(dir, func(f file) (bool, error) {
		list, err := readOr(f.link, accessAttr, FromMode(f.st.Mode))
		if err != nil || list.gives(g.To, 1) || list.gives(g.To, 5) || list.gives(g.To, 7) {
			return false, err
		}
		if list.Mode()&1 != 0 && !list.named() {
			return false, nil
		}
		return true, write(f.link, accessAttr, list.Give(g.To, 1))
	})
}

// CloseWay takes back what OpenWay did.
func (g Grant) CloseWay(dir string) error {
	_, err := onOne(dir, func(f file) (bool, error) {
		list, err := read(f.link, accessAttr)
		if err != nil || !list.gives(g.To, 1) {
			return false, err
		}
		rest, _ := list.Take(g.To)
		return true, write(f.link, accessAttr, rest)
	})
	return err
}

func onOne(path string, do func(f file) (bool, error)) (bool, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0) })
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	f := file{fd: fd}
	if err := f.look(); err != nil {
		return false, err
	}
	return do(f)
}

// tell does something to a file and counts it.
func (w *walker) tell(f file, do func() (bool, error)) {
	switch changed, err := do(); {
	case gone(err):
	case err != nil:
		w.failed(f.path(), err)
	default:
		w.done(true, changed)
	}
}

func readOr(link, attr string, none List) (List, error) {
	list, err := read(link, attr)
	if list == nil && err == nil {
		list = none
	}
	return list, err
}
