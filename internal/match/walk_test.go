package match

import (
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tree makes files below a new directory: "a/b" is a file, "a/" a directory,
// "a -> b" a symlink.
func tree(t testing.TB, paths ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	plant(t, root, paths...)
	return root
}

func plant(t testing.TB, root string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		name, target, link := strings.Cut(p, " -> ")
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(p, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func parseAt(t testing.TB, home string, patterns ...string) *Set {
	t.Helper()
	s, err := Parse(patterns, home)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustWalk(t testing.TB, s *Set, project string, opts Options) Result {
	t.Helper()
	res, err := s.Walk(project, opts)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// shown writes findings as "path" with / for directories and @ for symlinks.
func shown(root string, found []Found) []string {
	var list []string
	for _, f := range found {
		line := strings.TrimPrefix(strings.TrimPrefix(f.Path, root), "/")
		if f.Dir {
			line += "/"
		}
		if f.Symlink {
			line += "@"
		}
		list = append(list, line)
	}
	return list
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestWalk(t *testing.T) {
	root := tree(t,
		"home/.ssh/id", "home/.aws", "home/.config/gh/token", "home/.config/glab/token", "home/.config/x/y/token",
		"home/elsewhere/.env", "home/data/keys/k1",
		"home/app/.env", "home/app/.env.example", "home/app/.git/.env", "home/app/sub/.env/inner.pem",
		"home/app/secrets/a", "home/app/sub/secrets", "home/app/linked -> ../data", "home/app/x/secrets -> ../../data/keys",
		"home/app/y/secrets -> nowhere", "home/app/z/secrets -> ../.env", "home/app/loop -> .", "home/app/shared -> ../data",
		"home/app/deploy/prod.key", "home/app/sub/deploy/prod.key", "home/app/n\nl/$(x) '\"*?[\xff.pem", "home/app/b/c/d/e.k", "home/app/b/e.k",
	)
	tests := []struct {
		patterns string
		want     string
	}{
		{".env !.env.example .env.*", "app/.env app/.env.example app/.git/.env app/sub/.env/"},
		{".env.* .env !.env.example", "app/.env app/.git/.env app/sub/.env/"},
		{"secrets/", "app/secrets/ app/x/secrets/@"},
		{"secrets", "app/secrets/ app/sub/secrets app/x/secrets/@ app/y/secrets@ app/z/secrets@"},
		{"linked", "app/linked/@"},
		{"k1", ""},
		{"loop/**/k1 loop/loop/k1", ""},
		{"shared/keys/k1", "app/shared/keys/k1"},
		{"shared/k*/k1", "app/shared/keys/k1"},
		{"shared/**/k1", "app/shared/keys/k1"},
		{"s*/*/k?", "app/shared/keys/k1"},
		{"**/k1", ""},
		{"deploy/prod.key", "app/deploy/prod.key"},
		{"deploy/*.key", "app/deploy/prod.key"},
		{"**/deploy/*.key", "app/deploy/prod.key app/sub/deploy/prod.key"},
		{"b/**/e.k", "app/b/c/d/e.k app/b/e.k"},
		{"b/* !b/c/", "app/b/e.k"},
		{"b/** !b/c/", "app/b/c/d/ app/b/e.k"},
		{"b/**/*.k b/c/d/", "app/b/c/d/ app/b/e.k"},
		{"*.pem", "app/n\nl/$(x) '\"*?[\xff.pem app/sub/.env/inner.pem"},
		{"*.pem sub/", "app/n\nl/$(x) '\"*?[\xff.pem app/sub/"},
		{"~/.ssh/ ~/.aws ~/.aws/ ~/nope", ".aws .ssh/"},
		{"~/.ssh/id ~/.ssh/ ~/.ssh/i*", ".ssh/"},
		{"~/.config/*/token", ".config/gh/token .config/glab/token"},
		{"~/.config/*/token !~/.config/gh/", ".config/gh/token .config/glab/token"},
		{"~/.config/*/token !~/.config/gh/token", ".config/glab/token"},
		{"~/.config/**/token", ".config/gh/token .config/glab/token .config/x/y/token"},
		{"~/.config/**/token ~/.config/g*/", ".config/gh/ .config/glab/ .config/x/y/token"},
		{"~/**/.env", "app/.env app/.git/.env app/sub/.env/ elsewhere/.env"},
		{"~/app/linked/keys/", "app/linked/keys/"},
		{"~/a*/linked/keys/", "app/linked/keys/"},
		{"~/app/.e*", "app/.env app/.env.example"},
		{"~/app/.e* !.env", "app/.env.example"},
		{".", "app/"},
		{"~/app/ .env", "app/"},
		{"~", "/ app/"},
		{"~/ap*/", "app/"},
	}
	home := filepath.Join(root, "home")
	for _, test := range tests {
		s := parseAt(t, home, strings.Fields(test.patterns)...)
		got := shown(home, mustWalk(t, s, home+"/app", Options{}).Found)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.patterns, got, test.want)
		}
	}
}

func TestWalkFixedPlaceWithGlobInName(t *testing.T) {
	root := tree(t, "etc/foobar", "etc/foo/x", "etc/fo", "app/")
	s := parseAt(t, "/nowhere", root+"/etc/foo*")
	expect(t, "found", shown(root, mustWalk(t, s, root+"/app", Options{}).Found), "etc/foo/", "etc/foobar")
}

func TestWalkRoots(t *testing.T) {
	root := tree(t, "repo/.env", "repo/a/b", "repo/.git/x.pem", "repo/wt/.env", "repo/wt/a/b", "repo/wt/deep/root/.env", "other/.env")
	s := parseAt(t, root, ".env", "*.pem", "a/b", "**/a/b")
	opts := Options{Roots: []string{root + "/repo", root + "/repo", root + "/repo/wt", root + "/repo/wt/deep/root", root + "/absent"}}
	var mu sync.Mutex
	var dirs []string
	opts.OnDir = func(path string) {
		mu.Lock()
		defer mu.Unlock()
		dirs = append(dirs, strings.TrimPrefix(path, root))
	}
	res := mustWalk(t, s, root+"/repo/wt", opts)
	expect(t, "found", shown(root, res.Found),
		"repo/.env", "repo/.git/x.pem", "repo/a/b", "repo/wt/.env", "repo/wt/a/b", "repo/wt/deep/root/.env")
	slices.Sort(dirs)
	expect(t, "dirs", dirs, "/repo", "/repo/.git", "/repo/a", "/repo/wt", "/repo/wt/a", "/repo/wt/deep", "/repo/wt/deep/root")

	// A project in a folder that a root's patterns name is itself named.
	s = parseAt(t, root, "wt/")
	expect(t, "project in a root", shown(root, mustWalk(t, s, root+"/repo/wt/deep", opts).Found), "repo/wt/", "repo/wt/deep/")
}

func TestWalkHooks(t *testing.T) {
	root := tree(t, "a/b/", "secrets/c/", "link -> a")
	for _, name := range []string{"/s1", "/a/s2", "/secrets/s3", "/a/b/deny.sock"} {
		l, err := net.Listen("unix", root+name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	var mu sync.Mutex
	var dirs, sockets []string
	note := func(list *[]string) func(string) {
		return func(path string) {
			mu.Lock()
			defer mu.Unlock()
			*list = append(*list, strings.TrimPrefix(path, root))
		}
	}
	for _, patterns := range [][]string{{"secrets/", "deny.sock"}, {"./secrets/", "./a/b/deny.*"}} {
		dirs, sockets = nil, nil
		s := parseAt(t, "/nowhere", patterns...)
		res := mustWalk(t, s, root, Options{OnDir: note(&dirs), OnSocket: note(&sockets)})
		expect(t, "found", shown(root, res.Found), "a/b/deny.sock", "secrets/")
		slices.Sort(dirs)
		slices.Sort(sockets)
		expect(t, "dirs", dirs, "", "/a", "/a/b")
		expect(t, "sockets", sockets, "/a/b/deny.sock", "/a/s2", "/s1")
	}
}

// TestOnEntry: names of interest are told of where the walk goes, and nowhere else.
func TestOnEntry(t *testing.T) {
	root := tree(t, ".git/HEAD", "a/.git", "a/b/x.git/HEAD", "a/b/git", "c/.aigate.yaml", "c/not.aigate.yaml", "secrets/.git/HEAD", "d/.git -> ../.git")
	var mu sync.Mutex
	var met []string
	res := mustWalk(t, parseAt(t, "/nowhere", "secrets/", ".env"), root, Options{Names: []string{".aigate.yaml", "*.git"}, OnEntry: func(path string) {
		mu.Lock()
		defer mu.Unlock()
		met = append(met, strings.TrimPrefix(path, root))
	}})
	expect(t, "found", shown(root, res.Found), "secrets/")
	slices.Sort(met)
	expect(t, "met", met, "/.git", "/a/.git", "/a/b/x.git", "/c/.aigate.yaml", "/d/.git")
}

func TestPending(t *testing.T) {
	root := tree(t, "home/.config/", "home/.npmrc", "home/app/")
	home := root + "/home"
	s := parseAt(t, home, "~/.npmrc", "~/.aws/", "~/.kube/config", "~/.config/gh/*", "deploy/key", "*.pem", "!~/.x", "~/.npmrc/x")
	res := mustWalk(t, s, home+"/app", Options{})
	var got []string
	for _, path := range res.Pending {
		got = append(got, strings.TrimPrefix(path, home+"/"))
	}
	expect(t, "pending", got, ".aws", ".config/gh", ".kube/config", ".npmrc/x", "app/deploy/key")
}

func TestRescan(t *testing.T) {
	root := tree(t, "home/app/")
	home := root + "/home"
	app := home + "/app"
	s := parseAt(t, home, ".env", "secrets/", "new/a/*.key", "conf/**/k", "~/.config/*/token", "~/.aws/", "via/x")
	mustWalk(t, s, app, Options{})
	plant(t, home, "app/new/a/x.key", "app/new/.env", "app/new/secrets/y", "app/.env", ".config/gh/token", ".aws/x", "other/.env", "other/x")
	tests := []struct{ path, want string }{
		{"app/new", "app/new/.env app/new/a/x.key app/new/secrets/"},
		{"app/new/a", "app/new/a/x.key"},
		{"app/new/secrets", "app/new/secrets/"},
		{"app/new/secrets/y", ""},
		{"app/.env", "app/.env"},
		{"app/gone", ""},
		{".config", ".config/gh/token"},
		{".config/gh", ".config/gh/token"},
		{".config/gh/token", ".config/gh/token"},
		{".aws", ".aws/"},
		{"other", ""},
		{"app/via", "app/via/x"},
		{"app/conf", "app/conf/x/k"},
	}
	plant(t, home, "app/via -> ../other", "far/x/k", "far/.env", "app/conf -> ../far")
	for _, test := range tests {
		res, err := s.Rescan(app, home+"/"+test.path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(shown(home, res.Found), " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.path, got, test.want)
		}
	}
}

// When the home is a symlink, what appears is still known by its real path.
func TestAliases(t *testing.T) {
	root := tree(t, "data/me/app/", "home/me -> ../data/me")
	home, real := root+"/home/me", root+"/data/me"
	s := parseAt(t, home, "~/.aws/", "~/app/key", "~/app/*.pem", "*.crt", "!~/app/ca.crt")
	mustWalk(t, s, real+"/app", Options{})
	for path, want := range map[string]bool{"/.aws": true, "/app/key": true, "/app/x.pem": true, "/app/x/y.pem": false,
		"/x": false, "/app/ca.crt": false, "/app/b.crt": true} {
		if _, ok := s.MatchPath(real+"/app", real+path, true); ok != want {
			t.Errorf("%s: %v", path, ok)
		}
	}
}

func TestMissingProjectIsAnError(t *testing.T) {
	root := tree(t, "file")
	for _, project := range []string{"/nope", "/file"} {
		if _, err := parseAt(t, root, "x").Walk(root+project, Options{}); err == nil {
			t.Errorf("%s: no error", project)
		}
	}
}

// naive is what Walk must agree with: every path there is, put to MatchPath.
func naive(t testing.TB, s *Set, project string) []Found {
	var found []Found
	err := filepath.WalkDir(project, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		link := d.Type()&fs.ModeSymlink != 0
		dir := d.IsDir()
		if link {
			info, err := os.Stat(path)
			dir = err == nil && info.IsDir()
		}
		pattern, ok := s.MatchPath(project, path, dir)
		if !ok {
			return nil
		}
		found = append(found, Found{Path: path, Dir: dir, Symlink: link, Pattern: pattern})
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, func(a, b Found) int { return cmp.Compare(a.Path, b.Path) })
	return found
}

// forest grows a random tree of few names, so that patterns hit often.
// Symlinks bear names of their own: naive does not follow those that a
// pattern spells out.
func forest(t testing.TB, r *rand.Rand) string {
	root := tree(t)
	dirs := []string{""}
	for range 150 {
		path := filepath.Join(dirs[r.IntN(len(dirs))], []string{"a", "b", "c", "d", "ab", "bb"}[r.IntN(6)])
		full := filepath.Join(root, path)
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		switch r.IntN(5) {
		case 0, 1, 2:
			plant(t, root, path+"/")
			dirs = append(dirs, path)
		case 3:
			plant(t, root, path)
		case 4:
			target := filepath.Join(root, dirs[r.IntN(len(dirs))], string("abn"[r.IntN(3)]))
			link := filepath.Join(filepath.Dir(path), string("lm"[r.IntN(2)]))
			if _, err := os.Lstat(filepath.Join(root, link)); err != nil {
				plant(t, root, link+" -> "+target)
			}
		}
	}
	return root
}

func randomPattern(r *rand.Rand, root string) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	var names []string
	for range 1 + r.IntN(4) {
		names = append(names, pick("a", "b", "c", "d", "*", "**", "?", "[ab]", "{a,b}", "a*", "*d", "[!a]"))
	}
	// A glob that is not last may meet a link, which naive would not follow.
	last := pick("a", "b", "c", "d", "l", "*", "[!lm]", "?", "{l,m}", "*[cd]*", "a*", "*a", "b*b", "[ab]*")
	for i, name := range names {
		if name == "*" || name == "?" || name == "[!a]" {
			names[i] = pick("[abcd]", "{a,b,c,d}", "[!lm]")
		}
	}
	return pick("", "", "", "!") + pick("", "", "./", root+"/") + strings.Join(append(names[1:], last), "/") + pick("", "", "/")
}

func TestWalkAgreesWithNaive(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	hits := 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		root := forest(t, r)
		for range 60 {
			var patterns []string
			for range 1 + r.IntN(5) {
				patterns = append(patterns, randomPattern(r, root))
			}
			s := parseAt(t, root, patterns...)
			want := naive(t, s, root)
			got := mustWalk(t, s, root, Options{Workers: 1 + r.IntN(3)}).Found
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %q:\n got %q\nwant %q", seed, patterns, shown(root, got), shown(root, want))
			}
			hits += len(want)
		}
	}
	if hits < rounds*60 {
		t.Errorf("only %d hits: the test tests nothing", hits)
	}
}

func TestInodes(t *testing.T) {
	root := tree(t, "deny/a", "deny/sub/b", "deny/two", "deny/single", "app/x/", "app/skipped/", "app/other")
	for _, l := range [][2]string{{"deny/a", "app/x/a2"}, {"deny/a", "app/a3"}, {"deny/sub/b", "app/skipped/b2"}, {"deny/sub/b", "app/b3"}, {"deny/two", "app/skipped/two2"}, {"app/other", "app/other2"}} {
		if err := os.Link(filepath.Join(root, l[0]), filepath.Join(root, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := Inside(root+"/deny", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[Inode]bool)
	var nlinks []uint32
	for inode, n := range counts {
		want[inode] = true
		nlinks = append(nlinks, n)
	}
	slices.Sort(nlinks)
	if !slices.Equal(nlinks, []uint32{2, 3, 3}) {
		t.Errorf("link counts %v", nlinks)
	}
	links, err := Links(root+"/app", want, func(dir string) bool { return strings.HasSuffix(dir, "/skipped") })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, paths := range links {
		slices.Sort(paths)
		for _, path := range paths {
			got = append(got, strings.TrimPrefix(path, root+"/"))
		}
	}
	slices.Sort(got)
	expect(t, "links", got, "app/a3", "app/b3", "app/x/a2")
	if _, err := Links(root+"/nope", want, nil); err == nil {
		t.Error("a missing root is no error")
	}
}

// bigTree is 200,000 files in 10,000 directories, three levels deep.
func bigTree(b testing.TB) string {
	root := b.TempDir()
	for i := range 100 {
		for j := range 100 {
			dir := fmt.Sprintf("%s/module%d/package%d", root, i, j)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			for k := range 20 {
				if err := os.WriteFile(fmt.Sprintf("%s/source_file_%d.go", dir, k), nil, 0o644); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	plant(b, root, "module7/package7/.env")
	return root
}

var usual = []string{".env", ".env.*", "secrets/", "credentials/", "*.pem", "*.key", "!.env.example"}

func BenchmarkWalk200k(b *testing.B) {
	root := bigTree(b)
	for name, patterns := range map[string][]string{"one": {".env"}, "usual": usual, "globstar": {"**/package7/*.env"}} {
		b.Run(name, func(b *testing.B) {
			s := parseAt(b, "/nowhere", patterns...)
			for b.Loop() {
				if res := mustWalk(b, s, root, Options{}); len(res.Found) != 1 && name != "globstar" {
					b.Fatal(res)
				}
			}
		})
	}
}

func BenchmarkWalkTiny(b *testing.B) {
	root := tree(b, "main.go", "go.mod", "README.md", ".env", "sub/x.go")
	s := parseAt(b, root, append(usual, "~/.ssh/", "~/.aws/", "~/.gcloud/", "~/.kube/config", "~/.npmrc", "~/.pypirc")...)
	b.ReportAllocs()
	for b.Loop() {
		mustWalk(b, s, root, Options{})
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		parseAt(b, "/home/me", append(usual, "~/.ssh/", "~/.aws/", "~/.gcloud/", "~/.kube/config", "~/.npmrc", "~/.pypirc")...)
	}
}

func BenchmarkFilter(b *testing.B) {
	s := parseAt(b, "/home/me", usual...)
	names := []string{"main.go", "some_test_file.go", "index.js", "package.json", "secretary", ".envrc", "Monkey"}
	b.ReportAllocs()
	for b.Loop() {
		for _, name := range names {
			if s.names.might(name) {
				b.Fatal(name)
			}
		}
	}
}
