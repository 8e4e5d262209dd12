package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/AxeForging/aigate/internal/account"
	"github.com/AxeForging/aigate/internal/policy"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// `sudo aigate run --as-runner` is three processes, one after the other in what
// they may do: root looks up whom to become; a process of the caller's reads the
// configuration and applies ACLs (behalf.go); then root becomes the sandbox's
// user for good, by execve, and what runs from there on is an ordinary run by an
// ordinary user, supervisor and command alike.

func (f *runFlags) registerRunner(c *cobra.Command) {
	c.Flags().BoolVar(&f.asRunner, "as-runner", false, "run as the sandbox's own user, to whom your files are denied by ACL as well (needs sudo)")
	c.Flags().IntVar(&f.handed, "handed", 0, "")
	c.Flags().MarkHidden("handed")
}

func ownProgram() (string, error) { return "/proc/self/exe", nil }

// becomeRunner does not return when all is well.
func (f *runFlags) becomeRunner(args []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run `sudo aigate run --as-runner -- command`", account.ErrPrivileges)
	}
	runner, gid, err := theRunner()
	if err != nil {
		return err
	}
	by, err := behind()
	if err != nil {
		return err
	}
	if n := by.configured(); n.User != runner.Name {
		return fmt.Errorf("%s names the user %s, and setup made %s: run `sudo aigate setup` again, or change the configuration", by.config(), n.User, runner.Name)
	}
	what := []string{"prepare"}
	if f.defaults {
		what = append(what, "--defaults")
	}
	given, err := by.ask(what...)
	if err != nil {
		return err
	}
	fd, err := sealed(given)
	if err != nil {
		return err
	}
	if err := drop(runner.UID, gid); err != nil {
		return fmt.Errorf("become %s: %w", runner.Name, err)
	}
	again := append([]string{"aigate", "run", "--handed", strconv.Itoa(fd)}, f.again()...)
	err = syscall.Exec("/proc/self/exe", append(append(again, "--"), args...), person{runner}.runnerEnvironment())
	return fmt.Errorf("start aigate as %s: %w", runner.Name, err)
}

// theRunner is the user that setup made or found fit, by root's own record: a
// configuration is the caller's to write.
func theRunner() (u account.User, gid int, err error) {
	r, err := account.Load()
	if err != nil {
		return u, -1, err
	}
	if r.Current.User == "" {
		return u, -1, errors.New("there is no sandbox user yet: run `sudo aigate setup` first")
	}
	u, found, err := account.ByName(r.Current.User)
	if err != nil {
		return u, -1, err
	}
	state, err := account.State(r.Current.Group, r.Current.User)
	if err == nil && (!found || state != "ready") {
		err = fmt.Errorf("the sandbox's user %s and group %s are not as setup left them (%s): run `sudo aigate setup` again", r.Current.User, r.Current.Group, state)
	}
	if err != nil {
		return u, -1, err
	}
	gid, _, err = account.IDs(r.Current.Group, r.Current.User)
	u.Home = account.HomeOf(u.Name)
	return u, gid, err
}

// drop gives everything up that root has, in every thread and for good. The
// user gets the sandbox's group and no other: a second group could be allowed
// what this one is denied.
func drop(uid, gid int) error {
	if uid <= 0 || gid <= 0 {
		return fmt.Errorf("%d:%d is root", uid, gid)
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return err
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return err
	}
	return syscall.Setresuid(uid, uid, uid)
}

// again are the flags that the run has been given.
func (f *runFlags) again() (flags []string) {
	for _, one := range []struct {
		on   bool
		name string
	}{{f.dryRun, "--dry-run"}, {f.json, "--json"}, {f.quiet, "--quiet"}, {f.verbose, "--verbose"}} {
		if one.on {
			flags = append(flags, one.name)
		}
	}
	for _, p := range f.publish {
		flags = append(flags, "--publish", p)
	}
	return flags
}

// runnerEnvironment is the environment of sudo, with the home of the sandbox's
// user. Files of the project belong to somebody else, which git takes for an
// attack (safe.directory in git-config(1)); that somebody has asked for this.
func (p person) runnerEnvironment() []string {
	env := p.environment(os.Environ())
	if os.Getenv("GIT_CONFIG_COUNT") == "" {
		env = append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	}
	return env
}

// sealed puts bytes where the next program finds them and nobody changes them.
func sealed(b []byte) (fd int, err error) {
	if fd, err = unix.MemfdCreate("aigate", unix.MFD_ALLOW_SEALING); err != nil {
		return -1, err
	}
	f := os.NewFile(uintptr(fd), "aigate")
	defer runtime.KeepAlive(f)
	if _, err := f.Write(b); err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		return -1, err
	}
	if fd, err = unix.Dup(fd); err != nil { // f closes its own
		return -1, err
	}
	_, err = unix.Seek(fd, 0, io.SeekStart)
	return fd, err
}

// takeOver reads what root handed over, and looks whether the project is open
// to this user.
func (f *runFlags) takeOver(h *policy.Host) error {
	file := os.NewFile(uintptr(f.handed), "what was handed over")
	if file == nil {
		return fmt.Errorf("--handed %d is no descriptor", f.handed)
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, 16<<20)).Decode(&f.given); err != nil || f.given.Config == nil {
		return fmt.Errorf("--handed: %w", errors.Join(err, errors.New("nothing that could be understood")))
	}
	if err := unprivileged(); err != nil {
		return err
	}
	h.Project = f.given.Project
	return f.reachable(*h)
}

// unprivileged makes sure that nothing of root's has come along.
func unprivileged() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		return err
	}
	if os.Geteuid() == 0 || caps[0].Permitted|caps[1].Permitted != 0 {
		return errors.New("root's privileges could not be given up; nothing was started")
	}
	return nil
}

// reachable says what to do about a project that the user may not work in.
func (f *runFlags) reachable(h policy.Host) error {
	for dir := range above(h.Project) {
		if unix.Access(dir, unix.X_OK) == nil {
			continue
		}
		return fmt.Errorf("%s is closed to the sandbox's user: let it work in the project with `aigate allow runner` (without sudo, in the project)", dir)
	}
	if unix.Access(h.Project, unix.R_OK) != nil {
		return fmt.Errorf("%s cannot be read by the sandbox's user: let it work there with `aigate allow runner` (without sudo, in the project)", h.Project)
	}
	if unix.Access(h.Project, unix.W_OK) != nil && !f.quiet {
		say("the project is read-only for the sandbox's user; `aigate allow runner` lets it write there")
	}
	return nil
}
