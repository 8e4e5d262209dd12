package policy

import "github.com/AxeForging/aigate/internal/sandbox"

// watch has nothing to do: what appears is judged by its name, see plan_darwin.go.
type watch struct{}

// Watch gives nothing: Seatbelt judges what appears by itself.
func (p *Policy) Watch(_, _ func(string, ...any)) *sandbox.Watch { return nil }

func (w *watch) all() (removed, made, replaced []string) { return nil, nil, nil }
