package acl

import (
	"fmt"
	"strings"
	"testing"
)

func TestChmodCommands(t *testing.T) {
	who := Agents{Group: 499, User: 498, GroupName: "ai-agents", UserName: "ai-runner"}
	var got []string
	for _, c := range append(append(denyCommands(who, false, []string{"/p/.env", "/p/a b\n\"c\""}), denyCommands(who, true, []string{"/p/secrets"})...),
		clearCommands(Agents{Group: 499, User: -1, GroupName: "ai-agents"}, []string{"/p/-x"})...) {
		got = append(got, strings.Join(c, "|"))
	}
	want := `/bin/chmod|-h|+a|user:ai-runner deny read,write,execute,append,readextattr|/p/.env|/p/a b
"c"
/bin/chmod|-h|+a|group:ai-agents deny read,write,execute,append,readextattr|/p/.env|/p/a b
"c"
/bin/chmod|-h|+a|user:ai-runner deny list,add_file,search,add_subdirectory,delete_child,readextattr,file_inherit,directory_inherit|/p/secrets
/bin/chmod|-h|+a|group:ai-agents deny list,add_file,search,add_subdirectory,delete_child,readextattr,file_inherit,directory_inherit|/p/secrets
/bin/chmod|-f|-h|-a|group:ai-agents deny read,write,execute,append,readextattr|/p/-x
/bin/chmod|-f|-h|-a|group:ai-agents deny list,add_file,search,add_subdirectory,delete_child,readextattr,file_inherit,directory_inherit|/p/-x
/bin/chmod|-f|-h|-a|group:ai-agents deny read,write,execute,append,delete_child,readextattr|/p/-x`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s", text)
	}
	if c := denyCommands(Agents{Group: -1, User: -1}, false, []string{"/x"}); len(c) != 0 {
		t.Errorf("for nobody: %q", c)
	}
}

// 50,000 files are some dozens of processes, each with fewer arguments than fit.
func TestBatches(t *testing.T) {
	var paths []string
	for i := range 50_000 {
		paths = append(paths, fmt.Sprintf("/Users/ada/project/node_modules/%d/%s", i, strings.Repeat("x", 60)))
	}
	all, n := batches([]string{chmod, "+a", "e"}, paths), 0
	for _, c := range all {
		size := 0
		for _, path := range c[3:] {
			if path != paths[n] {
				t.Fatalf("%s instead of %s", path, paths[n])
			}
			n++
			size += len(path) + 9
		}
		if size > 256<<10 || len(c) < 4 {
			t.Errorf("%d bytes in %d arguments", size, len(c))
		}
	}
	if n != len(paths) || len(all) > 60 {
		t.Errorf("%d of %d paths in %d batches", n, len(paths), len(all))
	}
	if len(batches(nil, nil)) != 0 {
		t.Error("a batch of nothing")
	}
}
