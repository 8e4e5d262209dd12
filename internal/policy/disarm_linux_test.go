package policy

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStrikeOff: what must not be is removed, but never by way of a link that stands in a folder's place.
func TestStrikeOff(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"own", "other", "folder/config.worktree"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"own/config.worktree", "other/config.worktree"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte("[core]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("other", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "own"), 0o111); err != nil { // the command may have closed it
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{"own": true, "link": false, "folder": false, "nothing": false} {
		removed, err := (&Policy{}).strikeOff(filepath.Join(root, dir, "config.worktree"))
		if removed != want || err != nil {
			t.Errorf("%s: removed %v, %v", dir, removed, err)
		}
	}
	if !exists(filepath.Join(root, "other/config.worktree")) {
		t.Error("removed by way of a link")
	}
}

func TestPlainGitConfig(t *testing.T) {
	project, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(project, ".git/modules/sub")
	for _, d := range []string{dir, filepath.Join(project, "sub")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]bool{
		"[core]\n\tworktree = ../../../sub\n":       true, // as git writes it for a submodule
		"[core]\n\tworktree = ../../../..\n":        false,
		"[core]\n\tworktree = /\n":                  false,
		"[user]\n\tworktree = ../../../sub\n":       false,
		"[core]\n\tbare = false\n":                  true,
		"[core]\n\tfsmonitor = true\n":              false,
		"[remote \"o\"]\n\turl = ext::sh -c true\n": false,
	} {
		if got := plainGitConfig(text, dir, project); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
