package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// names lists what a tree holds, with modes.
func names(t *testing.T, root string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		out = append(out, info.Mode().String()+" "+path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// everyView is a plan with a placeholder of each kind in dir, of most kinds two.
func everyView(dir string) *Plan {
	p := &Plan{}
	for _, view := range []Placeholder{DirView, DirView, SocketView, SocketView, FileView, JSONView, TextView} {
		p.Steps = append(p.Steps, Step{Kind: Protect, Path: filepath.Join(dir, "n"+itoa(len(p.Steps))), View: view, Text: "told"})
	}
	return p
}

func TestSparesAreTakenAndPutBack(t *testing.T) {
	root := t.TempDir()
	spares, dir := filepath.Join(root, "spare"), filepath.Join(root, "project")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := LaySpares(spares); err != nil {
		t.Fatal(err)
	}
	before, laid := names(t, root), len(names(t, spares))
	a, err := hold(everyView(dir), spares)
	if err != nil {
		t.Fatal(err)
	}
	if left := len(names(t, spares)); left != laid-6 {
		t.Errorf("%d spares left of %d, six are in use", left, laid)
	}
	for path, want := range map[string]string{"n4": "", "n5": "{}\n", "n6": "told"} {
		if text, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v; want %q", path, text, err, want)
		}
	}
	b, err := hold(everyView(dir), spares) // shares them
	if err != nil {
		t.Fatal(err)
	}
	a.release()
	if made := len(names(t, dir)); made != 8 {
		t.Errorf("the second run has %d of its placeholders left", made-1)
	}
	b.release()
	if after := names(t, root); !slices.Equal(before, after) {
		t.Errorf("after two runs: %q\nbefore: %q", after, before)
	}
}

func TestSpareThatIsInUseByOthersStays(t *testing.T) {
	root := t.TempDir()
	spares, dir := filepath.Join(root, "spare"), filepath.Join(root, "project")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := LaySpares(spares); err != nil {
		t.Fatal(err)
	}
	laid := len(names(t, spares))
	h, err := hold(everyView(dir), spares)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "n1", "mine"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "n5"), 0o644); err != nil { // nobody's placeholder any more
		t.Fatal(err)
	}
	h.release()
	if text, err := os.ReadFile(filepath.Join(dir, "n1", "mine")); err != nil || string(text) != "kept" {
		t.Errorf("what was put into a placeholder: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "n5")); err != nil {
		t.Error(err)
	}
	if left := len(names(t, spares)); left != laid-2 {
		t.Errorf("%d spares of %d came back, two are in use", left, laid)
	}
	if err := LaySpares(spares); err != nil {
		t.Fatal(err)
	}
	if again := len(names(t, spares)); again != laid {
		t.Errorf("%d spares laid out anew instead of %d", again, laid)
	}
}

// TestSpareOfAnotherMode: one that a chmod -R has been over is not used, and gone after.
func TestSpareOfAnotherMode(t *testing.T) {
	root := t.TempDir()
	spares, dir := filepath.Join(root, "spare"), filepath.Join(root, "project")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := LaySpares(spares); err != nil {
		t.Fatal(err)
	}
	laid, err := os.ReadDir(spares)
	if err != nil || len(laid) == 0 {
		t.Fatal(laid, err)
	}
	for _, e := range laid {
		if err := os.Chmod(filepath.Join(spares, e.Name()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h, err := hold(everyView(dir), spares)
	if err != nil {
		t.Fatal(err)
	}
	h.release()
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("%q stays behind (%v)", left, err)
	}
}

func TestNoSpares(t *testing.T) {
	dir := t.TempDir()
	before := names(t, dir)
	for _, spares := range []string{"", filepath.Join(dir, "none")} {
		h, err := hold(everyView(dir), spares)
		if err != nil {
			t.Fatal(err)
		}
		if made := len(names(t, dir)); made != 8 {
			t.Errorf("%d placeholders instead of 7", made-1)
		}
		h.release()
	}
	if after := names(t, dir); !slices.Equal(before, after) {
		t.Errorf("left behind: %q", after)
	}
}

// TestReleaseTwice: a start that fails releases what it held, and so does the end of the run. A descriptor may be another's by then.
func TestReleaseTwice(t *testing.T) {
	root := t.TempDir()
	if err := LaySpares(filepath.Join(root, SpareFolder)); err != nil {
		t.Fatal(err)
	}
	h, err := hold(&Plan{Steps: []Step{{Kind: Protect, Path: filepath.Join(root, "missing", "x"), View: DirView}}}, filepath.Join(root, SpareFolder))
	if err == nil {
		t.Fatal("held a name in a folder that is not there")
	}
	f, err := os.Open(root) // has the number now
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h.release()
	if _, err := f.Stat(); err != nil {
		t.Error(err)
	}
}
