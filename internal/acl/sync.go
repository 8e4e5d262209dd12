package acl

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/AxeForging/aigate/internal/match"
)

// Rules say what is to be denied. All of them are asked concurrently.
type Rules struct {
	// Denied says whether the policy names a path, or a folder that it lies in.
	Denied func(path string, dir bool) bool
	// Linked gives the files that are denied under one of several names. It is
	// asked when a file with several names is about to be allowed, once.
	Linked func() (map[match.Inode]bool, error)
	// HadDefault says that a folder had a default list of its own before.
	HadDefault func(path string) bool
}

// Report is what Sync did.
type Report struct {
	Set     int // files and folders that are denied now and were not before
	Cleared int // that are no longer denied
	Same    int // that needed no change
	Failed  []Failure
	// Defaults are folders whose default list named nobody. When ours is taken
	// out of it again nothing else tells it from one that we made.
	Defaults []string
}

// Failure is one reason for which some files were left as they are.
type Failure struct {
	Reason  error
	Count   int
	Example string
}

// Sync goes through paths and all that lies below them. What rules deny gets
// the denial, and what they do not deny loses it, if it has it. A path may be a
// symlink and is followed; no other is. Files are changed by descriptor, so that
// nobody who renames them meanwhile can have another one changed.
func Sync(paths []string, who Agents, rules Rules) Report {
	s := newSyncer(who, rules)
	for _, path := range paths {
		s.top(path)
	}
	slices.SortFunc(s.report.Failed, func(a, b Failure) int { return cmp.Compare(b.Count, a.Count) })
	return s.report
}

// counts is the report while workers write it.
type counts struct {
	mu     sync.Mutex
	report Report
}

func (c *counts) failed(path string, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.report.Failed {
		if f := &c.report.Failed[i]; errors.Is(f.Reason, reason) {
			f.Count++
			return
		}
	}
	c.report.Failed = append(c.report.Failed, Failure{Reason: reason, Count: 1, Example: path})
}

func (c *counts) done(deny, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !changed:
		c.report.Same++
	case deny:
		c.report.Set++
	default:
		c.report.Cleared++
	}
}
