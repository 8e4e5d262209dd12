package policy

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/AxeForging/aigate/internal/mask"
)

// maxSecretFiles is how many denied files are looked into for values to mask.
const maxSecretFiles = 500

// Secrets gives the values that the policy calls secret: those of variables that are removed, and those in denied files
// of KEY=value lines. They are for masking alone, and read late: what is forked before holds none of them.
func (p *Policy) Secrets() []string {
	var env []string
	for _, e := range p.host.Env {
		if name, _, _ := strings.Cut(e, "="); slices.Contains(p.Removed, name) {
			env = append(env, e)
		}
	}
	var files [][]byte
	for _, e := range p.Hidden {
		if len(files) == maxSecretFiles {
			break
		}
		if text := settings(e.Path); !e.Dir && text != nil {
			files = append(files, text)
		}
	}
	ordinary := strings.Split(p.Project+"/"+p.Home, "/")
	if name, err := os.Hostname(); err == nil {
		ordinary = append(ordinary, name)
	}
	return mask.Known(env, files, append(ordinary, filepath.Base(p.Home)))
}

// settings gives the beginning of a file, nil where there is nothing to look into.
func settings(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil // what we can't read, nobody inside can
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, mask.MaxFile))
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		return nil
	}
	return text
}

// masks says in words what is masked in the output, "" when nothing is.
func (p *Policy) masks() string {
	m := p.config.Mask
	if len(m.Presets)+len(m.Patterns) == 0 {
		return ""
	}
	words := slices.Clone(m.Presets)
	if n := len(m.Patterns); n > 0 {
		words = append(words, "patterns of the user's")
	}
	return strings.Join(append(words, "values of denied files and removed variables"), ", ")
}
