package policy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// bound is a socket with a path, as it was given to bind(2): not always absolute,
// and not always where the socket is now.
type bound struct {
	path, inode string
	file        uint32 // its inode in the file system, as far as the kernel tells (32 bits), 0 if unknown
	dev         uint64 // where that is
	of          string // a process in whose network namespace it was bound, "" for our own
}

func (b bound) String() string {
	if b.of != "" {
		return fmt.Sprintf("%q (inode %d, of the network namespace of process %s)", b.path, b.file, b.of)
	}
	return fmt.Sprintf("%q (inode %d)", b.path, b.file)
}

// listening gives the sockets that processes of the host have bound, or nil where
// the kernel has no list: then every socket that is found is asked, see alive.
func listening() []bound {
	list, err := diagnosed()
	if err != nil {
		b, _ := os.ReadFile("/proc/net/unix")
		list = listed(string(b), "")
	}
	return list
}

// Requests and answers of sock_diag(7), which the unix package lacks.
const (
	showName, showFile   = 1, 2 // UDIAG_SHOW_NAME, UDIAG_SHOW_VFS
	diagName, diagFile   = 0, 1 // UNIX_DIAG_NAME, UNIX_DIAG_VFS
	diagHead             = 16   // of struct unix_diag_msg
	connected, wholeDump = 1, ^uint32(0)
)

// diagnosed asks the kernel by netlink: unlike /proc/net/unix it tells which
// files the sockets are, wherever they have gone since.
func diagnosed() (out []bound, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	ask := make([]byte, unix.NLMSG_HDRLEN+24)
	binary.NativeEndian.PutUint32(ask, uint32(len(ask)))
	binary.NativeEndian.PutUint16(ask[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(ask[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	ask[unix.NLMSG_HDRLEN] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(ask[unix.NLMSG_HDRLEN+4:], wholeDump)
	binary.NativeEndian.PutUint32(ask[unix.NLMSG_HDRLEN+12:], showName|showFile)
	if err := unix.Sendto(fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		for rest := buf[:n]; len(rest) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(rest))
			if size < unix.NLMSG_HDRLEN || size > len(rest) {
				return nil, unix.EIO
			}
			switch binary.NativeEndian.Uint16(rest[4:]) {
			case unix.NLMSG_DONE:
				return out, nil
			case unix.NLMSG_ERROR:
				return nil, unix.EOPNOTSUPP
			}
			if b, ok := diagnosis(rest[unix.NLMSG_HDRLEN:size]); ok {
				out = append(out, b)
			}
			rest = rest[min(len(rest), (size+3)&^3):]
		}
	}
}

// diagnosis reads one answer; ok says that it is of a socket with a path that
// can be connected to, now or when its owner listens.
func diagnosis(m []byte) (b bound, ok bool) {
	if len(m) < diagHead {
		return b, false
	}
	if kind, state := m[1], m[2]; state == connected && kind != unix.SOCK_DGRAM {
		return b, false // the other end of a connection has its listener's name
	}
	b.inode = strconv.FormatUint(uint64(binary.NativeEndian.Uint32(m[4:])), 10)
	for m = m[diagHead:]; len(m) >= 4; {
		size := int(binary.NativeEndian.Uint16(m))
		if size < 4 || size > len(m) {
			break
		}
		switch v := m[4:size]; binary.NativeEndian.Uint16(m[2:]) {
		case diagName:
			b.path = string(bytes.TrimRight(v, "\x00"))
		case diagFile:
			if len(v) >= 8 {
				dev := binary.NativeEndian.Uint32(v[4:]) // as the kernel has it: 12 bits and 20
				b.file, b.dev = binary.NativeEndian.Uint32(v), unix.Mkdev(dev>>20, dev&0xfffff)
			}
		}
		m = m[min(len(m), (size+3)&^3):]
	}
	return b, b.path != "" && b.path[0] != 0
}

// listed reads /proc/net/unix (proc_net(5)), of a process's namespace.
func listed(text, of string) (out []bound) {
	for line := range strings.SplitSeq(text, "\n") {
		// Num RefCount Protocol Flags Type St Inode Path
		f := strings.SplitN(strings.Join(strings.Fields(line[:min(len(line), 70)]), " "), " ", 8)
		switch {
		case len(f) > 0 && f[0] == "Num":
		case len(f) < 7 || !strings.HasSuffix(f[0], ":"): // a path goes on: it holds a newline
			if n := len(out); n > 0 && line != "" {
				out[n-1].path += "\n" + line
			}
		case len(f) == 8 && !strings.HasPrefix(f[7], "@") && (f[5] != "03" || f[4] == "0002"): // not a connection
			out = append(out, bound{path: line[strings.Index(line, " "+f[6]+" ")+len(f[6])+2:], inode: f[6], of: of})
		}
	}
	return out
}

// elsewhere gives the sockets of other network namespaces, such as a container's
// or a rootless engine's: a path leads to them as to any. Namespaces are found
// by their processes, as far as the caller may look at these.
func elsewhere() (out []bound) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil
	}
	seen := map[string]bool{own: true}
	for _, pid := range processes() {
		var ns [64]byte
		n, err := unix.Readlink("/proc/"+pid+"/ns/net", ns[:])
		if err != nil || seen[string(ns[:n])] {
			continue
		}
		b, err := os.ReadFile("/proc/" + pid + "/net/unix")
		if err != nil {
			continue // another process of it may let us look
		}
		seen[string(ns[:n])] = true
		out = append(out, listed(string(b), pid)...)
	}
	return out
}

func processes() (pids []string) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' {
			pids = append(pids, name)
		}
	}
	return pids
}

// holders are the processes that have sockets open, by the sockets' numbers, as
// far as the caller may know. To look for many takes no longer than for one.
func holders(inodes map[string]bool) map[string][]string {
	out := map[string][]string{}
	if len(inodes) == 0 {
		return out
	}
	for _, pid := range processes() {
		d, err := os.Open("/proc/" + pid + "/fd")
		if err != nil {
			continue
		}
		names, _ := d.Readdirnames(-1)
		for _, fd := range names {
			var to [64]byte
			n, err := unix.Readlinkat(int(d.Fd()), fd, to[:])
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(string(to[:n]), "socket:[")
			if inode = strings.TrimSuffix(inode, "]"); ok && inodes[inode] {
				out[inode] = append(out[inode], pid)
			}
		}
		d.Close()
	}
	return out
}

// places gives where sockets lie by their names: for a relative one that is the
// folder its owner is in, if that is still the one it was bound in. What it
// learns of the file of a socket in another namespace, it notes.
func places(list []bound) [][]string {
	relative := map[string]bool{}
	for _, b := range list {
		if !filepath.IsAbs(b.path) {
			relative[b.inode] = true
		}
	}
	owners := holders(relative)
	out := make([][]string, len(list))
	for i := range list {
		b := &list[i]
		if filepath.IsAbs(b.path) {
			out[i] = []string{b.path}
			if b.of != "" {
				b.look("/proc/" + b.of + "/root" + b.path)
			}
			continue
		}
		for _, pid := range owners[b.inode] {
			if dir, err := os.Readlink("/proc/" + pid + "/cwd"); err == nil {
				out[i] = append(out[i], filepath.Join(dir, b.path))
			}
			if b.of != "" {
				b.look("/proc/" + pid + "/cwd/" + b.path)
			}
		}
	}
	return out
}

// look notes which file a socket is.
func (b *bound) look(path string) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		b.file, b.dev = uint32(st.Ino), uint64(st.Dev)
	}
}
