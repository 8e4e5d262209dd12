package limit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
)

// scope is a transient unit of systemd's that a process is put into:
// org.freedesktop.systemd1(5), systemd.scope(5). It goes by itself when it is
// empty.
type scope struct {
	conn *dbus.Conn
	name string
	dir  string // of the cgroup
}

// patience is how long systemd may take for an answer. What it takes is a few
// milliseconds; a run that waited for ever would be worse than one that does
// without.
const patience = 5 * time.Second

// managerSocket is where the caller's own systemd listens: for root the
// system's, which needs no message bus.
func managerSocket() string {
	if os.Getuid() == 0 {
		return "/run/systemd/private"
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(dir, "systemd/private")
}

// dial connects to the systemd that listens at path.
func dial(path string) (*scope, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	c, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return nil, fmt.Errorf("talk to systemd: %w", err)
	}
	// godbus has no time limit for its greeting.
	err = c.SetDeadline(time.Now().Add(patience))
	var conn *dbus.Conn
	if err == nil {
		conn, err = dbus.NewConn(&quiet{Conn: c})
	}
	if err == nil {
		err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("talk to systemd at %s: %w", path, err)
	}
	return &scope{conn: conn, name: fmt.Sprintf("aigate-%d-%x.scope", os.Getpid(), time.Now().UnixNano()&0xffffff)}, nil
}

// quiet is a connection that says nothing of its end when that is ours: godbus
// reads on in a goroutine, and panics when it is told of an error between the head
// of a message and its body. That goroutine stays where it is, then; there is one
// in a run.
type quiet struct {
	net.Conn
	closed atomic.Bool
}

func (q *quiet) Read(b []byte) (int, error) {
	n, err := q.Conn.Read(b)
	if n == 0 && err != nil && q.closed.Load() {
		select {}
	}
	return n, err
}

func (q *quiet) Close() error {
	q.closed.Store(true)
	return q.Conn.Close()
}

type property struct {
	Name  string
	Value dbus.Variant
}

// properties are systemd's words for the limits.
func (l Limits) properties(pid int, own int64, cpus int) []property {
	p := []property{
		{"Description", dbus.MakeVariant("aigate run")},
		{"PIDs", dbus.MakeVariant([]uint32{uint32(pid)})},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
	}
	if l.MaxMemory != 0 {
		p = append(p, property{"MemoryMax", dbus.MakeVariant(uint64(l.MaxMemory &^ (pageSize - 1)))},
			property{"MemorySwapMax", dbus.MakeVariant(uint64(0))})
	}
	if l.MaxCPUPercent != 0 {
		p = append(p, property{"CPUQuotaPerSecUSec", dbus.MakeVariant(uint64(l.quota(cpus) * 1_000_000 / period))})
	}
	if l.MaxPids != 0 {
		p = append(p, property{"TasksMax", dbus.MakeVariant(uint64(l.MaxPids + own))})
	}
	return p
}

// adopt has systemd make the scope around a process, and waits until it stands.
func (s *scope) adopt(pid int, properties []property) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan *dbus.Signal, 100)
	s.conn.Signal(done)
	var job dbus.ObjectPath
	var none []struct {
		Name       string
		Properties []property
	}
	err := s.conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").
		CallWithContext(ctx, "org.freedesktop.systemd1.Manager.StartTransientUnit", 0, s.name, "fail", properties, none).Store(&job)
	if err != nil {
		return fmt.Errorf("systemd made no scope: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("systemd did not finish the scope %s in %v", s.name, patience)
		case sig, ok := <-done:
			if !ok {
				return errors.New("systemd ended the conversation")
			}
			if result, ok := jobResult(sig, job); ok && result != "done" {
				return fmt.Errorf("systemd made no scope: %s", result)
			} else if ok {
				return nil
			}
		}
	}
}

// jobResult reads JobRemoved(id, job, unit, result).
func jobResult(sig *dbus.Signal, job dbus.ObjectPath) (result string, ok bool) {
	if sig.Name != "org.freedesktop.systemd1.Manager.JobRemoved" || len(sig.Body) < 4 || sig.Body[1] != job {
		return "", false
	}
	result, ok = sig.Body[3].(string)
	return result, ok
}

// check finds the scope's cgroup by the process that is to be in it, and says
// which controllers it has.
func (s *scope) check(h hierarchy, pid int, settings []setting) (have []string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	in, err := findHierarchy(string(mounts), string(text))
	if err != nil {
		return nil, err
	}
	if filepath.Base(in.own) != s.name || !strings.HasPrefix(in.own, h.mount+"/") {
		return nil, fmt.Errorf("systemd left the sandbox in %s", in.own)
	}
	if s.dir = in.own; !nsDelegate(string(mounts)) {
		return nil, errors.New("cgroup2 is mounted without nsdelegate, so a scope's limits could be changed inside")
	}
	return verify(s.dir, settings)
}

// nsDelegate says that a cgroup namespace is a boundary: whoever is in one may
// not change the limits of the group that it begins with, cgroups(7).
func nsDelegate(mounts string) bool {
	for line := range strings.Lines(mounts) {
		if _, right, ok := strings.Cut(line, " - cgroup2 "); ok {
			f := strings.Fields(right)
			return slices.Contains(strings.Split(f[len(f)-1], ","), "nsdelegate")
		}
	}
	return false
}

func (s *scope) close() { s.conn.Close() }
