// Package config reads, merges and edits aigate's YAML files: the global ~/.aigate/config.yaml
// and a project's .aigate.yaml.
//
// It promises that a file which loads means what it says. Every key, type, pattern, host, size and
// regular expression is checked by Load, before anything runs, and a mistake comes back as an
// [Error] that names file, line and column, shows the line and says what to write instead. Nothing
// is guessed and nothing unknown is skipped.
//
// It looks at no path but that of the file it is given: what a pattern names on this machine is
// the business of policy and match.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Config is what one file says, or, after Merge, what all of them say together.
type Config struct {
	Group, User string // the OS group and user that `setup` makes

	DenyRead   []string // patterns of files that cannot be read
	DenyWrite  []string // patterns that stay unwritable inside the writable roots
	AllowWrite []string // writable roots beside the project and /tmp
	DenyExec   []string // commands ("curl") and sub-commands ("kubectl delete")
	DenyEnv    []string // globs of environment variables that are removed; see EnvDenied

	// AllowNet has three states: nil, the key is absent and the network is the host's;
	// empty, no network; else only these.
	AllowNet []string

	Engine  string // "" (auto), "auto", "bwrap" or "native"
	Network string // "" (gate), "gate" or "slirp4netns"

	Limits Limits
	Mask   Mask
}

// Mask says what is redacted in the output.
type Mask struct {
	Presets  []string
	Patterns []MaskPattern
}

// MaskPattern is one redaction of the user's own.
type MaskPattern struct {
	Regex           string // RE2
	ShowPrefix      int    // bytes of the match that stay readable
	CaseInsensitive bool
}

// maxFileSize bounds what a file from an untrusted repository can make us parse.
const maxFileSize = 1 << 20

// Load reads one file and checks all of it; built-in lists are not merged in. A file that does not
// exist gives an error that wraps fs.ErrNotExist. Everything wrong with the contents is reported
// at once, as Errors.
func Load(path string) (*Config, error) {
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, src)
}

// File is a project's .aigate.yaml as it was read, once: what is shown, what is approved and what
// is applied are the same bytes, whatever stands under the name by then.
type File struct {
	*Config
	Path   string
	Source []byte
}

// LoadProject is Load for a project's .aigate.yaml: nil without an error where there is none.
// Anything but a regular file counts as none, because a running sandbox holds the name with a
// socket so that the payload cannot create it.
func LoadProject(path string) (*File, error) {
	src, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotRegular) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := Parse(path, src)
	if err != nil {
		return nil, err
	}
	return &File{Config: c, Path: path, Source: src}, nil
}

// Rules are what the file says, nil where there is none.
func (f *File) Rules() *Config {
	if f == nil {
		return nil
	}
	return f.Config
}

// Parse is Load for contents already in memory; name is what errors call the file.
func Parse(name string, src []byte) (*Config, error) {
	d := &decoder{file: name}
	root := d.parse(src)
	c := &Config{}
	if len(d.errs) == 0 {
		d.root(root, c)
	}
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	return c, nil
}

// bom is the mark that some editors put before UTF-8.
const bom = "\ufeff"

var errNotRegular = errors.New("not a regular file")

// readFile reads by bare system calls: a FIFO must not hang us, and the runtime's poller is not
// worth starting for one small file.
func readFile(path string) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		var st syscall.Stat_t
		if errors.Is(err, syscall.EACCES) && syscall.Lstat(path, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFSOCK {
			err = syscall.ENXIO // as for a socket that may be opened: a placeholder has no permissions at all
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		if errors.Is(err, syscall.ENXIO) { // a socket
			return nil, fileError(path, errNotRegular, "")
		}
		return nil, fileError(path, err, readHint(err))
	}
	defer syscall.Close(fd)

	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, fileError(path, err, "")
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, fileError(path, errNotRegular, "a configuration is a plain text file; move this away")
	}
	if st.Size > maxFileSize {
		return nil, fileError(path, fmt.Errorf("%d bytes is too large for a configuration", st.Size),
			fmt.Sprintf("the limit is %d bytes; a pattern with a * says more in less", maxFileSize))
	}
	src := make([]byte, 0, st.Size+1)
	for {
		if len(src) == cap(src) {
			src = append(src, 0)[:len(src)]
		}
		n, err := syscall.Read(fd, src[len(src):cap(src)])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, fileError(path, err, readHint(err))
		}
		if n == 0 {
			return src, nil
		}
		if src = src[:len(src)+n]; len(src) > maxFileSize {
			return nil, fileError(path, errors.New("grew while it was read"), "")
		}
	}
}

func open(path string) (int, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

func readHint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "make it readable for you: chmod u+r, or chown it back if root created it"
	}
	return ""
}
