package doctor

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// LandlockABI asks the kernel for its version of Landlock: landlock_create_ruleset(2).
func LandlockABI() (int, error) {
	const create, version = 444, 1
	r, _, e := unix.Syscall(create, 0, 0, version)
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}

// tryMountSetattr says whether the kernel has mount_setattr(2), Linux 5.12, without which it cannot
// make a tree of mounts read-only in one step.
func tryMountSetattr() error {
	if err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) {
		return err
	}
	return nil // EBADF, or EPERM: it looked
}

// TryACL sets an ACL on a file without a name in dir, acl(5).
func TryACL(dir string) error {
	const attribute = "system.posix_acl_access"
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		// No such files here (or none of ours): what the folder says of its own ACL tells as well.
		if _, err = unix.Getxattr(dir, attribute, nil); errors.Is(err, unix.ENODATA) {
			err = nil
		}
		return err
	}
	defer unix.Close(fd)
	return unix.Fsetxattr(fd, attribute, denyGroup(uint32(os.Getgid())), 0)
}

// denyGroup is an ACL as the kernel reads it (linux/posix_acl_xattr.h): the owner may read and write,
// the group gid nothing.
func denyGroup(gid uint32) []byte {
	const version, none = 2, ^uint32(0)
	b := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, none}, {0x04, 0, none}, {0x08, 0, gid}, {0x10, 0, none}, {0x20, 0, none}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}
