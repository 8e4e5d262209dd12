package acl

import "slices"

// Grant lets one user work in another's project, where nobody else may: by
// entries for that user alone.
type Grant struct {
	To    int // the sandbox's user
	Owner int // whose project it is, and who can go on with what To makes there
	// Denied says what gets nothing, Protected what can be read but not
	// written. Both are asked concurrently.
	Denied, Protected func(path string, dir bool) bool
}

// Give is the list with rights for a user. What the others could do they can do
// afterwards, and no more: what a mask kept from them is taken from them first.
func (l List) Give(uid int, perm uint16) List {
	most, _ := l.perm(Mask)
	out := slices.Clone(l)
	for i := range out {
		if out[i].masked() {
			out[i].Perm &= most
		}
	}
	entry := Entry{User, perm, uint32(uid)}
	out = slices.DeleteFunc(out, entry.same).insert(entry)
	if _, masked := out.perm(Mask); !masked {
		out = out.insert(Entry{Mask, 7, none})
	}
	for i := range out {
		if out[i].Tag == Mask {
			out[i].Perm = 7
		}
	}
	out.narrow()
	return out
}

// Take is the list without the rights of a user, and whether there were any.
func (l List) Take(uid int) (out List, was bool) {
	out = slices.DeleteFunc(slices.Clone(l), func(e Entry) bool { return e.Tag == User && e.ID == uint32(uid) && e.Perm != 0 })
	if len(out) == len(l) {
		return l, false
	}
	out.narrow()
	return out.unmasked(), true
}

// gives says whether a user has exactly these rights.
func (l List) gives(uid int, perm uint16) bool {
	most, _ := l.perm(Mask)
	i := slices.IndexFunc(l, Entry{User, 0, uint32(uid)}.same)
	return i >= 0 && l[i].Perm == perm && perm&most == perm
}
