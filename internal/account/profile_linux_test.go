package account

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProfileText(t *testing.T) {
	want, err := os.ReadFile("testdata/profile.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got := profileText("/usr/local/bin/aigate"); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// What means something in a pattern means itself.
	const path = `/opt/a b/{x,y}/*?[z]^@{HOME}/"q"\ai`
	if got, want := quoted(path), `"/opt/a b/\{x\,y\}/\*\?\[z\]\^\@\{HOME\}/\"q\"\\ai"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A system that restricts user namespaces, as far as setup can tell: the kernel's word for it, and a parser that writes down
// what it is asked.
func TestProfileIsMadeAndRemoved(t *testing.T) {
	if !onCopy(t) {
		return
	}
	dir := t.TempDir()
	restrictPath, loadedPath = dir+"/restrict", dir+"/profiles"
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(profilePath), 0o755); err != nil {
		t.Fatal(err)
	}
	write("/usr/sbin/apparmor_parser", "#!/bin/sh\necho \"$@\" >>"+dir+"/asked\n", 0o755)
	asked := func() string { b, _ := os.ReadFile(dir + "/asked"); os.Remove(dir + "/asked"); return string(b) }
	const program = "/usr/bin/env" // any that only root can change
	setup := func() (said, error) {
		var s said
		return s, Setup(Names{group, runner}, "", program, s.line)
	}

	write(restrictPath, "0\n", 0o644)
	if _, err := setup(); err != nil || asked() != "" || Profile() != "" {
		t.Errorf("not restricted: %v %q", err, Profile())
	}
	write(restrictPath, "1\n", 0o644)
	if Profile() != "missing" {
		t.Errorf("restricted: %q", Profile())
	}
	for range 2 {
		if _, err := setup(); err != nil || asked() != "--replace "+profilePath+"\n" {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(profilePath); err != nil || string(text) != profileText(program) {
		t.Errorf("%s %v", text, err)
	}
	if Profile() != "other path" { // this test's binary is not the program
		t.Errorf("with a profile: %q", Profile())
	}
	write(loadedPath, "chrome (unconfined)\naigate (unconfined)\n", 0o644)
	var s said
	if err := Reset(s.line); err != nil || asked() != "--remove "+profilePath+"\n" {
		t.Error(err)
	}
	s.has(t, "removed the AppArmor profile "+profilePath)
	if _, err := os.Lstat(profilePath); !os.IsNotExist(err) {
		t.Errorf("the profile is still there: %v", err)
	}

	// One that is not ours stays.
	write(profilePath, "# the administrator's\n", 0o644)
	if _, err := setup(); err == nil || !strings.Contains(err.Error(), "was not made by") {
		t.Errorf("another profile: %v", err)
	}
	if err := Reset(s.line); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(profilePath); string(text) != "# the administrator's\n" {
		t.Errorf("another profile became %q", text)
	}
	// A program that its user can change gets none: whatever lay there could make namespaces.
	if err := os.Remove(profilePath); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Setup(Names{group, runner}, "", restrictPath, s.line); err == nil || !strings.Contains(err.Error(), "others than root can change") {
		t.Errorf("a program in a folder that all may write: %v", err)
	}
}
