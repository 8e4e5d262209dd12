//go:build !linux

package gate

// pipe and pipePool are for splice(2), which only Linux has.
type (
	pipe     struct{}
	pipePool struct{}
)

func newPipePool() *pipePool { return nil }

func (p *pipePool) close() {}

func (w *way) splice(int) (int, error) { return 0, errNoPipe }
