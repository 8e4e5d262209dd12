package sandbox

import "syscall"

// Execs judges programs.
type Execs struct{}

type execs struct{}

func newExecs(*running) *execs { return nil }

func (s *calls) judge(*notification) syscall.Errno { return proceed }
