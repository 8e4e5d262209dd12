package acl

import "errors"

func (g Grant) Apply(project string) (r Report)  { return r }
func (g Grant) Revoke(project string) (r Report) { return r }
func (g Grant) OpenWay(dir string) (bool, error) { return false, errors.ErrUnsupported }
func (g Grant) CloseWay(dir string) error        { return errors.ErrUnsupported }
