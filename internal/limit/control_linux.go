package limit

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Control holds one sandbox to its limits.
//
// The order is that of a start: Begin, before there is a process; Into or Adopt,
// for the first one; InForce, before it goes on, and with it Means and Inside;
// Follow, while the command runs; Close, when nobody is left, and Exceeded.
type Control struct {
	limits   Limits
	own      int64  // aigate's own processes in the sandbox
	way      string // asked for, "" for the best
	means    Means
	settings []setting
	tree     hierarchy // where we are
	treeErr  error
	parent   string   // where a group can be made
	have     []string // the controllers that it would have
	group    *group
	scope    *scope
	exposed  bool
	pid      int
	adopted  chan error

	watcher  *watcher
	follower *follower
	exceeded []Excess
}

// Begin looks what there is for limits, and makes the cgroup if it is one of our
// own. Own is the number of aigate's own processes and threads that will be in
// the sandbox. Way, if it is not empty, is the one to take ("systemd", "cgroup",
// "watched").
func Begin(l Limits, own int, way string) (*Control, error) {
	c := &Control{limits: l, own: int64(own), way: way}
	c.tree, c.treeErr = ourHierarchy()
	if err := c.count(); err != nil {
		return nil, err
	}
	if c.group == nil && c.means.By != Scope {
		c.confine()
	}
	return c, nil
}

// confine puts a sandbox that no limit gives a cgroup of its own into one, where
// our own is one that we may write: in a cgroup namespace of its own the command
// could mount cgroup2, and find the group of its caller there. Where that cannot
// be done, it must not have such namespaces.
func (c *Control) confine() {
	var st unix.Stat_t
	if c.treeErr != nil || unix.Stat(c.tree.own, &st) != nil {
		c.exposed = true // not to be seen here, the command could mount it all the same
		return
	}
	if int(st.Uid) != os.Geteuid() && unix.Access(c.tree.own, unix.W_OK) != nil {
		return // what belongs to others is closed to the command as well
	}
	var err error
	if c.group, err = makeGroup(c.tree.own, nil, nil); err != nil {
		c.exposed = true
	}
}

// Exposed says that cgroup namespaces have to be kept from the command.
func (c *Control) Exposed() bool { return c.exposed }

// count looks who counts, and makes the cgroup if it is one of our own.
func (c *Control) count() error {
	l, way := c.limits, c.way
	if !l.Counted() {
		return nil
	}
	if way != "" && !slices.Contains([]By{Scope, Group, Watched}, By(way)) {
		return fmt.Errorf("AIGATE_LIMITS=%s: systemd, cgroup or watched", way)
	}
	c.means.By = Watched
	if way == string(Watched) {
		c.means.Why = "asked for"
		return nil
	}
	if c.treeErr != nil {
		return c.without(c.treeErr)
	}
	c.settings = l.settings(c.own, processors())
	c.parent, c.have = c.tree.delegated(l.controllers())
	var err error
	if way != string(Group) {
		if err = c.managed(); err == nil {
			c.means.By = Scope
			return nil
		}
	}
	if way == string(Scope) {
		return c.without(err)
	}
	if e := c.makeGroup(); e != nil {
		return c.without(e)
	}
	return nil
}

// managed is an error where no systemd is at work in the hierarchy, which names
// groups in its own way, or none that can be asked.
func (c *Control) managed() error {
	if !strings.Contains(c.tree.own, ".slice") && !strings.HasSuffix(c.tree.own, ".scope") && !strings.HasSuffix(c.tree.own, ".service") {
		return fmt.Errorf("no systemd has made our cgroup %s", c.tree.own)
	}
	if _, err := os.Stat(managerSocket()); err != nil {
		return fmt.Errorf("no systemd of this user answers: %w", err)
	}
	return nil
}

// without is what is left when there is no cgroup.
func (c *Control) without(err error) error {
	if c.way != "" {
		return fmt.Errorf("resource_limits: %w", err)
	}
	c.means = Means{By: Watched, Why: err.Error()}
	return nil
}

// makeGroup makes a cgroup of our own, where we may.
func (c *Control) makeGroup() error {
	if c.parent == "" {
		return fmt.Errorf("none of the cgroups above ours (%s) is ours to make others in that have %s", c.tree.own, list(c.limits.controllers()))
	}
	g, err := makeGroup(c.parent, c.settings, c.have)
	if err != nil {
		return err
	}
	have, err := verify(g.dir, c.settings)
	if err != nil {
		return errors.Join(err, g.remove())
	}
	c.group = g
	c.means = means(Group, have)
	return nil
}

func means(by By, have []string) Means {
	return Means{By: by, Memory: slices.Contains(have, "memory"), CPU: slices.Contains(have, "cpu"), Pids: slices.Contains(have, "pids")}
}

// Into is a descriptor of the cgroup that the sandbox's first process is to be
// made in (CLONE_INTO_CGROUP, clone(2)), -1 when there is none.
func (c *Control) Into() int {
	if c.group == nil {
		return -1
	}
	return c.group.box
}

// Enter moves the first process there, on a kernel, or under a filter, that
// could not make it there.
func (c *Control) Enter(pid int) error { return c.group.enter(pid) }

// Adopt says which process the first one is. A scope is made around it while
// its supervisor has other things to do.
func (c *Control) Adopt(pid int) {
	c.pid = pid
	if c.means.By != Scope {
		return
	}
	c.adopted = make(chan error, 1)
	go func() { c.adopted <- c.askSystemd(pid) }()
}

func (c *Control) askSystemd(pid int) (err error) {
	if c.scope, err = dial(managerSocket()); err != nil {
		return err
	}
	defer c.scope.close()
	if err := c.scope.adopt(pid, c.limits.properties(pid, c.own, processors())); err != nil {
		return err
	}
	have, err := c.scope.check(c.tree, pid, c.settings)
	if err == nil && len(have) == 0 {
		err = fmt.Errorf("systemd gives its scopes none of the controllers %s here", list(c.limits.controllers()))
	}
	if err == nil {
		c.means = means(Scope, have)
	}
	return err
}

// Pending says that systemd has been asked for a scope and that InForce may have
// to wait for it.
func (c *Control) Pending() bool { return c.adopted != nil }

// InForce returns when the limits hold for the first process, as far as the
// kernel counts; what it does not is Inside's and Follow's.
func (c *Control) InForce() error {
	if c.adopted == nil {
		return nil
	}
	refused := <-c.adopted
	c.adopted = nil
	if refused == nil {
		return nil
	}
	if c.way != "" {
		return fmt.Errorf("resource_limits: %w", refused)
	}
	err := c.makeGroup()
	if err == nil {
		if err = c.group.enter(c.pid); err == nil {
			c.means.Why = refused.Error()
			return nil
		}
		err = errors.Join(err, c.group.remove())
		c.group = nil
	}
	c.means = Means{By: Watched, Why: fmt.Sprintf("%v; %v", refused, err)}
	if c.confine(); c.group != nil {
		return c.group.enter(c.pid)
	}
	return nil
}

// Means says who enforces what. It is known when InForce has returned.
func (c *Control) Means() Means { return c.means }

// Rlimit is a limit of a process and those that it starts, setrlimit(2). It can
// be lowered inside and never raised.
type Rlimit struct {
	Resource int
	Value    uint64
}

// Inside is what the command is given.
type Inside struct {
	Rlimits []Rlimit
	Nice    int    // added to its own, setpriority(2)
	CPUs    []byte // a mask, nil: all, sched_setaffinity(2)
	TmpSize int64  // of file systems in memory, 0: the kernel's own limit
}

// niceness where nobody counts processor time: whoever else wants the
// processors goes first.
const niceness = 10

// Inside gives what the first process is given before it starts the command.
func (c *Control) Inside() Inside {
	l := c.limits
	in := Inside{TmpSize: l.tmpSize(physical())}
	if l.MaxFileSize != 0 {
		in.Rlimits = append(in.Rlimits, Rlimit{unix.RLIMIT_FSIZE, uint64(l.MaxFileSize)})
	}
	if l.MaxOpenFiles != 0 {
		in.Rlimits = append(in.Rlimits, Rlimit{unix.RLIMIT_NOFILE, uint64(l.MaxOpenFiles)})
	}
	if l.MaxPids != 0 && !c.means.Pids && perNamespace() {
		in.Rlimits = append(in.Rlimits, Rlimit{unix.RLIMIT_NPROC, uint64(l.MaxPids + c.own)})
	}
	if l.MaxCPUPercent != 0 && !c.means.CPU {
		in.Nice = niceness
		in.CPUs = l.affinity(processors())
	}
	return in
}

// tmpSize is what the sandbox's file systems in memory may hold: half of the
// memory that it may use, so that a full /tmp says so and leaves room for
// programs; but no more than the kernel's own limit, half of the machine's.
func (l Limits) tmpSize(physical int64) int64 {
	if l.MaxMemory == 0 || l.MaxMemory >= physical {
		return 0
	}
	return (l.MaxMemory / 2) &^ (pageSize - 1)
}

// affinity is a mask of as many processors as the percentage comes to, rounded
// up; nil when it comes to all.
func (l Limits) affinity(cpus int) []byte {
	n := int(l.MaxCPUPercent*int64(cpus)+99) / 100
	var set unix.CPUSet
	if n >= cpus || unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	mask := make([]byte, 128)
	for cpu := 0; cpu < 8*len(mask) && n > 0; cpu++ {
		if set.IsSet(cpu) {
			mask[cpu/8] |= 1 << (cpu % 8)
			n--
		}
	}
	return mask
}

// perNamespace says that RLIMIT_NPROC counts in each user namespace for itself,
// as it does since Linux 5.14: before, the user's other processes counted too.
func perNamespace() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	major, minor := version(unix.ByteSliceToString(u.Release[:]))
	return major > 5 || major == 5 && minor >= 14
}

func version(release string) (major, minor int) {
	fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor
}

// processors is how many the machine has that are on.
func processors() int {
	if text, err := os.ReadFile("/sys/devices/system/cpu/online"); err == nil {
		if n := countRanges(strings.TrimSpace(string(text))); n > 0 {
			return n
		}
	}
	return 1 // what is not known is not given
}

// countRanges counts what "0-3,5" names.
func countRanges(text string) (n int) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b, err2 := a, error(nil)
		if isRange {
			b, err2 = strconv.Atoi(to)
		}
		if err != nil || err2 != nil || b < a {
			return 0
		}
		n += b - a + 1
	}
	return n
}

// physical is the machine's memory in bytes.
func physical() int64 {
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) != nil {
		return math.MaxInt64
	}
	return int64(si.Totalram) * int64(si.Unit)
}

// Looks says that Follow needs a Sight.
func (c *Control) Looks() bool {
	return c.limits.MaxMemory != 0 && !c.means.Memory || c.limits.MaxPids != 0 && !c.means.Pids
}

// Follow begins to look after a command that runs. Over is told, once, of a
// limit for which the sandbox has to be ended; an error says that nobody looks
// any more.
func (c *Control) Follow(at Sight, over func(Excess, error)) error {
	if c.Looks() {
		l := c.limits
		if c.means.Memory {
			l.MaxMemory = 0
		}
		if l.MaxPids != 0 { // as Inside has it; what the kernel refuses is not to end the sandbox
			l.MaxPids += c.own
		}
		c.watcher = watch(l, at, over)
	}
	if c.means.By == Scope {
		var err error
		c.follower, err = follow(c.scope.dir)
		return err
	}
	return nil
}

// Cleanup names what is to be removed when the supervisor cannot: folders of a
// descriptor, the inner one first. Empty: nothing.
func (c *Control) Cleanup() (parent int, names []string) {
	if c == nil || c.group == nil {
		return -1, nil
	}
	return c.group.parent, []string{c.group.name + "/" + boxName, c.group.name}
}

// Close leaves nothing behind. Everything in the sandbox has ended.
func (c *Control) Close() error {
	if c == nil {
		return nil
	}
	if c.adopted != nil { // it was given up in the middle of its start
		<-c.adopted
		c.adopted = nil
	}
	c.Unfollow()
	if c.follower != nil {
		c.follower.stop()
	}
	e := c.events()
	if e.killed > 0 {
		c.exceeded = append(c.exceeded, Excess{Key: "max_memory", Count: e.killed})
	}
	if e.refused > 0 {
		c.exceeded = append(c.exceeded, Excess{Key: "max_pids", Count: e.refused})
	}
	if c.group == nil {
		return nil
	}
	return c.group.remove()
}

// Unfollow ends the looking of Follow: over is not called any more when it
// returns.
func (c *Control) Unfollow() {
	if c != nil && c.watcher != nil {
		c.watcher.stop()
		c.watcher = nil
	}
}

// events are a cgroup's counters of what its limits did.
type events struct{ killed, refused int64 }

func readEvents(dir string) (e events) {
	if text, err := os.ReadFile(filepath.Join(dir, "memory.events")); err == nil {
		e.killed = event(string(text), "oom_kill")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "pids.events")); err == nil {
		e.refused = event(string(text), "max")
	}
	return e
}

// events are what the kernel counted so far.
func (c *Control) events() (e events) {
	switch {
	case c.group != nil:
		return readEvents(c.group.dir)
	case c.follower != nil:
		return c.follower.events()
	}
	return e
}

// Killed says that the kernel ended processes that needed too much memory.
func (c *Control) Killed() bool { return c.events().killed > 0 }

// Exceeded are the limits that the kernel enforced, known after Close.
func (c *Control) Exceeded() []Excess {
	if c == nil {
		return nil
	}
	return c.exceeded
}
