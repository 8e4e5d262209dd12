package acl

import "errors"

type syncer struct{ counts }

func newSyncer(Agents, Rules) *syncer { return &syncer{} }

func (s *syncer) top(path string) { s.failed(path, errors.ErrUnsupported) }
