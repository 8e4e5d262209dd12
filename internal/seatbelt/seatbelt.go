// Package seatbelt starts a command under macOS's sandbox-exec(1) and looks after
// it until it ends.
//
// Three processes stand between aigate and the command. The supervisor, which
// this package is used by, makes a leader: a process outside of the sandbox with
// a session of its own (and the pty as its terminal), so that the command is in
// no session of the caller's and job control works. The leader runs sandbox-exec,
// which becomes the last stage, inside: that one tries out whether the sandbox
// keeps what it should, and only then becomes the command.
//
// It promises: the command does not start unless every check failed that should
// fail; when the supervisor dies, by any signal, the leader kills the command and
// all that is left of its session; the command's end, its stops and what it could
// not do at the start are told apart from sandbox-exec's.
//
// A process that makes a session of its own is found by the run's mark in its
// environment (Leftovers), unless it has hidden that: then it survives. It stays in
// the sandbox.
//
// Nothing here is macOS's alone but the list of processes, so the tests run on
// Linux, with a program in the place of sandbox-exec that only starts its
// arguments.
package seatbelt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Order is what is to be done.
type Order struct {
	Exec       texts // sandbox-exec and its arguments, up to the command
	Dir        string
	Path       string // executed as it is
	Args, Env  texts
	Foreground bool // the command begins as the foreground group of its terminal
	Terminal   bool
	Checks     []Check
	OpenFiles  syscall.Rlimit
	FileSize   uint64 // bytes of any one file, 0: no limit but the caller's
	// For when the supervisor has gone without cleaning up:
	Mark   string // see Leftovers
	Remove string // a folder
}

// texts may hold any bytes, which JSON's strings may not.
type texts []string

// MarshalJSON writes the bytes.
func (t texts) MarshalJSON() ([]byte, error) {
	raw := make([][]byte, len(t))
	for i, s := range t {
		raw[i] = []byte(s)
	}
	return json.Marshal(raw)
}

// UnmarshalJSON is the reverse.
func (t *texts) UnmarshalJSON(b []byte) error {
	var raw [][]byte
	err := json.Unmarshal(b, &raw)
	*t = make(texts, len(raw))
	for i, s := range raw {
		(*t)[i] = string(s)
	}
	return err
}

// Check is something that has to be refused inside.
type Check struct {
	Op   string // "read", "write", "create", "rename", "connect", "signal"
	Path string // or a port of 127.0.0.1, or a pid
}

// message goes between the processes, one JSON object a line.
type message struct {
	Kind  string `json:"kind"`
	Order *Order `json:"order,omitempty"`
	Pid   int    `json:"pid,omitempty"`
	Value int    `json:"value,omitempty"` // wait status or errno
	Text  string `json:"text,omitempty"`
	Fore  bool   `json:"fore,omitempty"`
}

// The kinds.
const (
	isOrder   = "order"
	isReady   = "ready"  // inside, and everything was refused that should be
	isFailed  = "failed" // the start, with Text
	isGo      = "go"
	isNoExec  = "noexec" // with the errno
	isStopped = "stopped"
	isExited  = "exited"
	isResume  = "resume"
)

// channel is one end of a socket.
type channel struct {
	f   *os.File
	in  *json.Decoder
	out *json.Encoder
}

func newChannel(f *os.File) *channel {
	return &channel{f, json.NewDecoder(f), json.NewEncoder(f)}
}

func (c *channel) send(m message) error { return c.out.Encode(m) }

// receive gives kind "" at the end.
func (c *channel) receive() (m message, err error) {
	err = c.in.Decode(&m)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return message{}, nil
	}
	return m, err
}

// pair makes a socket pair. Both ends are closed on exec.
func pair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// The first arguments that make a process of this program one of the stages.
const (
	leaderArg = "__seatbelt-leader"
	insideArg = "__seatbelt-inside"
)

// closeOthers has everything closed on exec but the three standard descriptors: what
// aigate was started with is the caller's.
func closeOthers() error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// Stage runs one of the stages, if that is what the process was started for. It
// does not return then.
func Stage(args []string) {
	if len(args) != 2 {
		return
	}
	switch args[1] {
	case leaderArg:
		os.Exit(lead())
	case insideArg:
		os.Exit(inside())
	}
}

// Descriptors of the stages.
const (
	control  = 3
	terminal = 4 // the leader's
)
