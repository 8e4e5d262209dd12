package account

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Ubuntu since 23.10 takes the capabilities out of user namespaces that plain
// users make, except for programs with an AppArmor profile that says userns.
// Theirs for browsers look the same (/etc/apparmor.d/chrome): a name to hang
// the permission on, and no confinement.
const (
	profilePath = "/etc/apparmor.d/aigate"
	profileMark = "# Made by `aigate setup`, removed by `aigate reset`."
)

// What the kernel says. Tests, on machines without AppArmor, say it themselves.
var (
	restrictPath = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
	loadedPath   = "/sys/kernel/security/apparmor/profiles"
)

// profileText is the profile for a program.
func profileText(program string) string {
	return profileMark + `
# It lets aigate make user namespaces, which is how it builds its sandboxes
# without being root. It confines nothing.

abi <abi/4.0>,
include <tunables/global>

profile aigate ` + quoted(program) + ` flags=(unconfined) {
  userns,

  include if exists <local/aigate>
}
`
}

// quoted writes a path as a pattern that means itself, apparmor.d(5).
func quoted(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		if strings.IndexByte(`?*[]{}^,\"@`, path[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	b.WriteByte('"')
	return b.String()
}

// restricted says whether this system keeps plain users from user namespaces
// by AppArmor.
func restricted() bool {
	text, err := os.ReadFile(restrictPath)
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// Profile says what the AppArmor profile for this program comes to: "" where
// none is needed, "loaded", "missing", or "other path" when it is for an aigate
// that lies elsewhere.
func Profile() string {
	if !restricted() {
		return ""
	}
	text, err := os.ReadFile(profilePath)
	if err != nil {
		return "missing"
	}
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil || !bytes.Contains(text, []byte("profile aigate "+quoted(program)+" ")) {
		return "other path"
	}
	return "loaded"
}

// profile writes and loads the profile where the system asks for one.
func (s *setup) profile(program string) error {
	if !restricted() {
		return nil
	}
	if why := changeable(program); why != "" {
		return fmt.Errorf("this system lets plain users make user namespaces by AppArmor profile alone, and %s must not get one because %s: install it with `sudo install -m 755 %s /usr/local/bin/aigate` and run `sudo /usr/local/bin/aigate setup`", program, why, program)
	}
	old, err := os.ReadFile(profilePath)
	text := []byte(profileText(program))
	switch {
	case err == nil && bytes.Equal(old, text):
		s.say("the AppArmor profile %s is there already", profilePath)
	case err == nil && !bytes.HasPrefix(old, []byte(profileMark)):
		return fmt.Errorf("%s is there and was not made by `aigate setup`; it is left as it is. See that it lets aigate make user namespaces (userns,), or move it away and run setup again", profilePath)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		s.record.Profile = profilePath
		if err := s.record.save(); err != nil {
			return err
		}
		if err := os.WriteFile(profilePath, text, 0o644); err != nil {
			return err
		}
		s.say("wrote the AppArmor profile %s, which lets %s make user namespaces", profilePath, program)
	}
	if err := parser("--replace", profilePath); err != nil {
		return fmt.Errorf("load the AppArmor profile %s: %w", profilePath, err)
	}
	return nil
}

// changeable says why others than root could put another program in a
// program's place.
func changeable(program string) string {
	for at := program; ; at = filepath.Dir(at) {
		var st syscall.Stat_t
		if err := syscall.Stat(at, &st); err != nil {
			return err.Error()
		}
		if st.Uid != 0 || st.Mode&0o022 != 0 && st.Mode&syscall.S_ISVTX == 0 {
			return "others than root can change " + at
		}
		if at == "/" || at == "." {
			return ""
		}
	}
}

func removeProfile(path string) (was bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !bytes.HasPrefix(text, []byte(profileMark)) {
		return false, fmt.Errorf("it was replaced by somebody else's and is left as it is; remove it yourself")
	}
	if loaded() {
		if err := parser("--remove", path); err != nil {
			return true, err
		}
	}
	return true, os.Remove(path)
}

// loaded says whether the kernel has the profile. Only root can ask.
func loaded() bool {
	text, err := os.ReadFile(loadedPath)
	return err == nil && bytes.Contains(append([]byte("\n"), text...), []byte("\naigate ("))
}

func parser(args ...string) error {
	path, err := find("apparmor_parser")
	if err != nil {
		return fmt.Errorf("%w (apt install apparmor)", err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
