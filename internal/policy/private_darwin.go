package policy

// private: there are no folders of the sandbox's own but one, which is made for
// the run and which TMPDIR names. Those for temporary files are closed: they are
// others' too, and full of sockets.
func (p *Policy) private() {
	for _, d := range []string{"/tmp", "/var/tmp", getenv(p.host.Env, "TMPDIR")} {
		if d == "" {
			continue
		}
		real, st, err := realPath(d)
		if err == nil && isDir(st) && !p.precious(real) {
			p.scratch(real, 0o1777)
		}
	}
}

// shown: what lies in them and is the user's own.
func (p *Policy) shown() {
	if p.Home != "" && !p.visible(p.Home) && !below(p.Home, p.Project) {
		p.Shown = append(p.Shown, Entry{Path: p.Home, Dir: true, Rule: "home"})
	}
}
