package cli

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/AxeForging/aigate/internal/config"
	"github.com/AxeForging/aigate/internal/policy"
)

// sources are the configuration files that hold in a project, each read once.
type sources struct {
	global *config.Config
	around []around       // of the folders that the project lies in, the outermost first
	base   *config.Config // global and around: what the project's own file is judged against
	own    *config.File   // the project's, nil when there is none

	ledger ledger
}

// around is what the file of an enclosing folder says to projects inside.
type around struct {
	path string
	says *config.Config
}

// readFiles reads them. A mistake in any of them is an error.
func readFiles(h policy.Host) (*sources, error) {
	f := &sources{ledger: ledger{h.Home}}
	var err error
	f.global, err = config.Load(filepath.Join(h.Home, ".aigate", "config.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotInitialized
	}
	if err != nil {
		return nil, err
	}
	if err := f.readAround(h); err != nil {
		return nil, err
	}
	if f.own, err = config.LoadProject(filepath.Join(h.Project, ".aigate.yaml")); err != nil {
		return nil, err
	}
	if f.own != nil && h.Project != h.Home && len(policy.Enclosing(h))+len(f.around) > 0 {
		f.own.Config = f.own.Within(h.Project)
	}
	return f, nil
}

func (f *sources) readAround(h policy.Host) error {
	f.base = f.global
	for _, dir := range policy.Around(h.Project, h.Home) {
		file, err := config.LoadProject(filepath.Join(dir, ".aigate.yaml"))
		if err != nil {
			return err
		}
		if file == nil {
			continue
		}
		approved := false
		if len(config.LoosensBeyond(f.base, file.Config)) > 0 {
			if approved, err = f.ledger.approved(file); err != nil {
				return err
			}
		}
		says := file.Around(f.base, approved, dir)
		f.base = config.Extend(f.base, says)
		f.around = append(f.around, around{file.Path, says})
	}
	return nil
}

// loosens says what the project's file takes away, and whether the user has approved it.
func (f *sources) loosens() (what []string, approved bool, err error) {
	if what = config.LoosensBeyond(f.base, f.own.Rules()); len(what) > 0 {
		approved, err = f.ledger.approved(f.own)
	}
	return what, approved, err
}

// unasked is the part of the project's file that holds without a question: all that was approved,
// else what tightens.
func (f *sources) unasked() (*config.Config, error) {
	what, approved, err := f.loosens()
	if err != nil || len(what) == 0 || approved {
		return f.own.Rules(), err
	}
	return config.Tightening(f.base, f.own.Config), nil
}

// loadFiles reads the files of the project that we are in, and gives what holds there.
func loadFiles() (all config.Config, f *sources, err error) {
	if _, err := globalConfig(); err != nil {
		return all, nil, err
	}
	h, err := lookAtCaller()
	if err != nil {
		return all, nil, err
	}
	if f, err = readFiles(h); err != nil {
		return all, nil, err
	}
	own, err := f.unasked()
	return config.Merge(f.base, own), f, err
}

// loadBoth gives what holds in the project that we are in, and what your own file says alone.
func loadBoth() (all config.Config, global *config.Config, err error) {
	all, f, err := loadFiles()
	if err != nil {
		return all, nil, err
	}
	return all, f.global, nil
}
