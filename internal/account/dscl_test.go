package account

import (
	"slices"
	"strings"
	"testing"
)

func TestMacCommands(t *testing.T) {
	var got []string
	for _, c := range append(addUserCommands("ai-runner", 498, 499, "/var/db/aigate/home-ai-runner"),
		addGroupCommand("ai-agents", 499), removeUserCommand("ai-runner"), removeGroupCommand("ai-agents"),
		readRecord("Users", "ai-runner", userID, groupID), listOf("Groups", groupID)) {
		got = append(got, strings.Join(c, "|"))
	}
	want := []string{
		"/usr/bin/dscl|.|-create|/Users/ai-runner",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|IsHidden|1",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|RealName|aigate sandbox",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|Password|*",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|UserShell|/usr/bin/false",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|NFSHomeDirectory|/var/db/aigate/home-ai-runner",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|PrimaryGroupID|499",
		"/usr/bin/dscl|.|-create|/Users/ai-runner|UniqueID|498",
		"/usr/sbin/dseditgroup|-o|create|-n|.|-i|499|-r|aigate sandbox|ai-agents",
		"/usr/bin/dscl|.|-delete|/Users/ai-runner",
		"/usr/sbin/dseditgroup|-o|delete|-n|.|ai-agents",
		"/usr/bin/dscl|.|-read|/Users/ai-runner|UniqueID|PrimaryGroupID",
		"/usr/bin/dscl|.|-list|/Groups|PrimaryGroupID",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestParseRecord(t *testing.T) {
	u, found, err := asMacUser("ai-runner", parseRecord("NFSHomeDirectory:\n /var/db/a home\nPrimaryGroupID: 499\nRealName:\n aigate sandbox\nUniqueID: 498\nUserShell: /usr/bin/false\ndsAttrTypeNative:IsHidden: 1\n"))
	if want := (User{Name: "ai-runner", UID: 498, GID: 499, Home: "/var/db/a home", Shell: "/usr/bin/false"}); err != nil || !found || u != want {
		t.Errorf("%+v, %v, %v", u, found, err)
	}
	// One whose making was interrupted.
	if u, found, err := asMacUser("x", parseRecord("NFSHomeDirectory: /x\nNo such key: UniqueID\n")); found || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
	if _, _, err := asMacUser("x", parseRecord("UniqueID: many\nPrimaryGroupID: 1\n")); err == nil {
		t.Error("a number that is none")
	}
}

func TestFreeID(t *testing.T) {
	users := parseList("_www                       70\nada                       501\nai-old                    499\nodd name 498\nbroken\n")
	groups := parseList("staff                      20\nother                     497\n")
	if id, err := freeID(users, groups); id != 496 || err != nil {
		t.Errorf("%d, %v (%v)", id, err, users)
	}
	full := map[string]int{}
	for id := firstFree; id <= lastFree; id++ {
		full[strings.Repeat("x", id)] = id
	}
	if _, err := freeID(full); err == nil {
		t.Error("none is free")
	}
}

func TestMembersOf(t *testing.T) {
	got := membersOf(499, map[string]int{"ada": 20, "ai-runner": 499}, "ada ai-runner")
	slices.Sort(got)
	if !slices.Equal(got, []string{"ada", "ai-runner"}) {
		t.Error(got)
	}
}
