package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// rewrite reads a file, lets change make new contents of it and puts them in its place, all under a
// lock, so that of two at once neither is lost, and by rename, so that no reader sees half a file.
// A symlink stays one, and what it leads to is written. Mode and owner stay.
func rewrite(path string, change func([]byte) ([]byte, error)) error {
	real, err := target(path)
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Dir(real))
	if err != nil {
		return err
	}
	defer unlock()

	old, err := readFile(real)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	out, err := change(old)
	if err != nil {
		return err
	}
	if !missing && bytes.Equal(old, out) {
		return nil
	}
	return replace(real, out, 0o644)
}

// WriteFile puts contents in the place of a file, or makes it with the mode, as rewrite does.
func WriteFile(path string, contents []byte, mode fs.FileMode) error {
	real, err := target(path)
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Dir(real))
	if err != nil {
		return err
	}
	defer unlock()
	return replace(real, contents, mode)
}

// target is what a chain of symlinks ends at, whether it exists or not.
func target(path string) (string, error) {
	for range 40 {
		to, err := os.Readlink(path)
		if err != nil {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return "", err
			}
			return filepath.Join(dir, filepath.Base(path)), nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// lockPatience is how long another edit may take before we give up.
const lockPatience = 10 * time.Second

// lock takes the folder itself: a lock file would be litter in a project.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(2 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
		}
		if time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("another program has held a lock on %s for %v; try again when it is done", dir, lockPatience)
		}
	}
}

// replace writes beside the file and renames over it. The mode is for a file that is new.
func replace(path string, contents []byte, mode fs.FileMode) (err error) {
	var owner *syscall.Stat_t
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return fileError(path, errNotRegular, "")
		}
		mode = info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
		owner, _ = info.Sys().(*syscall.Stat_t)
	}
	sweep(path)
	tmp, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*") // made 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	defer tmp.Close()
	if _, err := tmp.Write(contents); err != nil {
		return err
	}
	if owner != nil && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		// With sudo the file stays its owner's. Where that is not ours to do, the group may change.
		if err := tmp.Chown(int(owner.Uid), int(owner.Gid)); err != nil && int(owner.Uid) != os.Geteuid() {
			return err
		}
	}
	if err := tmp.Chmod(mode); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func tempPrefix(path string) string { return "." + filepath.Base(path) + "." }

// stale is how old a temporary file must be to be nobody's: its maker holds the folder's lock, which
// is ours now, but a file system on the network may not have told.
const stale = time.Minute

// sweep removes temporary files that killed edits left beside the file. The caller holds the lock. A
// file that stays is litter and no reason to refuse an edit.
func sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), tempPrefix(path))
		if !ours || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > stale {
			os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

// syncDir makes the rename last. A file system that cannot is no reason to call the edit failed.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	f.Sync()
	return nil
}
