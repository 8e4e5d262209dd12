package doctor

import "strings"

// Container is what we run in, if anything.
type Container struct {
	Kind string // docker, podman, kubernetes, lxc, systemd-nspawn, another's name, or ""
}

// What a container engine takes from the processes in it that a sandbox needs. With each goes the
// option that gives it back, and gives nothing else.
type option struct{ namespaces, mount, proc string }

func options(kind string) (o option, known bool) {
	switch kind {
	// Docker's seccomp profile lets unshare and clone of namespaces, mount and umount through for
	// containers with CAP_SYS_ADMIN alone; its AppArmor profile denies mount; it covers parts of /proc.
	case "docker":
		return option{"--security-opt seccomp=unconfined", "--security-opt apparmor=unconfined", "--security-opt systempaths=unconfined"}, true
	case "podman":
		return option{"--security-opt seccomp=unconfined", "--security-opt label=disable", "--security-opt unmask=ALL"}, true
	case "kubernetes":
		return option{"securityContext: {seccompProfile: {type: Unconfined}}", "securityContext: {appArmorProfile: {type: Unconfined}}",
			"securityContext: {procMount: Unmasked}, with hostUsers: false in the pod"}, true
	}
	return o, false
}

func (c Container) blame(t Trial) Cause {
	o, known := options(c.Kind)
	why := "the container (" + c.Kind + ") does not allow it"
	if !known {
		return Cause{why, []string{"let the container nest namespaces (lxc: security.nesting=true; systemd-nspawn: --private-users and SYSTEMD_SECCOMP=0), or run aigate outside of it"}}
	}
	// The engine's filter, its profile and its covers are met one after the other: who lifts the first
	// meets the second. So all from the one that was met on are named.
	need := []string{o.mount, o.proc}
	switch {
	case t.Clone != 0:
		why = "the container's seccomp filter (" + c.Kind + ") refuses namespaces"
		need = append([]string{o.namespaces}, need...)
	case t.Proc != 0:
		why = "the container (" + c.Kind + ") covers parts of /proc, so the kernel gives a sandbox in it no /proc of its own"
		need = []string{o.proc}
	case t.Others != 0:
		need = append([]string{o.namespaces}, need...)
	}
	var fix []string
	if c.Kind == "kubernetes" {
		fix = need
	} else {
		fix = []string{c.Kind + " run " + strings.Join(need, " ") + " …"}
	}
	return Cause{why, append(fix, "or run aigate outside of the container, around the program that starts it")}
}
