package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLastWords: PID 1 may end before it has read all that it was sent, which the kernel reports before what PID 1 said.
func TestLastWords(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	for fd, text := range map[int]string{p[0]: "G", p[1]: string(append([]byte{msgFailed, byte(unix.ENOSYS), 0, 0, 0}, "do it"...))} {
		if err := unix.Send(fd, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(p[1])
	if m, err := receive(p[0]); err != nil || m.kind != msgFailed || m.value != uint32(unix.ENOSYS) || m.name != "do it" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := receive(p[0]); err != nil || m.kind != 0 {
		t.Errorf("then %+v, %v", m, err)
	}
}
