package match_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/match"
	"golang.org/x/sys/unix"
)

// small is a project of a few files in a home that holds a few of the places
// that the built-in lists know.
func small(b *testing.B) (home, project string) {
	b.Helper()
	home, err := filepath.EvalSymlinks(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	project = home + "/src/project"
	for _, name := range []string{".bashrc", ".profile", ".bash_history", ".gitconfig", ".ssh/id", ".npmrc", ".config/gh/hosts.yml",
		".config/fish/x", ".cache/pip/x", ".local/bin/x", ".local/share/keyrings/x", ".claude/settings.json", ".claude.json",
		"go/pkg/x", "src/project/.env", "src/project/main.go", "src/project/go.mod", "src/project/.git/HEAD", "src/project/.git/config"} {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return home, project
}

func parse(b *testing.B, patterns []string, home string) *match.Set {
	b.Helper()
	s, err := match.Parse(patterns, home)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkStart is what every start pays here: the three built-in lists,
// compiled and looked up for a small project. It should stay below 250 µs and
// 1500 allocations.
func BenchmarkStart(b *testing.B) {
	home, project := small(b)
	c := config.Defaults()
	lists := [][]string{c.DenyRead, c.DenyWrite, c.AllowWrite}
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, list := range lists {
				parse(b, list, home)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, list := range lists {
				if _, err := parse(b, list, home).Walk(project, match.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkRescan is what a build pays for each directory that it makes.
func BenchmarkRescan(b *testing.B) {
	home, project := small(b)
	dir := project + "/target/debug/build"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	c := config.Defaults()
	for name, list := range map[string][]string{"deny_read": c.DenyRead, "deny_write": c.DenyWrite, "allow_write": c.AllowWrite} {
		b.Run(name, func(b *testing.B) {
			s := parse(b, list, home)
			b.ReportAllocs()
			for b.Loop() {
				res, err := s.Rescan(project, dir, match.Options{})
				if err != nil || len(res.Found) > 0 {
					b.Fatal(res, err)
				}
			}
		})
	}
}

// BenchmarkKernel is what the lookups of a start cost without anything around
// them, so that a loaded machine is not taken for a slow walk.
func BenchmarkKernel(b *testing.B) {
	dir, err := os.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	var st unix.Stat_t
	for b.Loop() {
		for range 340 {
			if unix.Fstatat(int(dir.Fd()), ".config-that-is-not-there", &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
				b.Fatal("it is there")
			}
		}
	}
}
