package doctor

import (
	"os"
	"path/filepath"
	"slices"
)

// managers are the package managers that fixes are given for, in the order they are looked for: a
// machine may have the tools of another distribution, but hardly its package manager.
var managers = []struct{ name, program, install string }{
	{"apt", "apt-get", "sudo apt install "},
	{"dnf", "dnf", "sudo dnf install "},
	{"pacman", "pacman", "sudo pacman -S "},
	{"apk", "apk", "sudo apk add "},
}

// Everywhere is a package of one name with all of them, as those of bubblewrap, slirp4netns and acl are.
func Everywhere(name string) map[string]string {
	all := map[string]string{}
	for _, m := range managers {
		all[m.name] = name
	}
	return all
}

func installCommand(manager, pkg string) string {
	for _, m := range managers {
		if m.name == manager {
			return m.install + pkg
		}
	}
	return ""
}

// here are the managers that this machine has.
func here() (names []string) {
	for _, m := range managers {
		if slices.ContainsFunc([]string{"/usr/bin", "/bin", "/sbin", "/usr/sbin"}, func(dir string) bool {
			_, err := os.Stat(filepath.Join(dir, m.program))
			return err == nil
		}) {
			names = append(names, m.name)
		}
	}
	return names
}
