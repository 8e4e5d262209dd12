package acl

import "errors"

// The account can be denied files here, but not let in: `aigate run --as-runner`
// is Linux's.

func (g Grant) Apply(project string) Report      { return unsupported(project) }
func (g Grant) Revoke(project string) Report     { return unsupported(project) }
func (g Grant) OpenWay(dir string) (bool, error) { return false, errors.ErrUnsupported }
func (g Grant) CloseWay(dir string) error        { return errors.ErrUnsupported }

func unsupported(project string) Report {
	return Report{Failed: []Failure{{Reason: errors.ErrUnsupported, Count: 1, Example: project}}}
}
