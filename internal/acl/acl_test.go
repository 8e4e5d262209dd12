package acl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

var agents = Agents{Group: 990, User: 991}

func TestDeny(t *testing.T) {
	for _, c := range []struct {
		name       string
		from, want List
	}{
		{"a private file stays private", FromMode(0o600),
			List{{Owner, 6, none}, {User, 0, 991}, {OwnerGroup, 0, none}, {Group, 0, 990}, {Mask, 0, none}, {Other, 0, none}}},
		{"the group keeps what it has", FromMode(0o100664),
			List{{Owner, 6, none}, {User, 0, 991}, {OwnerGroup, 6, none}, {Group, 0, 990}, {Mask, 6, none}, {Other, 4, none}}},
		{"other entries and their mask stay",
			List{{Owner, 7, none}, {User, 7, 5}, {User, 5, 2000}, {OwnerGroup, 5, none}, {Group, 4, 20}, {Mask, 5, none}, {Other, 0, none}},
			List{{Owner, 7, none}, {User, 7, 5}, {User, 0, 991}, {User, 5, 2000}, {OwnerGroup, 5, none}, {Group, 4, 20}, {Group, 0, 990}, {Mask, 5, none}, {Other, 0, none}}},
		{"what they were given is taken",
			List{{Owner, 6, none}, {User, 6, 991}, {OwnerGroup, 4, none}, {Group, 4, 990}, {Group, 7, 990}, {Mask, 6, none}, {Other, 4, none}},
			List{{Owner, 6, none}, {User, 0, 991}, {OwnerGroup, 4, none}, {Group, 0, 990}, {Group, 0, 990}, {Mask, 4, none}, {Other, 4, none}}},
		{"a mask without named entries stays",
			List{{Owner, 6, none}, {OwnerGroup, 6, none}, {Mask, 4, none}, {Other, 4, none}},
			List{{Owner, 6, none}, {User, 0, 991}, {OwnerGroup, 6, none}, {Group, 0, 990}, {Mask, 4, none}, {Other, 4, none}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.from)
			got := c.from.Deny(agents)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
			if !slices.Equal(c.from, before) {
				t.Error("the list that was given has changed")
			}
			if c.from.Denies(agents) || !got.Denies(agents) {
				t.Error("Denies does not see it")
			}
			if got.Mode() != c.from.Mode() && c.name != "what they were given is taken" {
				t.Errorf("the mode was %o and is %o", c.from.Mode(), got.Mode())
			}
			if again := got.Deny(agents); !slices.Equal(again, got) {
				t.Errorf("a second time: %v", again)
			}
		})
	}
}

func TestClear(t *testing.T) {
	for _, c := range []struct {
		name       string
		from, want List
		was        bool
	}{
		{"nothing is left but a mode", FromMode(0o640).Deny(agents), FromMode(0o640), true},
		{"another entry and its mask stay",
			List{{Owner, 6, none}, {User, 6, 5}, {User, 0, 991}, {OwnerGroup, 6, none}, {Group, 0, 990}, {Mask, 4, none}, {Other, 0, none}},
			List{{Owner, 6, none}, {User, 6, 5}, {OwnerGroup, 6, none}, {Mask, 4, none}, {Other, 0, none}}, true},
		{"what the mask kept from the group stays kept",
			List{{Owner, 6, none}, {User, 0, 991}, {OwnerGroup, 6, none}, {Group, 0, 990}, {Mask, 4, none}, {Other, 0, none}},
			List{{Owner, 6, none}, {OwnerGroup, 4, none}, {Other, 0, none}}, true},
		{"a right is not a denial",
			List{{Owner, 6, none}, {User, 4, 991}, {OwnerGroup, 6, none}, {Group, 4, 990}, {Mask, 4, none}, {Other, 0, none}},
			List{{Owner, 6, none}, {User, 4, 991}, {OwnerGroup, 6, none}, {Group, 4, 990}, {Mask, 4, none}, {Other, 0, none}}, false},
		{"somebody else's denial stays",
			List{{Owner, 6, none}, {User, 0, 990}, {OwnerGroup, 6, none}, {Group, 0, 991}, {Mask, 4, none}, {Other, 0, none}},
			List{{Owner, 6, none}, {User, 0, 990}, {OwnerGroup, 6, none}, {Group, 0, 991}, {Mask, 4, none}, {Other, 0, none}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, was := c.from.Clear(agents)
			if !slices.Equal(got, c.want) || was != c.was {
				t.Errorf("got  %v, %v\nwant %v, %v", got, was, c.want, c.was)
			}
		})
	}
}

// Without the user, or without the group, the other is denied alone.
func TestAgentsOfOneKind(t *testing.T) {
	for _, who := range []Agents{{Group: 990, User: -1}, {Group: -1, User: 991}} {
		got := FromMode(0o644).Deny(who)
		if len(got) != 5 || !got.Denies(who) || got.Denies(agents) {
			t.Errorf("%v: %v", who, got)
		}
	}
	if got := FromMode(0o644).Deny(Agents{Group: -1, User: -1}); !slices.Equal(got, FromMode(0o644)) {
		t.Errorf("nobody: %v", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := FromMode(0o644).Deny(agents)
	edit := func(change func(List) List) []byte { return change(slices.Clone(good)).Encode() }
	for name, b := range map[string][]byte{
		"nothing":     {},
		"no entries":  good.Encode()[:4],
		"half of one": good.Encode()[:9],
		"version 3":   append([]byte{3}, good.Encode()[1:]...),
		"tag":         edit(func(l List) List { l[1].Tag = 3; return l }),
		"right":       edit(func(l List) List { l[1].Perm = 8; return l }),
		"order":       edit(func(l List) List { l[1], l[2] = l[2], l[1]; return l }),
		"two owners":  edit(func(l List) List { l[1] = l[0]; return l }),
		"no mask":     edit(func(l List) List { return slices.Delete(l, 4, 5) }),
		"no other":    edit(func(l List) List { return l[:5] }),
	} {
		if l, err := Decode(b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

// The lists of files come from whoever owns them.
func FuzzDecode(f *testing.F) {
	f.Add(FromMode(0o750).Encode())
	f.Add(FromMode(0o600).Deny(agents).Encode())
	f.Add(binary.LittleEndian.AppendUint32(nil, version))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Decode(b)
		if err != nil {
			return
		}
		if back, err := Decode(l.Encode()); err != nil || len(back) != len(l) {
			t.Fatalf("%v became %v, %v", l, back, err)
		}
		denied := l.Deny(agents)
		if err := denied.check(); err != nil || !denied.Denies(agents) || denied.Mode()&^l.Mode() != 0 {
			t.Fatalf("%v became %v: %v", l, denied, err)
		}
		// Those that are not ours keep what they can do, and nothing of ours is left.
		clear, _ := denied.Clear(agents)
		if err := clear.check(); err != nil || clear.Denies(agents) {
			t.Fatalf("%v became %v: %v", denied, clear, err)
		}
		for _, e := range l {
			if ours := agents.entries(); e.same(ours[0]) || e.same(ours[1]) {
				return // what it gave them is not given back
			}
		}
		if denied.Mode() != l.Mode() {
			t.Fatalf("the mode of %v was %o and is %o", l, l.Mode(), denied.Mode())
		}
		given := l.Give(agents.User, 7)
		if err := given.check(); err != nil || rightsOf(given, agents.User) != 7 {
			t.Fatalf("%v became %v: %v", l, given, err)
		}
		if taken, was := given.Take(agents.User); !was || taken.check() != nil || !bytes.Equal(rights(l), rights(taken)) {
			t.Fatalf("%v gave %v, and now %v gives %v", l, rights(l), taken, rights(taken))
		}
		if !bytes.Equal(rights(l), rights(clear)) {
			t.Fatalf("%v gave %v, and now %v gives %v", l, rights(l), clear, rights(clear))
		}
	})
}

// rights are what every entry gives, with the mask taken into account.
func rights(l List) (out []byte) {
	most, _ := l.perm(Mask)
	for _, e := range l {
		switch e.Tag {
		case Mask:
			continue
		case User, Group, OwnerGroup:
			e.Perm &= most
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(e.Tag))
		out = binary.LittleEndian.AppendUint16(out, e.Perm)
		out = binary.LittleEndian.AppendUint32(out, e.ID)
	}
	return out
}

func rightsOf(l List, uid int) uint16 {
	most, _ := l.perm(Mask)
	for _, e := range l {
		if e.Tag == User && int(e.ID) == uid {
			return e.Perm & most
		}
	}
	return 0
}

func TestGive(t *testing.T) {
	for _, c := range []struct {
		name       string
		perm       uint16
		from, want List
	}{
		{"a plain file", 6, FromMode(0o644),
			List{{Owner, 6, none}, {User, 6, 991}, {OwnerGroup, 4, none}, {Mask, 6, none}, {Other, 4, none}}},
		{"a mask that kept rights from others gives them none now", 6,
			List{{Owner, 6, none}, {User, 7, 5}, {OwnerGroup, 6, none}, {Group, 7, 9}, {Mask, 4, none}, {Other, 4, none}},
			List{{Owner, 6, none}, {User, 4, 5}, {User, 6, 991}, {OwnerGroup, 4, none}, {Group, 4, 9}, {Mask, 6, none}, {Other, 4, none}}},
		{"less than before", 1,
			List{{Owner, 6, none}, {User, 7, 991}, {OwnerGroup, 4, none}, {Mask, 7, none}, {Other, 4, none}},
			List{{Owner, 6, none}, {User, 1, 991}, {OwnerGroup, 4, none}, {Mask, 5, none}, {Other, 4, none}}},
	} {
		if got := c.from.Give(agents.User, c.perm); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if got, was := FromMode(0o640).Give(991, 7).Take(991); !was || !slices.Equal(got, FromMode(0o640)) {
		t.Errorf("given and taken: %v", got)
	}
	if _, was := FromMode(0o640).Deny(agents).Take(991); was {
		t.Error("a denial was taken for a right")
	}
}
