package doctor

import (
	"strings"
	"syscall"
	"testing"
)

const (
	eperm  = syscall.EPERM
	eacces = syscall.EACCES
	enospc = syscall.ENOSPC
	einval = syscall.EINVAL
	enosys = syscall.ENOSYS
)

// The example of the guide is what comes out, to the byte.
func TestGuidesExample(t *testing.T) {
	const want = `  ok    bwrap            v0.10.0  — sandbox isolation (mount/pid/user namespaces)
  ok    slirp4netns      v1.3.1   — network filtering (allow_net rules)
  ok    setfacl          v2.3.2   — persistent ACLs
  ok    user namespaces  enabled

Isolation mode: bwrap + slirp4netns (full isolation)
`
	var b strings.Builder
	text := Text{W: &b}
	r := Report{Works: true, Mode: "bwrap + slirp4netns (full isolation)"}
	fine := func(state string) func() Outcome { return func() Outcome { return Outcome{Result: OK, State: state} } }
	for _, c := range []Check{
		{Name: "bwrap", For: "sandbox isolation (mount/pid/user namespaces)", Try: fine("v0.10.0")},
		{Name: "slirp4netns", For: "network filtering (allow_net rules)", Try: fine("v1.3.1")},
		{Name: "setfacl", For: "persistent ACLs", Try: fine("v2.3.2")},
		{Name: "user namespaces", Try: fine("enabled")},
		{Name: "kernel", Quiet: true, Try: fine("v6.1")},
	} {
		f := c.Run()
		r.Checks = append(r.Checks, f)
		text.Finding(f)
	}
	text.Verdict(&r)
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestText(t *testing.T) {
	missing := Check{Name: "bwrap", For: "isolation", Install: Everywhere("bubblewrap"), Without: "native is taken",
		Try: func() Outcome { return Outcome{Result: Absent, State: Missing} }}
	refused := Check{Name: "kernel", Quiet: true, Without: "every run is refused", Fix: []string{"a newer one"},
		Try: func() Outcome { return Outcome{Result: Fail, State: "v4.18", Why: "no mount_setattr(2)"} }}
	var b strings.Builder
	text := Text{W: &b, Colour: true, Managers: []string{"apk"}}
	r := Report{Mode: "none", Why: strings.Repeat("word ", 30) + "end"}
	for _, c := range []Check{missing, refused} {
		r.Checks = append(r.Checks, c.Run())
		text.Finding(c.Run())
	}
	text.Verdict(&r)
	const want = "  \x1b[2m--\x1b[0m    bwrap            missing  — isolation\n" +
		"  \x1b[31mfail\x1b[0m  kernel           v4.18\n" + `
What is missing or weaker here, and what to do:

  bwrap: missing
      native is taken
      fix: sudo apk add bubblewrap

  kernel: no mount_setattr(2)
      every run is refused
      fix: a newer one

` + "`aigate run` refuses: word word word word word word word word word word word word word word word\n" +
		"word word word word word word word word word word word word word word word end\n\n" +
		"Isolation mode: \x1b[31mnone\x1b[0m\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
	text.Managers, text.Colour = []string{}, false
	if all := text.install(r.Checks[0]); len(all) != len(managers) || all[0] != "sudo apt install bubblewrap" || all[2] != "sudo pacman -S bubblewrap" {
		t.Errorf("without a package manager: %q", all)
	}
}

func TestBlame(t *testing.T) {
	docker, podman := Container{"docker"}, Container{"podman"}
	for _, c := range []struct {
		name  string
		trial Trial
		facts Facts
		why   string // in the cause; "" when there is none
		fix   string // in the first thing to do
	}{
		{"all is well", Trial{}, Facts{MaxUserNS: "0", AppArmorRestrict: "1"}, "", ""},
		{"WSL 1", Trial{Clone: einval}, Facts{WSL: 1}, "WSL 1", "wsl --set-version"},
		{"sysctl", Trial{Clone: enospc}, Facts{MaxUserNS: "0"}, "user.max_user_namespaces is 0", "sudo sysctl -w user.max_user_namespaces=15000"},
		{"sysctl in a container", Trial{Clone: enospc}, Facts{MaxUserNS: "0", Container: docker}, "user.max_user_namespaces is 0", "sudo sysctl"},
		{"too many", Trial{Clone: enospc}, Facts{MaxUserNS: "96000"}, "limit on namespaces is reached", "sysctl user"},
		{"too many of another kind", Trial{Others: enospc}, Facts{MaxUserNS: "96000"}, "limit on namespaces is reached", "sysctl user"},
		{"Debian", Trial{Clone: eperm}, Facts{UsernsClone: "0", AppArmorRestrict: "0"}, "kernel.unprivileged_userns_clone is 0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{"Debian, as root", Trial{Clone: eperm}, Facts{UsernsClone: "0", Root: true, Seccomp: true}, "seccomp filter", "plain terminal"},
		{"Ubuntu 23.10", Trial{Clone: eacces}, Facts{AppArmorRestrict: "1", AppArmorLabel: "unconfined", UsernsClone: "1"}, "AppArmor restricts", "sudo aigate setup"},
		{"Ubuntu 24.04", Trial{Others: eperm}, Facts{AppArmorRestrict: "1", AppArmorLabel: "unconfined"}, "AppArmor restricts", "sudo aigate setup"},
		{"Ubuntu 24.04, mapped", Trial{Map: eperm}, Facts{AppArmorRestrict: "1"}, "AppArmor restricts", "sudo aigate setup"},
		{"Docker on Ubuntu, apparmor=unconfined", Trial{Mount: eacces}, Facts{AppArmorRestrict: "1", AppArmorLabel: "unconfined", Container: docker}, "AppArmor restricts", "on the host: sudo sysctl"},
		{"Docker on Ubuntu", Trial{Mount: eacces}, Facts{AppArmorRestrict: "1", AppArmorLabel: "docker-default (enforce)", Container: docker}, "container (docker)", "docker run --security-opt apparmor=unconfined --security-opt systempaths=unconfined"},
		{"Docker", Trial{Clone: eperm}, Facts{Seccomp: true, Container: docker}, "seccomp filter (docker)", "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"},
		{"Docker, seccomp lifted", Trial{Proc: eperm}, Facts{Container: docker}, "covers parts of /proc", "docker run --security-opt systempaths=unconfined"},
		{"Podman", Trial{Proc: eperm}, Facts{Seccomp: true, Container: podman}, "covers parts of /proc", "podman run --security-opt unmask=ALL"},
		{"Kubernetes", Trial{Clone: eperm}, Facts{Seccomp: true, Container: Container{"kubernetes"}}, "seccomp filter (kubernetes)", "seccompProfile: {type: Unconfined}"},
		{"another container", Trial{Mount: eperm}, Facts{Container: Container{"lxc"}}, "container (lxc)", "security.nesting=true"},
		{"chroot", Trial{Clone: eperm}, Facts{Chroot: true, UsernsClone: "1"}, "chroot", "pivot_root"},
		{"covered /proc", Trial{Proc: eperm}, Facts{}, "parts of /proc are covered", "where /proc is whole"},
		{"no user namespaces", Trial{Clone: einval}, Facts{}, "CONFIG_USER_NS", "a kernel"},
		{"a filter that says no such call", Trial{Clone: enosys}, Facts{Seccomp: true}, "seccomp filter", "plain terminal"},
		{"an IDE's filter", Trial{Clone: eperm}, Facts{Seccomp: true}, "seccomp filter", "plain terminal"},
		{"SELinux", Trial{Clone: eacces}, Facts{SELinux: true}, "SELinux", "ausearch"},
		{"nobody knows", Trial{Clone: eperm}, Facts{}, "", ""},
	} {
		got, found := Blame(c.trial, c.facts)
		if found != (c.why != "") || !strings.Contains(got.Why, c.why) || found && (len(got.Fix) == 0 || !strings.Contains(got.Fix[0], c.fix)) {
			t.Errorf("%s: %v %+v", c.name, found, got)
		}
	}
}

func TestVersionIn(t *testing.T) {
	for text, want := range map[string]string{
		"bubblewrap 0.8.0\n":                        "v0.8.0",
		"slirp4netns version 1.2.0\ncommit: 656041": "v1.2.0",
		"setfacl 2.3.1\n":                           "v2.3.1",
		"thing v3, of today":                        "v3",
		"nothing of the kind":                       "found",
		"":                                          "found",
	} {
		if got := versionIn(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
