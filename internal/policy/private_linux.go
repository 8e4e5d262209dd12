package policy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// private lists the folders that are empty and in memory inside.
func (p *Policy) private() {
	uid := fmt.Sprint(p.host.UID)
	p.Private = []Scratch{{"/run", 0o755}}
	for _, d := range []string{"/tmp", "/var/tmp"} {
		if real, st, err := realPath(d); err == nil && isDir(st) {
			p.scratch(real, 0o1777)
		}
	}
	p.scratch("/run/lock", 0o1777)
	p.scratch("/run/user/"+uid, 0o700)
	for _, name := range []string{"TMPDIR", "XDG_RUNTIME_DIR"} {
		d := getenv(p.host.Env, name)
		if d == "" {
			continue
		}
		real, st, err := realPath(d)
		if err != nil || !isDir(st) || p.precious(real) {
			continue
		}
		p.scratch(real, 0o700)
	}
}

// runFiles are the files in /run that /etc/resolv.conf may lead to, and what
// NixOS and WSL keep there.
var runFiles = []string{
	"/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/resolv.conf", "/run/resolvconf/resolv.conf", "/run/resolvconf/interface",
	"/run/current-system", "/run/booted-system", "/run/wrappers", "/run/opengl-driver", "/mnt/wsl/resolv.conf",
	"/run/motd.dynamic", "/run/utmp",
}

// shown lists what must stay visible in the private folders.
func (p *Policy) shown() {
	for _, f := range runFiles {
		var st unix.Stat_t
		if unix.Lstat(f, &st) != nil || p.visible(f) || isLink(st) {
			continue
		}
		p.Shown = append(p.Shown, Entry{Path: f, Dir: isDir(st), Rule: "needed by every program"})
	}
	if p.Home != "" && !p.visible(p.Home) && !below(p.Home, p.Project) {
		if _, st, err := realPath(p.Home); err == nil && isDir(st) {
			p.Shown = append(p.Shown, Entry{Path: p.Home, Dir: true, Rule: "home"})
		}
	}
}
