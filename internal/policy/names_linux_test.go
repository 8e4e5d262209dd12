package policy

import (
	"os"
	"strings"
	"testing"

	"github.com/AxeForging/aigate/internal/sandbox"
)

// The rules by name are Seatbelt's, and are made from the same policy here.
func TestNames(t *testing.T) {
	w := newWorld(t, `
		p/.git/HEAD
		p/.git/objects/
		p/.git/config
		p/.env: A=b
		p/deploy/
		.claude/x
	`)
	w.conf.DenyRead = []string{".env", "*.pem", "!ok.pem", "deploy/prod.key", "~/.ssh/"}
	w.conf.DenyWrite = []string{"./.aigate.yaml", ".vscode/tasks.json", "~/.claude/settings.json"}
	w.conf.AllowWrite = []string{"~/.claude/"}
	w.conf.DenyExec = []string{"curl", "/opt/x/nc", "kubectl delete"}
	p, err := Resolve(&w.conf, Host{UID: os.Getuid(), GID: os.Getgid(), Home: w.home, Dir: w.home + "/p", Project: w.home + "/p"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range p.names() {
		back := ""
		for _, b := range n.Back {
			back += " but " + b.Body
		}
		got = append(got, strings.ReplaceAll(n.Kind.String()+" "+n.Body+back, escapedHome(w.home), "HOME"))
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		`mask HOME/p(/[^/]+)*/\.[Ee][Nn][Vv]`,
		`mask HOME/p(/[^/]+)*/[^/]*\.[Pp][Ee][Mm] but HOME/p(/[^/]+)*/ok\.pem`,
		`mask HOME/p/[Dd][Ee][Pp][Ll][Oo][Yy]/[Pp][Rr][Oo][Dd]\.[Kk][Ee][Yy]`,
		`block /[Cc][Uu][Rr][Ll]$`, `block ^/[Oo][Pp][Tt]/[Xx]/[Nn][Cc]$`,
	} {
		if !strings.Contains(text+"\n", want+"\n") {
			t.Errorf("%s is missing from\n%s", want, text)
		}
	}
	for _, want := range []string{`\.[Aa][Ii][Gg][Aa][Tt][Ee]\.[Yy][Aa][Mm][Ll]$`, `\.[Vv][Ss][Cc][Oo][Dd][Ee]$`, `[Hh][Oo][Oo][Kk][Ss]$`, `/[Ss][Ee][Tt][Tt][Ii][Nn][Gg][Ss]\.[Jj][Ss][Oo][Nn]$`} {
		found := false
		for _, n := range p.names() {
			found = found || n.Kind == sandbox.Protect && strings.HasSuffix(n.Body+"$", want)
		}
		if !found {
			t.Errorf("nothing protects …%s in\n%s", want, text)
		}
	}
	if strings.Contains(strings.ToLower(text), "kubectl") {
		t.Error("a sub-command is no name")
	}
}

// escapedHome is a test's folder in an expression that takes it literally.
func escapedHome(home string) string { return strings.ReplaceAll(home, ".", `\.`) }
