package guard

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// ID tells one file from another, and one state of it from the next.
type ID struct {
	Dev, Ino         uint64
	Size             int64
	Changed, Written int64 // nanoseconds
}

func (a ID) sameFile(b ID) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// known is a program that a rule names, found when the guard was first asked.
type known struct {
	Found
	name string // the rule's first word
	id   ID
	read sync.Once
	image
}

// learn looks at the programs that rules name. It waits until somebody executes
// something, for most runs are over before.
func (g *Guard) learn() {
	var all []*known
	defer func() { g.known.Store(&all) }()
	for _, f := range Find(g.rules, g.dirs) {
		st, err := os.Stat(f.Real)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		k := &known{Found: f, name: f.rule.name}
		var links uint64
		k.id, links, _ = idOf(st)
		// The same file under another name, such as a wget that is busybox.
		k.Many = k.Many || links > 1 && g.linkedAs(f, k.id)
		all = append(all, k)
	}
}

// head is what its first bytes say, read when there is something to compare.
func (k *known) head() *image {
	k.read.Do(func() {
		if file, err := os.Open(k.Real); err == nil {
			k.image, _ = readImage(file)
			file.Close()
		}
	})
	return &k.image
}

// linkedAs looks in the folders of programs for a hard link that has another
// program's name.
func (g *Guard) linkedAs(f Found, id ID) bool {
	for _, dir := range g.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || related(e.Name(), f.rule.base()) {
				continue
			}
			if st, err := e.Info(); err == nil {
				if other, _, _ := idOf(st); other.sameFile(id) {
					return true
				}
			}
		}
	}
	return false
}

const (
	mostFacts = 8192
	// fresh is how long a file's times may stay the same although it is written
	// again: the kernel's clock for them ticks every 1 to 10 ms.
	fresh = 20 * time.Millisecond
)

// Installed gives a file that was looked at before and is one of this machine's
// own programs: wherever a path comes upon it, it is that.
func (g *Guard) Installed(id ID) (File, bool) {
	f := g.kept(id)
	if f == nil || f.installed == "" {
		return File{}, false
	}
	return File{Path: f.installed, Facts: f}, true
}

func (g *Guard) kept(id ID) *Facts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.facts[id]
}

// Facts looks at a file that lies at path. What it found is kept for as long as
// the file does not change.
func (g *Guard) Facts(id ID, path string, mine bool, open func() (*os.File, error)) *Facts {
	if f := g.kept(id); f != nil {
		return f
	}
	f, lasting := g.look(id, path, mine, open)
	if lasting && time.Since(time.Unix(0, max(id.Changed, id.Written))) > fresh {
		g.mu.Lock()
		if len(g.facts) >= mostFacts {
			clear(g.facts)
		}
		g.facts[id] = f
		g.mu.Unlock()
	}
	return f
}

// look reads it. A fault may be over the next time.
func (g *Guard) look(id ID, path string, mine bool, open func() (*os.File, error)) (f *Facts, lasting bool) {
	f = &Facts{}
	var im image
	file, err := open()
	if err == nil {
		defer file.Close()
		im, err = readImage(file)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		// Programs that may be executed and not read are root's. Of a caller's own
		// it is a way to hide what it is.
		f.unreadable = mine
	case err != nil:
		f.unreadable = true
		return f, false
	}
	f.loader, f.searches, f.header, f.interp, f.interpArg = im.loader, im.searches, im.header, im.interp, im.interpArg
	g.learnOnce.Do(g.learn)
	if (!mine || os.Getuid() == 0) && isInstalled(path, id) {
		f.installed = path
	}
	for _, k := range *g.known.Load() {
		switch {
		case k.id.sameFile(id):
		case f.installed != "", file == nil, !k.copied(id, im, file):
			continue
		case im.script && k.shim():
			f.many = true
			continue
		}
		if k.Many {
			f.many = true
		} else {
			f.is = append(f.is, k.name)
		}
	}
	return f, true
}

// isInstalled says that a file is the machine's own program at that path, where
// nobody inside can put anything. It is not a copy of another one, or if it is,
// it is one program under two names.
func isInstalled(path string, id ID) bool {
	if !slices.Contains(systemDirs, filepath.Dir(path)) {
		return false
	}
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	there, _, _ := idOf(st)
	return there.sameFile(id)
}

// systemDirs are folders in which nobody inside can put anything.
var systemDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/busybox"}

// copied says that a file is a copy of the program: the same build, or the same
// bytes.
func (k *known) copied(id ID, im image, file *os.File) bool {
	own := k.head()
	if im.build != "" && im.build == own.build {
		return true
	}
	if id.Size != k.id.Size || id.Size == 0 || im.script != own.script {
		return false
	}
	return k.equals(file)
}

func (k *known) equals(file io.ReaderAt) bool {
	own, err := os.Open(k.Real)
	if err != nil {
		return false
	}
	defer own.Close()
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := own.ReadAt(a, at)
		m, err2 := file.ReadAt(b, at)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return false
		}
		if at += int64(n); err == io.EOF && err2 == io.EOF {
			return true
		}
		if err != nil || err2 != nil {
			return false
		}
	}
}

// shim says that a script lies beside another of the same bytes, which is
// another program: version managers tell theirs apart by name.
func (k *known) shim() bool {
	entries, err := os.ReadDir(filepath.Dir(k.Real))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || related(e.Name(), filepath.Base(k.name)) {
			continue
		}
		st, err := e.Info()
		if err != nil || st.Size() != k.id.Size {
			continue
		}
		file, err := os.Open(filepath.Join(filepath.Dir(k.Real), e.Name()))
		if err != nil {
			continue
		}
		same := k.equals(file)
		file.Close()
		if same {
			return true
		}
	}
	return false
}

// LookAt looks at a file of this machine, as the check before a start does.
func (g *Guard) LookAt(path string) (File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return File{}, err
	}
	st, err := os.Stat(real)
	if err != nil {
		return File{}, err
	}
	if !st.Mode().IsRegular() {
		return File{Path: real}, nil
	}
	id, _, owner := idOf(st)
	if (int(owner) != os.Getuid() || os.Getuid() == 0) && isInstalled(real, id) {
		// Its name says what it is. So a start need not look for what rules name.
		f, err := os.Open(real)
		if err != nil {
			return File{Path: real}, nil
		}
		defer f.Close()
		im, _ := readImage(f)
		return File{Path: real, Facts: &Facts{loader: im.loader, searches: im.searches, header: im.header, interp: im.interp, interpArg: im.interpArg, installed: real}}, nil
	}
	return File{Path: real, Facts: g.Facts(id, real, int(owner) == os.Getuid(), func() (*os.File, error) { return os.Open(real) })}, nil
}
