package guard

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// image is what the first bytes of a program say of it.
type image struct {
	script    bool
	interp    string // of a script, with its one argument
	interpArg string
	build     string // what its linker wrote to tell builds apart, "" for nothing
	header    string // the program that the kernel starts in its place, which is no loader of the system's
	loader    bool   // a dynamic loader, which executes its argument
	searches  bool   // and looks for one without a slash as for a library, as glibc's does
}

const (
	headSize   = 4096 // where nearly every program has all of it
	mostOfPart = 64 << 10
)

// readImage reads a program's head, which may be anything at all.
func readImage(r io.ReaderAt) (image, error) {
	head := make([]byte, headSize)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return image{}, err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		interp, arg := shebang(head)
		return image{script: true, interp: interp, interpArg: arg}, nil
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return readELF(head, r), nil
	}
	return image{}, nil
}

// shebang reads a script's first line as Linux does, execve(2): 255 bytes at
// most, blanks before the interpreter, one argument up to the line's end.
func shebang(head []byte) (interp, arg string) {
	line := head[2:min(len(head), 255)]
	whole := false
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line, whole = line[:i], true
	}
	text := strings.Trim(string(line), " \t")
	if i := strings.IndexAny(text, " \t\x00"); i >= 0 {
		if text[i] != 0 {
			arg = strings.TrimLeft(text[i:], " \t")
		}
		text = text[:i]
	} else if !whole && len(head) > 255 {
		return "", "" // cut short: ENOEXEC
	}
	arg, _, _ = strings.Cut(arg, "\x00")
	return text, arg
}

// elfPart is a program header.
type elfPart struct {
	kind        uint32
	offset, len uint64
}

const (
	partDynamic = 2 // PT_DYNAMIC
	partInterp  = 3 // PT_INTERP
	partNote    = 4 // PT_NOTE
)

// readELF reads elf(5), little-endian: the build's id and whether it is a loader.
func readELF(head []byte, r io.ReaderAt) (im image) {
	parts, wide, shared := elfParts(head, r)
	var dynamic elfPart
	interp := false
	for _, p := range parts {
		switch p.kind {
		case partInterp:
			interp = true
			name, _, _ := strings.Cut(string(p.read(head, r)), "\x00")
			if !ofSystem(name) {
				im.header = name
			}
		case partDynamic:
			dynamic = p
		case partNote:
			if im.build == "" {
				im.build = buildID(p.read(head, r))
			}
		}
	}
	// A library that can be executed and names no loader is one, glibc's with a
	// name for others to link to, musl's without. A program that is linked
	// statically and yet relocatable says that it is a program.
	if tags := dynamic.read(head, r); shared && !interp && len(tags) > 0 {
		var pie bool
		pie, im.searches = dynamicTags(tags, wide)
		im.loader = im.searches || !pie
	}
	return im
}

// ofSystem says that a loader lies where no command can put one.
func ofSystem(loader string) bool {
	for _, dir := range []string{"/lib/", "/lib64/", "/lib32/", "/libx32/", "/usr/lib", "/nix/store/", "/gnu/store/"} {
		if strings.HasPrefix(loader, dir) && !strings.Contains(loader, "/../") {
			return true
		}
	}
	return false
}

func elfParts(head []byte, r io.ReaderAt) (out []elfPart, wide, shared bool) {
	le := binary.LittleEndian
	if len(head) < 64 || head[5] != 1 {
		return nil, false, false
	}
	wide = head[4] == 2
	shared = le.Uint16(head[16:]) == 3 // ET_DYN
	at, size, count := uint64(le.Uint32(head[28:])), le.Uint16(head[42:]), le.Uint16(head[44:])
	least := uint16(32)
	if wide {
		at, size, count, least = le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:]), 56
	}
	if size < least {
		return nil, wide, shared
	}
	table := elfPart{offset: at, len: uint64(size) * uint64(count)}.read(head, r)
	for ; len(table) >= int(size); table = table[size:] {
		p := elfPart{kind: le.Uint32(table)}
		if wide {
			p.offset, p.len = le.Uint64(table[8:]), le.Uint64(table[32:])
		} else {
			p.offset, p.len = uint64(le.Uint32(table[4:])), uint64(le.Uint32(table[16:]))
		}
		out = append(out, p)
	}
	return out, wide, shared
}

// read gives a part's bytes, from the head where they are there; nothing when it
// is not there, or larger than any of these parts is.
func (p elfPart) read(head []byte, r io.ReaderAt) []byte {
	if p.len == 0 || p.len > mostOfPart || p.offset > 1<<62 {
		return nil
	}
	if end := p.offset + p.len; end <= uint64(len(head)) {
		return head[p.offset:end]
	}
	b := make([]byte, p.len)
	if n, err := r.ReadAt(b, int64(p.offset)); n < len(b) || err != nil && err != io.EOF {
		return nil
	}
	return b
}

// buildID looks for the note that tells builds apart: the linker's, or Go's. One
// that is too short to be a hash was made up, and may be in many programs.
func buildID(notes []byte) string {
	le := binary.LittleEndian
	for len(notes) >= 12 {
		name, desc, kind := uint64(le.Uint32(notes)), uint64(le.Uint32(notes[4:])), le.Uint32(notes[8:])
		from := 12 + (name+3)&^3
		to := from + (desc+3)&^3
		if name > mostOfPart || desc > mostOfPart || from+desc > uint64(len(notes)) {
			return ""
		}
		owner, id := string(notes[12:12+name]), string(notes[from:from+desc])
		switch {
		case owner == "GNU\x00" && kind == 3 && desc >= 8, owner == "Go\x00\x00" && kind == 4 && desc >= 40:
			return owner + id
		}
		notes = notes[min(to, uint64(len(notes))):]
	}
	return ""
}

// dynamicTags reads a dynamic section: whether it is of a program, DF_1_PIE, and
// whether there is a DT_SONAME.
func dynamicTags(dynamic []byte, wide bool) (pie, soname bool) {
	le := binary.LittleEndian
	for size := 8; ; dynamic = dynamic[size:] {
		var tag, value uint64
		switch {
		case wide && len(dynamic) >= 16:
			size, tag, value = 16, le.Uint64(dynamic), le.Uint64(dynamic[8:])
		case !wide && len(dynamic) >= 8:
			tag, value = uint64(le.Uint32(dynamic)), uint64(le.Uint32(dynamic[4:]))
		}
		switch tag {
		case 0:
			return pie, soname
		case 14: // DT_SONAME
			soname = true
		case 0x6ffffffb: // DT_FLAGS_1
			pie = value&0x08000000 != 0
		}
	}
}
