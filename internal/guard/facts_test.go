package guard

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a folder of programs, bin, and one of a project, p.
func machine(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, path)
		} else if to, ok := strings.CutPrefix(text, "= "); ok {
			err = os.Link(filepath.Join(dir, to), path)
		} else if from, ok := strings.CutPrefix(text, "copy of "); ok {
			err = copyFile(from, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

func TestCopies(t *testing.T) {
	dir := machine(t, map[string]string{
		"bin/fetch":      "copy of /bin/cat",
		"bin/deploy":     "#!/bin/sh\necho deploying\n",
		"bin/tool":       "copy of /bin/ls",
		"bin/shim-a":     "#!/bin/sh\nexec shims ${0##*/}\n",
		"bin/shim-b":     "#!/bin/sh\nexec shims ${0##*/}\n",
		"bin/box":        "copy of /bin/true",
		"bin/applet":     "-> box",
		"p/renamed":      "copy of /bin/cat",
		"p/link":         "-> ../bin/fetch",
		"p/other":        "copy of /bin/true",
		"p/script":       "#!/bin/sh\necho deploying\n",
		"p/script2":      "#!/bin/sh\necho something else\n",
		"p/sub":          "copy of /bin/ls",
		"p/shim":         "#!/bin/sh\nexec shims ${0##*/}\n",
		"p/box-by-name":  "-> ../bin/box",
		"p/of-renamed":   "#!" + "RENAMED" + " -x\n",
		"p/empty":        "",
		"p/not-a-script": "#",
	})
	if err := os.Link(filepath.Join(dir, "bin/fetch"), filepath.Join(dir, "p/hard")); err != nil {
		t.Fatal(err)
	}
	more := filepath.Join(dir, "p/one-byte-more")
	if err := copyFile("/bin/cat", more); err != nil {
		t.Fatal(err)
	}
	if f, err := os.OpenFile(more, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	} else {
		io.WriteString(f, "x")
		f.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "p/of-renamed"), []byte("#!"+dir+"/p/renamed -x\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	g := New(parse(t, "fetch", "deploy", "tool rm", "shim-a", "applet"), []string{dir + "/bin"})
	for _, c := range []struct{ line, want string }{
		{"p/renamed", "fetch"},
		{"p/link", "fetch"},
		{"p/hard", "fetch"},
		{"p/one-byte-more", "fetch"},
		{"p/other", ""},
		{"p/script", "deploy"},
		{"p/script2", ""},
		{"p/sub ls rm", "tool rm"},
		{"p/sub ls", ""},
		{"p/shim", ""},
		{"bin/shim-b", ""},
		{"bin/shim-a", "shim-a"},
		{"bin/box", ""},
		{"bin/box ls", ""},
		{"bin/box applet", "applet"},
		{"p/box-by-name applet", "applet"},
		{"p/of-renamed", "fetch"},
		{"p/empty", ""},
		{"p/not-a-script", ""},
	} {
		words := strings.Fields(c.line)
		path := filepath.Join(dir, words[0])
		f, err := g.LookAt(path)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if d := g.Judge(Call{Path: path, File: f, Args: Words(words), Open: g.LookAt}); d != nil {
			got = d.What
		}
		if got != c.want {
			t.Errorf("%s: denied by %q, want %q", c.line, got, c.want)
		}
	}
}

// What a caller may execute and nobody may read cannot be told from a denied one.
func TestUnreadable(t *testing.T) {
	dir := machine(t, map[string]string{"p/x": "#!/bin/sh\n"})
	g := New(parse(t, "curl"), nil)
	st, err := os.Stat(dir + "/p/x")
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := idOf(st)
	for _, c := range []struct {
		err    error
		mine   bool
		denied bool
	}{{os.ErrPermission, true, true}, {os.ErrPermission, false, false}, {io.ErrUnexpectedEOF, false, true}} {
		id.Ino++
		f := File{Path: "/p/x", Facts: g.Facts(id, "/p/x", c.mine, func() (*os.File, error) { return nil, c.err })}
		if d := g.Judge(Call{Path: "/p/x", File: f, Args: Words([]string{"x"})}); (d != nil) != c.denied {
			t.Errorf("%v, mine %v: %v", c.err, c.mine, d)
		}
	}
}

func TestLoader(t *testing.T) {
	dir := machine(t, map[string]string{"bin/fetch": "copy of /bin/cat", "p/renamed": "copy of /bin/cat"})
	g := New(parse(t, "fetch"), []string{dir + "/bin"})
	for line, want := range map[string]bool{
		"ld " + dir + "/p/renamed x":               true,
		"ld --argv0 ls " + dir + "/p/renamed":      true,
		"ld --library-path " + dir + "/p renamed":  true,
		"ld --library-path " + dir + "/q whatever": true, // nobody knows what it would find
		"ld /bin/true":        false,
		"ld --list /bin/true": false,
		"ld":                  false,
	} {
		d := g.Judge(Call{Path: "/ld", File: File{Path: "/ld", Facts: &Facts{loader: true, searches: true}}, Args: Words(strings.Fields(line)), Open: g.LookAt})
		if (d != nil) != want {
			t.Errorf("%s: %v", line, d)
		}
	}
}

// A file that has just been written may be written again without its times
// showing it: it is looked at again.
func TestFresh(t *testing.T) {
	dir := machine(t, map[string]string{"p/x": "#!/bin/aa\n"})
	g := New(parse(t, "curl"), nil)
	look := func() string {
		f, err := g.LookAt(dir + "/p/x")
		if err != nil {
			t.Fatal(err)
		}
		return f.interp
	}
	if got := look(); got != "/bin/aa" {
		t.Fatal(got)
	}
	if err := os.WriteFile(dir+"/p/x", []byte("#!/bin/bb\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != "/bin/bb" {
		t.Error(got)
	}
}
