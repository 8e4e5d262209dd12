// Command release makes what a release of aigate consists of:
//
//	go run ./release [-out dist] [platform ...]
//
//	aigate-linux-amd64.tar.gz       the program, and what belongs below /usr/local/share
//	aigate-linux-amd64.cdx.json     what the program was made of (CycloneDX)
//	checksums.txt                   SHA-256 of all the others
//
// and the same for linux/arm64, darwin/amd64 and darwin/arm64.
//
// What it promises: the same commit and the same Go give the same bytes, whoever builds, when, where
// and under which name. So anybody can check that a release was made from its source: docs/releases.md.
// Nothing in it is taken from the machine, the clock or the environment; the one time that it knows is
// that of the commit (or SOURCE_DATE_EPOCH).
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}

func main() {
	out := flag.String("out", "dist", "the `folder` to put it in; what is in it is replaced")
	flag.Parse()
	r := release{Source: ".", Out: *out, Platforms: platforms}
	if flag.NArg() > 0 {
		r.Platforms = flag.Args()
	}
	err := r.describe()
	if err == nil {
		err = r.make()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is all that the outcome depends on, beside the source and Go itself.
type release struct {
	Source    string // a clone
	Out       string
	Platforms []string
	Version   string
	Time      time.Time
}

// describe asks git for the version and the time of the commit.
func (r *release) describe() (err error) {
	if r.Version, err = r.git("describe", "--tags", "--always", "--dirty"); err != nil {
		return err
	}
	if strings.HasSuffix(r.Version, "-dirty") {
		fmt.Fprintln(os.Stderr, "release: there are changes that are not committed, so nobody else can build this")
	}
	epoch := os.Getenv("SOURCE_DATE_EPOCH") // https://reproducible-builds.org/specs/source-date-epoch
	if epoch == "" {
		if epoch, err = r.git("log", "-1", "--format=%ct"); err != nil {
			return err
		}
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	r.Time = time.Unix(seconds, 0).UTC()
	return nil
}

func (r *release) git(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", r.Source}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w (a release is made in a clone)", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// make makes all of it.
func (r *release) make() error {
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return err
	}
	share, err := r.share()
	if err != nil {
		return err
	}
	var made []string
	for _, p := range r.Platforms {
		system, arch, ok := strings.Cut(p, "/")
		if !ok {
			return fmt.Errorf("%q: a platform is system/architecture, as linux/amd64", p)
		}
		name := "aigate-" + system + "-" + arch
		program, err := r.build(system, arch)
		if err != nil {
			return err
		}
		sbom, err := r.sbom(name, program)
		if err != nil {
			return err
		}
		files := append([]file{{Name: name, Mode: 0o755, Data: program}, {Name: shareDir + "/doc/aigate/" + name + ".cdx.json", Mode: 0o644, Data: sbom}}, share...)
		archive, err := pack(files, r.Time)
		if err != nil {
			return err
		}
		for file, data := range map[string][]byte{name + ".tar.gz": archive, name + ".cdx.json": sbom} {
			if err := os.WriteFile(filepath.Join(r.Out, file), data, 0o644); err != nil {
				return err
			}
			made = append(made, file)
		}
		fmt.Printf("%s.tar.gz  %.1f MiB, the program %.1f\n", name, float64(len(archive))/(1<<20), float64(len(program))/(1<<20))
	}
	return r.checksums(made)
}
