package guard

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

func parse(t testing.TB, rules ...string) []Rule {
	t.Helper()
	out, err := ParseRules(rules, "/home/ada")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// judged gives the rule that denies a command line, typed in a shell.
func judged(t testing.TB, g *Guard, line string) string {
	t.Helper()
	words := strings.Fields(line)
	d := g.Judge(Call{Path: words[0], Args: Words(words), Open: func(string) (File, error) { return File{}, fs.ErrNotExist }})
	if d == nil {
		return ""
	}
	return d.What
}

func TestRules(t *testing.T) {
	for _, c := range []struct{ rules, line, want string }{
		// a name, wherever it lies
		{"curl", "curl x", "curl"},
		{"curl", "/usr/bin/curl", "curl"},
		{"curl", "./node_modules/.bin/curl --version", "curl"},
		{"curl", "curly", ""},
		{"curl", "/curl/x", ""},
		{"curl", "-curl", "curl"}, // as a login shell
		// a glob
		{"python*", "/opt/bin/python3.12 x.py", "python*"},
		{"python*", "ipython", ""},
		{"nc.[ot]*", "nc.openbsd", "nc.[ot]*"},
		// a path
		{"/opt/tool/bin/x", "/opt/tool/bin/x", "/opt/tool/bin/x"},
		{"/opt/tool/bin/x", "/opt/tool/../tool/bin/x", "/opt/tool/bin/x"},
		{"/opt/tool/bin/x", "/usr/bin/x", ""},
		{"/opt/*/bin/x", "/opt/tool/bin/x a", "/opt/*/bin/x"},
		{"/opt/*/bin/x", "/opt/tool/sub/bin/x", ""},
		{"~/bin/deploy", "/home/ada/bin/deploy", "~/bin/deploy"},
		// a sub-command
		{"kubectl delete", "kubectl delete pod x", "kubectl delete"},
		{"kubectl delete", "kubectl -n x --context=y delete pod z", "kubectl delete"},
		{"kubectl delete", "kubectl -nx delete", "kubectl delete"},
		{"kubectl delete", "kubectl --namespace delete get pods", ""},
		{"kubectl delete", "kubectl get pod delete", ""},
		{"kubectl delete", "kubectl get -o delete", ""},
		{"kubectl delete", "kubectl --no-such-option delete", "kubectl delete"},
		{"kubectl delete", "kubectl --no-such-option value delete", "kubectl delete"},
		{"kubectl delete", "kubectl", ""},
		{"kubectl delete", "kubectl -n", ""},
		{"kubectl rollout undo", "kubectl rollout -l app=x undo deploy", "kubectl rollout undo"},
		{"kubectl rollout undo", "kubectl rollout status undo", ""},
		{"docker rm", "docker --host h rm x", "docker rm"},
		{"docker rm", "docker -H tcp://h:1 -D container rm x", "docker rm"},
		{"docker container rm", "docker rm x", "docker container rm"},
		{"docker rm", "docker run --rm image rm", ""},
		{"docker compose down", "docker compose -f x.yml -p down up", ""},
		{"docker compose down", "docker --context c compose -f x.yml down", "docker compose down"},
		{"docker compose down", "docker-compose -f x.yml down", "docker compose down"},
		{"podman rmi", "podman --log-level debug rmi x", "podman rmi"},
		{"git push", "git -C d push", "git push"},
		{"git push", "git -c user.name=x --git-dir=g push", "git push"},
		{"git push", "git -c push log", ""},
		{"git push", "git commit -m push", ""},
		{"git push", "/usr/lib/git-core/git-push origin", "git push"},
		{"git push --force", "git push origin main --force", "git push --force"},
		{"git push --force", "git push origin main", ""},
		{"gh repo delete", "gh -R o/r repo delete x", "gh repo delete"},
		{"aws s3 rm", "aws --region eu-1 --debug s3 rm s3://x", "aws s3 rm"},
		{"aws s3 rm", "aws --profile s3 ec2 rm", ""},
		{"gcloud compute instances delete", "gcloud --project p beta compute instances delete i", "gcloud compute instances delete"},
		{"terraform destroy", "terraform -chdir=x destroy -auto-approve", "terraform destroy"},
		{"terraform destroy", "terraform plan destroy", ""},
		{"npm publish", "npm --prefix x publish", "npm publish"},
		{"npm publish", "npm run publish", ""},
		{"helm uninstall", "helm --kube-context c uninstall x", "helm uninstall"},
		{"systemctl stop", "systemctl --user -H h stop x", "systemctl stop"},
		// of another tool any words in that order: the safe error
		{"make deploy", "make all deploy", "make deploy"},
		{"tool rm", "tool --what ever get rm", "tool rm"},
		{"tool a b", "tool b a", ""},
		{"rm -rf", "rm -fr x", "rm -rf"},
		{"rm -rf", "rm -r x", ""},
		{"rm -rf", "rm -r -f x", "rm -rf"},
		{"rm -rf", "rm -f -v x -r", "rm -rf"},
		{"rm -rf", "rm -v -i x", ""},
		{"find -delete", "find -depth -name x", ""},
		{"find -delete", "find . -name x -delete", "find -delete"},
		{"kubectl del*", "kubectl delete x", "kubectl del*"},
		// programs that are many
		{"wget", "busybox wget x", "wget"},
		{"wget", "./busybox-x86_64 wget x", "wget"},
		{"wget", "busybox busybox wget", "wget"},
		{"wget", "busybox ls wget", ""},
		{"wget", "/bin/wget x", "wget"},
		{"ls", "coreutils --coreutils-prog=ls /", "ls"},
		{"busybox", "busybox ls", "busybox"},
	} {
		g := New(parse(t, strings.Split(c.rules, "|")...), nil)
		if got := judged(t, g, c.line); got != c.want {
			t.Errorf("%q, rule %q: denied by %q, want %q", c.line, c.rules, got, c.want)
		}
	}
}

func TestArgvZero(t *testing.T) {
	g := New(parse(t, "wget"), nil)
	d := g.Judge(Call{Path: "/tmp/x", Args: Words([]string{"wget", "url"})})
	if d == nil || d.What != "wget" {
		t.Errorf("as wget: %v", d)
	}
	if d := g.Judge(Call{Path: "/tmp/x", Args: Words(nil)}); d != nil {
		t.Errorf("without words: %v", d)
	}
}

// However long a line is, and whatever stands in it, judging takes time in
// proportion and asks for every word once or twice.
func TestLongLine(t *testing.T) {
	g := New(parse(t, "kubectl delete", "kubectl a b c d e f"), nil)
	asked := 0
	args := func(i int) (string, bool) {
		asked++
		switch {
		case i == 0:
			return "kubectl", true
		case i < 200_000:
			return "--x", true
		}
		return "delete", i == 200_000
	}
	if d := g.Judge(Call{Path: "kubectl", Args: args}); d == nil {
		t.Error("options hide the sub-command")
	}
	if asked > 1_000_000 {
		t.Errorf("asked for a word %d times", asked)
	}
}

func TestBadRules(t *testing.T) {
	for _, text := range []string{"", "   ", "a[", "kubectl [x", "bin/x", "./x", "a" + strings.Repeat(" b", 40)} {
		var bad *RuleError
		if _, err := ParseRule(text); !errors.As(err, &bad) || bad.Problem == "" || bad.Hint == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
	if rules := parse(t, "~/x", "y"); rules[0].name != "/home/ada/x" {
		t.Errorf("%+v", rules)
	}
	if rules, err := ParseRules([]string{"~/x", "y"}, ""); err != nil || len(rules) != 1 {
		t.Errorf("without a home: %+v, %v", rules, err)
	}
}

func TestLoaded(t *testing.T) {
	for line, want := range map[string]string{
		"ld.so /usr/bin/curl x":                         "/usr/bin/curl 1",
		"ld.so --library-path /a:/b curl":               "curl 3 /a /b",
		"ld.so --argv0 ls --preload x --list ./c y":     "./c 6",
		"ld.so --library-path=/a --inhibit-cache ./c y": "./c 3 /a",
		"ld.so --list": "",
		"ld.so":        "",
	} {
		name, at, dirs := loaded(Words(strings.Fields(line)))
		got := ""
		if name != "" {
			got = strings.TrimSpace(name + " " + string(rune('0'+at)) + " " + strings.Join(dirs, " "))
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestRegex(t *testing.T) {
	for rule, want := range map[string]string{"curl": "/curl$", "py*.?": `/py[^/]*\.[^/]$`, "/opt/[ab]/x y": `^/opt/[ab]/x$`, "~/bin/x": "^/home/ada/bin/x$"} {
		if got := parse(t, rule)[0].Regex(regexp.QuoteMeta); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("kubectl delete", "kubectl -n x --context=y delete pod")
	f.Add("git push --force", "git -C d push origin --force")
	f.Add("rm -rf", "busybox rm -r -f")
	f.Add("[a-", "a")
	f.Add("~/b*n/x", "/home/ada/bin/x y z")
	f.Fuzz(func(t *testing.T, rule, line string) {
		r, err := ParseRule(rule)
		words := strings.Split(line, " ")
		if err != nil || len(words) > 100 {
			return
		}
		g := New([]Rule{r}, nil)
		call := Call{Path: words[0], Args: Words(words), Open: func(string) (File, error) { return File{}, fs.ErrNotExist }}
		d := g.Judge(call)
		if d != nil && d.What != rule {
			t.Errorf("denied by %q", d.What)
		}
		// One more word never makes a denied call an allowed one.
		if d != nil && g.Judge(Call{Path: words[0], Args: Words(append(words, "more")), Open: call.Open}) == nil {
			t.Errorf("%q is allowed with one more word", line)
		}
		// What a rule is, word for word, it denies.
		if own := strings.Fields(rule); g.Judge(Call{Path: own[0], Args: Words(own)}) == nil && !strings.ContainsAny(rule, `*?[\~`) && !odd(own) {
			t.Errorf("the rule %q does not deny itself", rule)
		}
	})
}

// odd rules mean something else than they say: a path with dots in it, options
// where a tool has its values.
func odd(words []string) bool {
	for i, w := range words {
		if strings.HasPrefix(w, "-") || i == 0 && strings.Contains(w, "/") {
			return true
		}
	}
	return false
}
