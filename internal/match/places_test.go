package match

import (
	"fmt"
	"strings"
	"testing"
)

// More names in one directory than are looked up by their whole paths, and
// parents of every kind: absent, a file, symlinks to something and to nothing.
func TestPlacesShareParents(t *testing.T) {
	root := tree(t, "home/.config/n3", "home/.config/n9/x", "home/.config/n10 -> n9", "home/file",
		"home/link -> .config", "home/dangling -> nowhere", "home/loop -> loop", "home/app/")
	home := root + "/home"
	patterns := []string{"~/missing/a", "~/missing/b/c", "~/file/x", "~/link/n3", "~/dangling/x", "~/loop/x", "!~/.config/n2"}
	var pending []string
	for i := range 12 {
		name := fmt.Sprintf("n%d", i)
		patterns = append(patterns, "~/.config/"+name, "./"+name)
		if i != 3 && i != 9 && i != 10 {
			pending = append(pending, ".config/"+name)
		}
		pending = append(pending, "app/"+name)
	}
	res := mustWalk(t, parseAt(t, home, patterns...), home+"/app", Options{})
	expect(t, "found", shown(home, res.Found), ".config/n10/@", ".config/n3", ".config/n9/", "link/n3")
	want := map[string]bool{"missing/a": true, "missing/b/c": true, "file/x": true, "dangling/x": true, "loop/x": true}
	for _, path := range pending {
		want[path] = true
	}
	for _, path := range res.Pending {
		if rel := strings.TrimPrefix(path, home+"/"); !want[rel] {
			t.Errorf("%s is pending", rel)
		} else {
			delete(want, rel)
		}
	}
	if len(want) > 0 || len(res.Unreadable) > 0 {
		t.Errorf("not pending: %v; unreadable: %v", want, res.Unreadable)
	}
}

// What leads to a fixed place may become a symlink, or a symlink's end appear,
// after the walk.
func TestRescanLearnsWays(t *testing.T) {
	root := tree(t, "home/early -> ../data/early", "home/app/", "data/")
	home, data := root+"/home", root+"/data"
	s := parseAt(t, home, "~/early/key", "~/late/*.pem")
	mustWalk(t, s, home+"/app", Options{})
	named := func(path string) bool {
		_, ok := s.MatchPath(home+"/app", path, false)
		return ok
	}
	for _, step := range []struct{ appeared, name string }{{data + "/early", "/early/key"}, {home + "/late", "/late/x.pem"}} {
		if named(data + step.name) {
			t.Errorf("%s is known too early: the test tests nothing", step.name)
		}
		plant(t, data, step.name)
		if step.appeared == home+"/late" {
			plant(t, home, "late -> ../data/late")
		}
		if _, err := s.Rescan(home+"/app", step.appeared, Options{}); err != nil {
			t.Fatal(err)
		}
		if !named(data + step.name) {
			t.Errorf("%s: the way that appeared is not known", step.name)
		}
	}
}

func TestFixedPatternsDoNotCrawl(t *testing.T) {
	root := tree(t, "app/sub/x", "app/.env")
	dirs := 0
	opts := Options{OnDir: func(string) { dirs++ }, Workers: 1}
	s := parseAt(t, root, "~/.ssh/", "./.env", "sub/y", "!*.pem")
	expect(t, "found", shown(root, mustWalk(t, s, root+"/app", opts).Found), "app/.env")
	if dirs != 0 {
		t.Errorf("%d directories were read", dirs)
	}
	opts.OnSocket = func(string) {}
	if mustWalk(t, s, root+"/app", opts); dirs != 2 {
		t.Errorf("%d directories were read for sockets", dirs)
	}
}

// A new plain file or directory is what a build makes by the thousand.
func TestRescanIsCheap(t *testing.T) {
	root := tree(t, "app/new/", "app/file")
	patterns := []string{"*.pem", ".env", "**/a/*.key"}
	for i := range 200 {
		patterns = append(patterns, fmt.Sprintf("~/.config/%d/x", i), fmt.Sprintf("./dir/%d", i))
	}
	s := parseAt(t, root, patterns...)
	mustWalk(t, s, root+"/app", Options{})
	for _, name := range []string{"/app/new", "/app/file"} {
		allocs := testing.AllocsPerRun(10, func() {
			res, err := s.Rescan(root+"/app", root+name, Options{})
			if err != nil || len(res.Found)+len(res.Pending) > 0 {
				t.Error(name, res, err)
			}
		})
		if allocs > 50 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestLiteralForms(t *testing.T) {
	for _, test := range []struct{ pattern, home, path string }{
		{"~/x//./y/", "/h/../home//me/", "/home/me/x/y"},
		{"~/x", "/", "/x"},
		{"~/{a,b*}/c", "/h", "/h/a/c"},
		{`~/\*x/y`, "/h", "/h/*x/y"},
		{"//a/./b", "/h", "/a/b"},
		{`**/\a`, "/h", "/p/q/a"},
		{".", "/h", "/p"},
		{"././a/b/.", "/h", "/p/a/b"},
	} {
		s := parseAt(t, test.home, test.pattern)
		if _, ok := s.MatchPath("/p", test.path, true); !ok {
			t.Errorf("%s: %s is not named", test.pattern, test.path)
		}
		if _, ok := s.MatchPath("/p", test.path+"x", true); ok {
			t.Errorf("%s: %sx is named", test.pattern, test.path)
		}
	}
	if _, ok := parseAt(t, "/h", ".").MatchPath("/", "/", true); !ok {
		t.Error("a project that is / is not named")
	}
	if _, err := Parse([]string{"~"}, "/"); err == nil {
		t.Error("the whole file system is taken for a home")
	}
}
