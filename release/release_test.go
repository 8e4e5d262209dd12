package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/AxeForging/aigate/internal/cli"
	"github.com/spf13/cobra"
)

// Two releases of a commit, made in different folders, at different times, by users with different
// settings and nothing shared in Go's cache, are the same to the byte. And what is in them works when
// it is installed as the guide says.
func TestTwoReleasesAreTheSame(t *testing.T) {
	platform := "linux/amd64"
	if runtime.GOOS == "linux" {
		platform = "linux/" + runtime.GOARCH // one that runs here
	}
	first := clone(t, "a")
	one := make1(t, first, platform)

	second := clone(t, filepath.Join("b", "deeper in a folder"))
	if err := filepath.Walk(second, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		old := time.Unix(1e9, 0)
		return os.Chtimes(path, old, old)
	}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", t.TempDir())
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("GOFLAGS", "-tags=another -ldflags=-X=main.version=v9")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("CGO_ENABLED", "1")
	defer syscall.Umask(syscall.Umask(0o077))
	two := make1(t, second, platform)

	if len(one) != 3 || len(one) != len(two) {
		t.Fatalf("%d files and %d", len(one), len(two))
	}
	for name, data := range one {
		if !bytes.Equal(data, two[name]) {
			t.Errorf("%s differs", name)
		}
	}
	t.Run("install", func(t *testing.T) { install(t, first, platform) })
	t.Run("sbom", func(t *testing.T) { checkSBOM(t, one["aigate-"+strings.ReplaceAll(platform, "/", "-")+".cdx.json"]) })
}

func clone(t *testing.T, name string) string {
	dir := filepath.Join(t.TempDir(), name)
	run(t, ".", "git", "clone", "--quiet", "--no-hardlinks", "..", dir)
	return dir
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// make1 makes the release of a clone for one platform, and gives all its files.
func make1(t *testing.T, source, platform string) map[string][]byte {
	t.Helper()
	r := release{Source: source, Out: filepath.Join(source, "dist"), Platforms: []string{platform}}
	if err := r.describe(); err != nil {
		t.Fatal(err)
	}
	if err := r.make(); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(r.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(r.Out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// install goes by the guide: curl … | tar xz; chmod +x aigate-linux-amd64; mv … aigate.
func install(t *testing.T, source, platform string) {
	name := "aigate-" + strings.ReplaceAll(platform, "/", "-")
	dist, here := filepath.Join(source, "dist"), t.TempDir()
	run(t, dist, "sha256sum", "-c", "checksums.txt")
	run(t, here, "sh", "-c", "cat '"+dist+"'/"+name+".tar.gz | tar xz")
	entries, err := os.ReadDir(here)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Name() != name || entries[1].Name() != shareDir {
		t.Errorf("an archive leaves %v", entries)
	}
	run(t, here, "chmod", "+x", name)
	run(t, here, "mv", name, "aigate")
	commit := strings.TrimSpace(run(t, source, "git", "rev-parse", "--short=12", "HEAD"))
	version := strings.TrimSpace(run(t, source, "git", "describe", "--tags", "--always"))
	if runtime.GOOS == "linux" {
		if said := run(t, here, filepath.Join(here, "aigate"), "version"); !strings.HasPrefix(said, "aigate "+version+" (commit "+commit+", go") {
			t.Errorf("version: %s", said)
		}
		if said := run(t, here, filepath.Join(here, "aigate"), "doctor", "--json"); !strings.Contains(said, `"works": true`) {
			t.Errorf("doctor: %s", said)
		}
	}
	share := func(name string) string {
		data, err := os.ReadFile(filepath.Join(here, shareDir, name))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	pages(t, cli.Root("v0"), share)
	for file, word := range map[string]string{"bash-completion/completions/aigate": "__start_aigate",
		"zsh/site-functions/_aigate": "#compdef aigate", "fish/vendor_completions.d/aigate.fish": "complete -c aigate", "doc/aigate/LICENSE": "MIT"} {
		if !strings.Contains(share(file), word) {
			t.Errorf("%s: no %s", file, word)
		}
	}
}

// pages looks for a page of each command.
func pages(t *testing.T, c *cobra.Command, share func(string) string) {
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	if page := share("man/man1/" + name + ".1"); !strings.Contains(page, ".TH \""+strings.ToUpper(name)+"\" \"1\"") {
		t.Errorf("%s: not a page\n%.200s", name, page)
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			pages(t, sub, share)
		}
	}
}

// checkSBOM holds the file to what the schema of CycloneDX 1.6 requires of the parts that are used.
func checkSBOM(t *testing.T, text []byte) {
	var b bom
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	match := func(what, text, pattern string) {
		t.Helper()
		if !regexp.MustCompile("^" + pattern + "$").MatchString(text) {
			t.Errorf("%s is %q", what, text)
		}
	}
	match("bomFormat", b.Format, "CycloneDX")
	match("specVersion", b.SpecVersion, `1\.6`)
	match("serialNumber", b.Serial, "urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
	if _, err := time.Parse(time.RFC3339, b.Metadata.Timestamp); err != nil || b.Version < 1 {
		t.Errorf("timestamp %q, version %d", b.Metadata.Timestamp, b.Version)
	}
	refs := map[string]bool{}
	names := []string{}
	for _, c := range append([]component{b.Metadata.Component}, b.Components...) {
		match("type", c.Type, "application|library")
		match("name", c.Name, ".+")
		match("version", c.Version, ".+")
		match("purl", c.PURL, `pkg:golang/[a-z0-9./_-]+@[A-Za-z0-9.%_-]+`)
		for _, h := range c.Hashes {
			match("hash", h.Algorithm+" "+h.Content, "SHA-256 [0-9a-f]{64}")
		}
		if refs[c.Ref] {
			t.Errorf("two components are %s", c.Ref)
		}
		refs[c.Ref] = true
		names = append(names, c.Name)
	}
	for _, dep := range b.Dependencies {
		for _, ref := range append(dep.DependsOn, dep.Ref) {
			if !refs[ref] {
				t.Errorf("no component is %s", ref)
			}
		}
	}
	for _, want := range []string{"github.com/AxeForging/aigate", "std", "github.com/spf13/cobra", "golang.org/x/sys"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the components", want)
		}
	}
	if slices.Contains(names, "github.com/cpuguy83/go-md2man/v2") {
		t.Error("what makes manual pages is in the program")
	}
}
