package guard

import (
	"io/fs"
	"syscall"
)

func idOf(st fs.FileInfo) (id ID, links uint64, owner uint32) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return id, 0, 0
	}
	return ID{Dev: uint64(s.Dev), Ino: s.Ino, Size: s.Size, Changed: s.Ctimespec.Nano(), Written: s.Mtimespec.Nano()}, uint64(s.Nlink), s.Uid
}
