package sandbox

type Watch struct{}

func (w *Watch) start(r *running) {}
func (w *Watch) stop()            {}
