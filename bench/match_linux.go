package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// tree makes a project with a number of files, twenty a folder, three folders
// deep, and a secret in one folder of a hundred.
func (p *place) tree(name string, files int) (string, error) {
	dir, err := p.project(name)
	if err != nil {
		return "", err
	}
	const perFolder = 20
	for n := range files / perFolder {
		folder := filepath.Join(dir, fmt.Sprintf("lib%02d/package%02d/part%03d", n%20, n/20%50, n/1000))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
		for i := range perFolder {
			file := fmt.Sprintf("%s/source%02d.js", folder, i)
			if n%100 == 0 && i == 0 {
				file = folder + "/.env"
			}
			f, err := os.Create(file)
			if err != nil {
				return "", err
			}
			f.Close()
		}
	}
	return dir, nil
}

// benchMatch is the search for what the default patterns name, beside programs
// that search for one name.
func benchMatch(p *place, w io.Writer) error {
	dir, err := p.tree("large", p.files)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	small, err := p.project("small")
	if err != nil {
		return err
	}
	dry := func(dir string) *exec.Cmd { return p.inside("native", dir, "--dry-run", "--", "true") }
	find := again("`find -name .env`", exec.Command("find", dir, "-name", ".env"))
	fd := again("`fd -H -I --glob .env`", exec.Command(fd(), "-H", "-I", "--glob", ".env", dir))
	large := again("aigate, all default patterns, everything", dry(dir))
	base := again("", dry(small))
	if err := interleave(15, find, fd, large, base); err != nil {
		return err
	}
	alone := &series{name: "aigate, all default patterns, the search alone"}
	for i := range large.ms {
		alone.ms = append(alone.ms, max(0, large.ms[i]-base.median()))
	}
	fastest := min(find.median(), fd.median())
	fmt.Fprintf(w, "### Finding what the patterns name\n\nA tree of %d files in %d folders, caches warm; 15 interleaved rounds. aigate is `run --dry-run`: deny_read, deny_write and allow_write, all default patterns; \"the search alone\" is that less a `--dry-run` in a small project.\n\n", p.files, p.files/20)
	t := table{{"", "median", "p10", "× the faster of find and fd"}}
	for _, s := range []*series{find, fd, large, alone} {
		t.row(s.name, ms(s.median()), ms(s.p10()), times(s.median(), fastest))
	}
	t.print(w)
	rss, _, peak, err := p.memory("native", dir, 3*time.Second)
	fmt.Fprintf(w, "With all these folders watched, the supervisor has %s resident, %s at its peak.\n\n", rss, peak)
	return err
}
