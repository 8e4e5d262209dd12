package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Record is what setup made on this machine. Everything stands in it before it
// is made, so that nothing is ever made that it does not hold.
type Record struct {
	Current Names    `json:"current"` // of the last setup
	Groups  []string `json:"groups"`
	Users   []string `json:"users"`
	Homes   []string `json:"homes"`
	Profile string   `json:"apparmor_profile,omitempty"`
}

// Load reads the record; one that is not there is empty. Everybody may read it.
func Load() (Record, error) { return loadFrom(recordPath) }

func loadFrom(path string) (r Record, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("the record of `aigate setup`, %s: %w", path, err)
	}
	return r, nil
}

// save puts the record in its place, all of it or none.
func (r Record) save() error { return r.saveTo(recordPath) }

func (r Record) saveTo(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask is
		return err
	}
	tmp, err := os.CreateTemp(dir, ".setup.*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func (r Record) empty() bool {
	return len(r.Groups)+len(r.Users)+len(r.Homes) == 0 && r.Profile == ""
}

func with(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(slices.Clone(list), s)
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(o string) bool { return o == s })
}
