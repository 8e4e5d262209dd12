package policy

import (
	"os"
	"testing"

	"github.com/AxeForging/aigate/internal/config"
)

// BenchmarkResolve is what a start pays for the policy in a small project.
func BenchmarkResolve(b *testing.B) {
	dir := b.TempDir()
	if err := os.MkdirAll(dir+"/.git/hooks", 0o755); err != nil {
		b.Fatal(err)
	}
	for _, f := range []string{".env", "a.go", ".git/HEAD", ".git/config"} {
		if err := os.WriteFile(dir+"/"+f, nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	c := config.Defaults()
	h := Host{UID: os.Getuid(), GID: os.Getgid(), Home: "/home/nobody-here", Dir: dir, Project: dir, Env: os.Environ()}
	for b.Loop() {
		if _, err := Resolve(&c, h); err != nil {
			b.Fatal(err)
		}
	}
}
