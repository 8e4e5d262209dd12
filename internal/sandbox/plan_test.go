package sandbox

import "testing"

func TestPlanPrints(t *testing.T) {
	p := &Plan{Dir: "/home/u/p", OwnNet: true, Steps: []Step{
		{Kind: Root, Path: "/"},
		{Kind: Bind, Path: "/home/u/p", Why: "the project"},
		{Kind: Mask, Path: "/home/u/p/a b\n.pem", Why: "*.pem"},
		{Kind: Protect, Path: "/home/u/p/.aigate.yaml", Why: "deny_write", View: SocketView},
	}}
	const want = `root     /
bind     /home/u/p    # the project
mask     "/home/u/p/a b\n.pem"    # *.pem
protect  /home/u/p/.aigate.yaml (not there yet)    # deny_write
network  own namespace, loopback alone
chdir    /home/u/p
`
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for k := Root; int(k) < len(kindNames); k++ {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if len(kindNames) != int(Anchor)+1 {
		t.Error("a kind has no name")
	}
}
