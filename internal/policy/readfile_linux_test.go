package policy

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadFileOfTheCommandsMaking(t *testing.T) {
	fifo, huge := filepath.Join(t.TempDir(), "fifo"), filepath.Join(t.TempDir(), "huge")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 50<<30); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, huge, "/dev/zero"} {
		if got := readFile(path); got != "" {
			t.Errorf("%s: %d bytes", path, len(got))
		}
	}
}
