package limit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is where cgroup v2 is mounted and where in it we are.
type hierarchy struct{ mount, own string }

var errNoHierarchy = errors.New("no cgroup of version 2 is mounted here, or we are in none of it")

// findHierarchy reads /proc/self/mountinfo and /proc/self/cgroup.
func findHierarchy(mounts, own string) (hierarchy, error) {
	var h hierarchy
	root := ""
	for line := range strings.Lines(mounts) {
		left, right, ok := strings.Cut(line, " - ")
		if f := strings.Fields(left); ok && strings.HasPrefix(right, "cgroup2 ") && len(f) > 4 {
			root, h.mount = f[3], f[4]
		}
	}
	for line := range strings.Lines(own) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok || h.mount == "" {
			continue
		}
		below, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
		if !ok || below != "" && below[0] != '/' || strings.HasPrefix(below, "/..") {
			break // what is mounted is another part of the tree
		}
		h.own = filepath.Join(h.mount, below)
		return h, nil
	}
	return hierarchy{}, errNoHierarchy
}

// ourHierarchy is that of this process.
func ourHierarchy() (hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchy{}, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return hierarchy{}, err
	}
	return findHierarchy(string(mounts), string(own))
}

// delegated finds the nearest group at or above our own in which we may make
// another one that has the controllers; or else the one that has most of them.
// A process may be moved only below a group whose cgroup.procs we may write.
func (h hierarchy) delegated(need []string) (dir string, have []string) {
	for at := h.own; ; at = filepath.Dir(at) {
		if unix.Access(at, unix.W_OK) == nil && unix.Access(filepath.Join(at, "cgroup.procs"), unix.W_OK) == nil {
			if got := common(need, words(filepath.Join(at, "cgroup.subtree_control"))); len(got) > len(have) {
				dir, have = at, got
			}
		}
		if at == h.mount || len(have) == len(need) {
			return dir, have
		}
	}
}

func words(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

func common(a, b []string) (both []string) {
	for _, w := range a {
		if slices.Contains(b, w) {
			both = append(both, w)
		}
	}
	return both
}

// setting is one file of a cgroup.
type setting struct {
	controller, file, value string
	// absent says that a kernel without what it limits has no such file.
	absent bool
}

const period = 100_000 // microseconds, of cpu.max

// settings are what is written for limits, where own processes of aigate's are
// in the group and the machine has so many processors.
func (l Limits) settings(own int64, cpus int) (out []setting) {
	if l.MaxMemory != 0 {
		out = append(out,
			setting{"memory", "memory.max", strconv.FormatInt(l.MaxMemory&^(pageSize-1), 10), false},
			// Or the limit would be one on what is not swapped out.
			setting{"memory", "memory.swap.max", "0", true})
	}
	if l.MaxCPUPercent != 0 {
		out = append(out, setting{"cpu", "cpu.max", fmt.Sprintf("%d %d", l.quota(cpus), period), false})
	}
	if l.MaxPids != 0 {
		out = append(out, setting{"pids", "pids.max", strconv.FormatInt(l.MaxPids+own, 10), false})
	}
	return out
}

// quota is the time, in microseconds, that all processors together may give in
// a period. The kernel takes no less than 1,000.
func (l Limits) quota(cpus int) int64 {
	return max(1000, l.MaxCPUPercent*int64(cpus)*period/100)
}

var pageSize = int64(os.Getpagesize())

// controllers are those that the limits need.
func (l Limits) controllers() (need []string) {
	for _, s := range l.settings(0, 1) {
		if !slices.Contains(need, s.controller) {
			need = append(need, s.controller)
		}
	}
	return need
}

// group is a cgroup of our own: one that has the limits, and in it another that
// the sandbox is in. So the sandbox, whose cgroup namespace begins at the inner
// one, has no name for the files that hold its limits, though they belong to its
// user.
type group struct {
	dir    string // the outer one
	name   string // its name in parent
	parent int    // descriptor
	lock   int    // of the outer one, locked: it is in use
	box    int    // of the inner one
}

const (
	prefix   = "aigate-"
	boxName  = "sandbox"
	openPath = unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW
)

// makeGroup makes both, with what of the settings has a controller in have.
func makeGroup(parent string, settings []setting, have []string) (*group, error) {
	g := &group{parent: -1, lock: -1, box: -1}
	var err error
	if g.parent, err = unix.Open(parent, unix.O_RDONLY|openPath, 0); err != nil {
		return nil, fmt.Errorf("open %s: %w", parent, err)
	}
	g.sweep()
	g.name = fmt.Sprintf("%s%d-%x", prefix, os.Getpid(), time.Now().UnixNano()&0xffffff)
	g.dir = filepath.Join(parent, g.name)
	if err := g.fill(settings, have); err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

func (g *group) fill(settings []setting, have []string) (err error) {
	if err = unix.Mkdirat(g.parent, g.name, 0o755); err != nil {
		return fmt.Errorf("make the cgroup %s: %w", g.dir, err)
	}
	if g.lock, err = unix.Openat(g.parent, g.name, unix.O_RDONLY|openPath, 0); err != nil {
		return fmt.Errorf("open the cgroup %s: %w", g.dir, err)
	}
	if err = unix.Flock(g.lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock the cgroup %s: %w", g.dir, err)
	}
	for _, s := range settings {
		if !slices.Contains(have, s.controller) {
			continue
		}
		if err = os.WriteFile(filepath.Join(g.dir, s.file), []byte(s.value), 0); err != nil && !(s.absent && errors.Is(err, os.ErrNotExist)) {
			return fmt.Errorf("set %s to %s: %w", s.file, s.value, err)
		}
	}
	if err = unix.Mkdirat(g.lock, boxName, 0o755); err != nil {
		return fmt.Errorf("make the cgroup %s/%s: %w", g.dir, boxName, err)
	}
	// What the sandbox makes in there would have to be removed before it.
	if err = os.WriteFile(filepath.Join(g.dir, "cgroup.max.descendants"), []byte("1"), 0); err != nil {
		return fmt.Errorf("close the cgroup %s: %w", g.dir, err)
	}
	if g.box, err = unix.Openat(g.lock, boxName, unix.O_PATH|openPath, 0); err != nil {
		return fmt.Errorf("open the cgroup %s/%s: %w", g.dir, boxName, err)
	}
	return nil
}

// sweep removes groups that an aigate left which was killed together with
// whoever cleans up after it: those that nobody holds the lock of.
func (g *group) sweep() {
	dir, err := unix.Dup(g.parent)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(dir), "cgroup")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) || strings.HasSuffix(name, ".scope") {
			continue
		}
		fd, err := unix.Openat(g.parent, name, unix.O_RDONLY|openPath, 0)
		if err != nil {
			continue
		}
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			unix.Unlinkat(fd, boxName, unix.AT_REMOVEDIR)
			unix.Unlinkat(g.parent, name, unix.AT_REMOVEDIR)
		}
		unix.Close(fd)
	}
}

// enter moves a process into the sandbox's group; forking into it is quicker by
// far.
func (g *group) enter(pid int) error {
	path := filepath.Join(g.dir, boxName, "cgroup.procs")
	if err := os.WriteFile(path, []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("move the sandbox into its cgroup: %w", err)
	}
	return nil
}

// removePatience is how long the kernel may take to find that a group is empty
// whose last process was just reaped.
const removePatience = 2 * time.Second

// remove takes both away. Nobody is in them any more.
func (g *group) remove() (err error) {
	for end := time.Now().Add(removePatience); g.lock >= 0; time.Sleep(time.Millisecond) {
		err = unix.Unlinkat(g.lock, boxName, unix.AT_REMOVEDIR)
		if err == nil || err == unix.ENOENT {
			err = unix.Unlinkat(g.parent, g.name, unix.AT_REMOVEDIR)
		}
		if err != unix.EBUSY || time.Now().After(end) {
			break
		}
	}
	for _, fd := range []*int{&g.box, &g.lock, &g.parent} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// event reads a counter of one of a cgroup's event files.
func event(text, name string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// verify compares what the kernel holds a group to with what was asked for, and
// says which controllers are in force.
func verify(dir string, settings []setting) (have []string, err error) {
	for _, s := range settings {
		got, err := os.ReadFile(filepath.Join(dir, s.file))
		if errors.Is(err, os.ErrNotExist) {
			continue // the group does not have that controller, or the kernel no swap
		}
		if err != nil {
			return nil, err
		}
		if text := strings.TrimSpace(string(got)); text != s.value {
			return nil, fmt.Errorf("%s is %q instead of %q", s.file, text, s.value)
		}
		if !slices.Contains(have, s.controller) {
			have = append(have, s.controller)
		}
	}
	return have, nil
}
