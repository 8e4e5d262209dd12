package match

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The head of a record that getdents64 writes: inode, offset, length of the
// record, type. The name follows, ended by a NUL.
const (
	direntLen  = 16
	direntType = 18
	direntName = 19
)

// nextEntry takes one record off what getdents64 wrote. The entry's name lies
// in that buffer: 200,000 copies of names nobody asked for are what a walk
// would spend its time on.
func nextEntry(buf []byte) (e entry, rest []byte, err error) {
	if len(buf) < direntName {
		return e, nil, unix.EIO
	}
	size := int(binary.NativeEndian.Uint16(buf[direntLen:]))
	if size < direntName || size > len(buf) {
		return e, nil, unix.EIO
	}
	name := buf[direntName:size]
	end := bytes.IndexByte(name, 0)
	if end <= 0 {
		return e, nil, unix.EIO
	}
	e.name = unsafe.String(&name[0], end)
	e.ino = binary.NativeEndian.Uint64(buf)
	switch buf[direntType] {
	case unix.DT_REG:
		e.kind = kindRegular
	case unix.DT_DIR:
		e.kind = kindDir
	case unix.DT_LNK:
		e.kind = kindLink
	case unix.DT_SOCK:
		e.kind = kindSocket
	case unix.DT_UNKNOWN:
		e.kind = kindUnknown
	}
	return e, buf[size:], nil
}

// steady names the file systems where a directory's inode numbers are those
// that stat gives. Others, above all overlayfs and FUSE, may make them up.
func steady(fs int64) bool {
	switch fs {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false
}

// inoTrusted says whether entry.ino can stand for a stat in the directory that
// is being read.
func (w *worker) inoTrusted(n *node) bool {
	if !n.asked {
		n.asked = true
		var st unix.Statfs_t
		n.trusted = unix.Fstatfs(w.fd, &st) == nil && steady(int64(st.Type))
	}
	return n.trusted
}
