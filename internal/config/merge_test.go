package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestMergeLists(t *testing.T) {
	for _, tt := range []struct{ name, global, project, want string }{
		{"extends", "a b", "c", "a b c"},
		{"no duplicates", "a b", "b c", "a b c"},
		{"takes back", "a b", "!a", "a b !a"},
		{"denied again", "a !a", "a", "a !a a"},
		{"taken back again", "!a a", "!a", "!a a !a"},
		{"no duplicates without need", "a !b", "a", "a !b a"},
		{"one file alone", "", "a", "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Merge(&Config{DenyRead: strings.Fields(tt.global)}, &Config{DenyRead: strings.Fields(tt.project)})
			if !slices.Equal(got.DenyRead, strings.Fields(tt.want)) {
				t.Errorf("%q", got.DenyRead)
			}
		})
	}
}

func TestMergeAddsToTheBuiltIn(t *testing.T) {
	got := Merge(&Config{DenyWrite: []string{"x"}, DenyEnv: []string{"X"}, AllowWrite: []string{"~/x/"}}, &Config{DenyWrite: []string{"!.git/config"}})
	for list, entries := range map[string][2][]string{
		"deny_write": {got.DenyWrite, {".git/hooks/", "./.aigate.yaml", "x", "!.git/config"}}, "deny_env": {got.DenyEnv, {"GITHUB_TOKEN", "X"}}, "allow_write": {got.AllowWrite, {"~/.cache/", "~/x/"}},
	} {
		for _, want := range entries[1] {
			if !slices.Contains(entries[0], want) {
				t.Errorf("%s lacks %q", list, want)
			}
		}
	}
	if got.DenyWrite[len(got.DenyWrite)-1] != "!.git/config" {
		t.Error("what a project takes back must stand last")
	}
}

func TestMergeTakesWritablePlacesBack(t *testing.T) {
	got := Merge(&Config{AllowWrite: []string{"!~/.cargo", "!~/.cache/pip/", "/srv/data/"}}, &Config{AllowWrite: []string{"!/srv/data"}})
	for _, gone := range []string{"~/.cargo/registry/", "~/.cargo/git/", "/srv/data/"} {
		if slices.Contains(got.AllowWrite, gone) {
			t.Errorf("%s is still writable", gone)
		}
	}
	if !slices.Contains(got.AllowWrite, "~/.cache/") || !slices.Contains(got.DenyWrite, "~/.cache/pip/") || !slices.Contains(got.DenyWrite, "/srv/data") {
		t.Errorf("%q\n%q", got.AllowWrite, got.DenyWrite)
	}
	again := Merge(&Config{AllowWrite: []string{"!~/.npm/", "~/.npm/"}}, nil)
	if !slices.Contains(again.AllowWrite, "~/.npm/") || slices.Contains(again.DenyWrite, "~/.npm/") {
		t.Error("a later entry does not win")
	}
}

func TestMergeLeavesItsArguments(t *testing.T) {
	global := &Config{AllowNet: make([]string, 1, 9), DenyRead: make([]string, 1, 9)}
	all := Merge(global, nil)
	all.AllowNet = append(all.AllowNet, "x")
	if Merge(global, nil).AllowNet[0] != "" || len(global.AllowNet) != 1 {
		t.Error("changed")
	}
}

func TestLoosens(t *testing.T) {
	for _, tt := range []struct{ name, global, project, want string }{
		{"nothing", "", "deny_read: [a]\ndeny_exec: [b]\nmask_stdout: {presets: [openai]}\nallow_write: ['!~/.npm/']\nallow_net: []", ""},
		{"a host beside a list", "allow_net: [a.com]", "allow_net: [b.com]", "allow_net: lets the network reach b.com"},
		{"hosts of other kinds", "allow_net: []", "allow_net: ['*.b.com:443', 'localhost:80', 10.0.0.0/8, B.com., 'аpple.com']",
			"allow_net: lets the network reach every host below b.com (*.b.com:443)|allow_net: lets the network reach port 80 of your machine itself|" +
				"allow_net: lets the network reach 10.0.0.0/8|allow_net: lets the network reach b.com|allow_net: lets the network reach xn--pple-43d.com"},
		{"a host that is allowed", "allow_net: [a.com]", "allow_net: [a.com]", ""},
		{"hosts that narrow", "", "allow_net: [a.com]", ""},
		{"taking back", "", "deny_read: [a, '!.env']\ndeny_write: ['!.git/config']\ndeny_env: ['!GH_TOKEN']",
			"deny_read: makes .env readable again|deny_write: makes .git/config writable again|deny_env: passes the variable GH_TOKEN on again"},
		{"writing", "", "allow_write: [~/x/]", "allow_write: makes ~/x/ writable"},
		{"higher limits", "resource_limits: {max_memory: 4G, max_cpu_percent: 50, max_pids: 9}", "resource_limits: {max_memory: 8G, max_cpu_percent: 60, max_pids: 10}",
			"max_memory: sets the limit to 8G|max_cpu_percent: sets the limit to 60 %|max_pids: sets the limit to 10"},
		{"more time", "resource_limits: {max_time: 2h, max_file_size: 1G, max_open_files: 100}", "resource_limits: {max_time: 1h, max_file_size: 2G, max_open_files: 200}",
			"max_file_size: sets the limit to 2G|max_open_files: sets the limit to 200"},
		{"lower limits", "resource_limits: {max_memory: 4G, max_pids: 9}", "resource_limits: {max_memory: 2G, max_cpu_percent: 60, max_pids: 8}", ""},
		{"engine", "", "engine: native\nnetwork: slirp4netns", "engine: chooses native|network: chooses slirp4netns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			global, project := parsed(t, tt.global), parsed(t, tt.project)
			got := LoosensBeyond(global, project)
			if strings.Join(got, "|") != tt.want {
				t.Errorf("%q", got)
			}
			// What is left of the file without approval loosens nothing, and tightens as before.
			tight := Tightening(global, project)
			if left := LoosensBeyond(global, tight); len(left) > 0 {
				t.Errorf("tightening part: %q", left)
			}
			if !slices.Equal(tight.DenyExec, project.DenyExec) || !reflect.DeepEqual(tight.Mask, project.Mask) || (tight.AllowNet == nil) != (project.AllowNet == nil) {
				t.Errorf("tightening part lost: %+v", tight)
			}
			for _, l := range got {
				if !slices.Contains(Loosens(project), l) {
					t.Errorf("Loosens does not say %q", l)
				}
			}
		})
	}
	if Loosens(nil) != nil {
		t.Error("no file loosens nothing")
	}
}
