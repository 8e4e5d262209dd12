package main

import (
	"fmt"
	"os"
)

// journal is DIR/log: what the world heard, a line each. The test may empty it at any time.
type journal struct{ f *os.File }

func openLog(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	return &journal{f}, f.Chmod(0o666)
}

// printf writes a line in one call, which O_APPEND makes whole.
func (j *journal) printf(format string, args ...any) {
	_, _ = j.f.Write(append(fmt.Appendf(nil, format, args...), '\n'))
}
