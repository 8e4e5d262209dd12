package account

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"ai-agents", "_x", "a", "a_b-9", strings.Repeat("a", 31)} {
		if err := (Names{name, name}).check(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "-x", "9a", "a b", "a:b", "Ai", "a/b", "a\n", "é", strings.Repeat("a", 32), "a$"} {
		if (Names{name, "ok"}).check() == nil || (Names{"ok", name}).check() == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

func TestUnfit(t *testing.T) {
	for _, c := range []struct {
		u  User
		ok bool
	}{
		{User{Name: "ai-runner", UID: 300, Shell: "/usr/sbin/nologin"}, true},
		{User{Name: "ai-runner", UID: 300, Shell: "/bin/false"}, true},
		{User{Name: "root", UID: 0, Shell: "/usr/sbin/nologin"}, false},
		{User{Name: "ada", UID: firstPerson, Shell: "/usr/sbin/nologin"}, false},
		{User{Name: "postgres", UID: 101, Shell: "/bin/bash"}, false},
		{User{Name: "sync", UID: 4, Shell: ""}, false}, // stands for /bin/sh, passwd(5)
	} {
		if why := unfitUser(c.u); (why == "") != c.ok {
			t.Errorf("%+v: %q", c.u, why)
		}
	}
	if unfitGroup(0, nil) == "" || unfitGroup(firstPerson, nil) == "" || unfitGroup(300, []string{"ada"}) == "" || unfitGroup(300, nil) != "" {
		t.Error("groups")
	}
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aigate", "setup.json")
	r, err := loadFrom(path)
	if err != nil || !r.empty() {
		t.Fatalf("no record: %+v %v", r, err)
	}
	r.Groups, r.Current = with(with(r.Groups, "g"), "g"), Names{"g", "u"}
	if err := r.saveTo(path); err != nil {
		t.Fatal(err)
	}
	got, err := loadFrom(path)
	if err != nil || !reflect.DeepEqual(got, r) || len(got.Groups) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if kept := got.Kept(); len(kept) != 1 || kept[0] != "the user u" {
		t.Errorf("kept: %v", kept)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.setup*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadFrom(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("half a record: %v", err)
	}
}
