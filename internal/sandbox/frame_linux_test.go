package sandbox

import (
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/limit"
)

// TestOtherFrame: what was mounted before the whole plan was known must be what it begins with.
func TestOtherFrame(t *testing.T) {
	root, bind, hide := Step{Kind: Root, Path: "/"}, Step{Kind: Bind, Path: "/srv/app"}, Step{Kind: Hide, Path: "/srv/app/secrets"}
	for _, c := range []struct {
		framed, steps []Step
		fits          bool
	}{
		{[]Step{root, bind}, []Step{root, bind, hide}, true},
		{[]Step{root}, []Step{root, bind, hide}, false},
		{[]Step{root, bind}, []Step{root, hide}, false},
		{[]Step{root, {Kind: Show, Path: "/srv/app"}}, []Step{root, bind}, false},
	} {
		r := &running{framed: c.framed, plan: &Plan{Steps: c.steps}, limits: &limits{Control: &limit.Control{}}}
		err := r.foundation()
		if c.fits && err != nil || !c.fits && (err == nil || !strings.Contains(err.Error(), "another frame")) {
			t.Errorf("%v, of a plan of %v: %v", c.framed, c.steps, err)
		}
		r.held.release()
	}
}
