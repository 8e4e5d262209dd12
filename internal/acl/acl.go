// Package acl denies files to the sandbox's group and user by POSIX access
// control lists, and takes exactly that back.
//
// It is the layer that stays when no sandbox runs: what is denied here is denied
// to the account that `aigate setup` made, whatever that account runs. To the
// file's owner it changes nothing, neither what may be done nor what `ls -l`
// shows. The entries are those of `setfacl -m u:ai-runner:---,g:ai-agents:---`:
// the group as a rule for every member, and the user because acl(5) asks named
// users first, before the user's other groups could say yes.
//
// This file is plain values: what a list says, what it says with the denial and
// without. acl_linux.go puts it on files.
package acl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Tag is what an entry is for, as the kernel writes it (linux/posix_acl.h).
type Tag uint16

const (
	Owner      Tag = 0x01 // the file's owner
	User       Tag = 0x02
	OwnerGroup Tag = 0x04 // the file's group
	Group      Tag = 0x08
	Mask       Tag = 0x10 // the most that User, OwnerGroup and Group can give
	Other      Tag = 0x20
)

// Entry gives somebody rights: a sum of 4 read, 2 write, 1 execute.
type Entry struct {
	Tag  Tag
	Perm uint16
	ID   uint32 // of a User or Group
}

// List is an access control list, in the order of its tags. Perm has no other
// bits than those three.
type List []Entry

// Agents are whom files are denied to. An id of -1 is nobody.
type Agents struct {
	Group, User         int
	GroupName, UserName string // for messages, and where the system goes by names
}

const (
	version = 2 // POSIX_ACL_XATTR_VERSION
	none    = ^uint32(0)
)

var errMalformed = errors.New("the access control list cannot be understood")

// Decode reads a list as it stands in the attributes system.posix_acl_access
// and system.posix_acl_default.
func Decode(b []byte) (List, error) {
	if len(b) < 4 || (len(b)-4)%8 != 0 {
		return nil, fmt.Errorf("%w: %d bytes", errMalformed, len(b))
	}
	if v := binary.LittleEndian.Uint32(b); v != version {
		return nil, fmt.Errorf("%w: version %d", errMalformed, v)
	}
	l := make(List, 0, (len(b)-4)/8+3)
	for b = b[4:]; len(b) > 0; b = b[8:] {
		l = append(l, Entry{
			Tag:  Tag(binary.LittleEndian.Uint16(b)),
			Perm: binary.LittleEndian.Uint16(b[2:]),
			ID:   binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return l, l.check()
}

// check says whether it is a list as acl(5) wants it.
func (l List) check() error {
	var seen Tag
	for i, e := range l {
		named := e.Tag == User || e.Tag == Group
		switch e.Tag {
		case Owner, User, OwnerGroup, Group, Mask, Other:
		default:
			return fmt.Errorf("%w: tag %#x", errMalformed, e.Tag)
		}
		if e.Perm&^7 != 0 || i > 0 && e.Tag < l[i-1].Tag || !named && seen&e.Tag != 0 {
			return fmt.Errorf("%w: entry %d", errMalformed, i)
		}
		seen |= e.Tag
	}
	const base = Owner | OwnerGroup | Other
	if seen&base != base || seen&(User|Group) != 0 && seen&Mask == 0 {
		return fmt.Errorf("%w: it lacks entries", errMalformed)
	}
	return nil
}

// Encode is the reverse of Decode.
func (l List) Encode() []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+8*len(l)), version)
	for _, e := range l {
		id := e.ID
		if e.Tag != User && e.Tag != Group {
			id = none
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Tag))
		b = binary.LittleEndian.AppendUint16(b, e.Perm)
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// FromMode is the list of a file that has none: what its mode says.
func FromMode(mode uint32) List {
	return append(make(List, 0, 6), // with room for two entries and a mask
		Entry{Owner, uint16(mode >> 6 & 7), none},
		Entry{OwnerGroup, uint16(mode >> 3 & 7), none},
		Entry{Other, uint16(mode & 7), none})
}

// Deny is the list with the denial in it. The mask stays (but for what was only
// given to the denied), and a new one gives what the file's group has, so that
// the mode of the file stays as well: of a key that is 0600, ssh would otherwise
// say that it can be read by others.
func (l List) Deny(who Agents) List {
	out, had := slices.Clone(l), uint16(0)
	for _, want := range who.entries() {
		there := false
		for i := range out {
			if out[i].same(want) {
				had |= out[i].Perm
				out[i].Perm, there = 0, true
			}
		}
		if !there {
			out = out.insert(want)
		}
	}
	if had != 0 {
		out.narrow()
	}
	if _, masked := out.perm(Mask); !masked && out.named() {
		group, _ := out.perm(OwnerGroup)
		out = out.insert(Entry{Mask, group, none})
	}
	return out
}

// insert puts an entry where setfacl would: by tag, then by id.
func (l List) insert(e Entry) List {
	i := slices.IndexFunc(l, func(o Entry) bool { return o.Tag > e.Tag || o.Tag == e.Tag && o.ID > e.ID })
	if i < 0 {
		i = len(l)
	}
	return slices.Insert(l, i, e)
}

// Clear is the list without the denial, and whether it was there. What the
// others may do stays: where no named entry is left the mask goes, and what it
// kept from the file's group goes with it.
func (l List) Clear(who Agents) (out List, was bool) {
	ours := who.entries()
	out = slices.DeleteFunc(slices.Clone(l), func(e Entry) bool { return e.Perm == 0 && slices.ContainsFunc(ours, e.same) })
	if len(out) == len(l) {
		return l, false
	}
	return out.unmasked(), true
}

// unmasked takes a mask away that masks nobody but the file's group.
func (l List) unmasked() List {
	if l.named() {
		return l
	}
	most, _ := l.perm(Mask)
	l = slices.DeleteFunc(l, func(e Entry) bool { return e.Tag == Mask })
	for i := range l {
		if l[i].Tag == OwnerGroup {
			l[i].Perm &= most
		}
	}
	return l
}

// narrow makes the mask no wider than what it masks.
func (l List) narrow() {
	var union uint16
	for _, e := range l {
		if e.masked() {
			union |= e.Perm
		}
	}
	for i := range l {
		if l[i].Tag == Mask {
			l[i].Perm &= union
		}
	}
}

func (e Entry) masked() bool { return e.Tag == User || e.Tag == OwnerGroup || e.Tag == Group }

// Denies says whether the denial is in the list.
func (l List) Denies(who Agents) bool {
	for _, want := range who.entries() {
		there := false
		for _, e := range l {
			if e.same(want) && e.Perm != 0 {
				return false
			}
			there = there || e.same(want)
		}
		if !there {
			return false
		}
	}
	return true
}

func (who Agents) entries() (all []Entry) {
	if who.User >= 0 {
		all = append(all, Entry{Tag: User, ID: uint32(who.User)})
	}
	if who.Group >= 0 {
		all = append(all, Entry{Tag: Group, ID: uint32(who.Group)})
	}
	return all
}

// same says whether two entries are for the same user or group.
func (e Entry) same(o Entry) bool { return e.Tag == o.Tag && e.ID == o.ID }

func (l List) named() bool {
	return slices.ContainsFunc(l, func(e Entry) bool { return e.Tag == User || e.Tag == Group })
}

// perm gives what the one entry of a tag allows, everything where there is none.
func (l List) perm(tag Tag) (perm uint16, there bool) {
	for _, e := range l {
		if e.Tag == tag {
			return e.Perm, true
		}
	}
	return 7, false
}

// Mode is the permission bits that a file with this list shows.
func (l List) Mode() uint32 {
	owner, _ := l.perm(Owner)
	other, _ := l.perm(Other)
	group, masked := l.perm(Mask)
	if !masked {
		group, _ = l.perm(OwnerGroup)
	}
	return uint32(owner)<<6 | uint32(group)<<3 | uint32(other)
}
