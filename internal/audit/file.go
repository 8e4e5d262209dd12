package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// mostBytes is the size at which the file is put aside, over the one that was
// put aside before: 16 MiB are the most that the log ever takes.
const mostBytes = 8 << 20

// aside is what the name of the file that was put aside ends in.
const aside = ".1"

// A file is opened for every line. Runs are long and events are few, and
// another run may have put the file aside since.
type file struct {
	path string
	torn bool // the last write was cut short, so the file does not end in a line's end
}

// append writes text at the file's end, in one write(2).
func (f *file) append(text []byte) error {
	for range 3 {
		w, full, err := f.open()
		if err != nil {
			return err
		}
		if full {
			err = f.putAside(w)
			w.Close()
			if err != nil {
				return err
			}
			continue
		}
		if f.torn {
			text = append([]byte{'\n'}, text...)
		}
		n, err := w.Write(text)
		f.torn = n > 0 && n < len(text)
		return errors.Join(err, w.Close())
	}
	return fmt.Errorf("%s is put aside by others again and again", f.path)
}

// open gives the file, made when it is missing. No link is followed, and
// O_NONBLOCK keeps a FIFO of that name from stopping us.
func (f *file) open() (w *os.File, full bool, err error) {
	w, err = os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, false, err
	}
	st, err := w.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.path)
	}
	if err != nil {
		w.Close()
		return nil, false, err
	}
	return w, st.Size() >= mostBytes, nil
}

// putAside renames the file w, unless another run was quicker: only who holds
// the lock of the file that still has the name renames it.
func (f *file) putAside(w *os.File) error {
	if err := syscall.Flock(int(w.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", f.path, err)
	}
	mine, err := w.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(f.path, f.path+aside)
}

// Read gives the last lines, at most so many, oldest first, with one line an
// event of a run: the last, which has its count. No file is no lines; what is
// not a line of ours is passed over.
func Read(path string, most int) ([]Line, error) {
	type key struct{ run, kind, outcome, subject, reason string }
	at := map[key]int{}
	var out []Line
	for _, name := range []string{path + aside, path} {
		src, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for text := range bytes.Lines(src) {
			var l Line
			if json.Unmarshal(text, &l) != nil || l.Time == "" {
				continue
			}
			k := key{l.Run, l.Kind, l.Outcome, l.Subject, l.Reason}
			if i, ok := at[k]; ok {
				out[i] = l
				continue
			}
			at[k] = len(out)
			out = append(out, l)
		}
	}
	slices.SortStableFunc(out, func(a, b Line) int { return strings.Compare(a.Time, b.Time) }) // all are UTC
	return out[max(0, len(out)-most):], nil
}
