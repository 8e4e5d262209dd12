package guard

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// IDOf tells a file by what stat(2) says.
func IDOf(st *unix.Stat_t) ID {
	return ID{Dev: st.Dev, Ino: st.Ino, Size: st.Size, Changed: st.Ctim.Nano(), Written: st.Mtim.Nano()}
}

func idOf(st fs.FileInfo) (id ID, links uint64, owner uint32) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return id, 0, 0
	}
	return ID{Dev: s.Dev, Ino: s.Ino, Size: s.Size, Changed: s.Ctim.Nano(), Written: s.Mtim.Nano()}, uint64(s.Nlink), s.Uid
}
