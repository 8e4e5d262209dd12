// Package term is what the caller's terminal, signals and standard descriptors are to aigate.
//
// The payload never holds a terminal of the caller's: what is a terminal outside is the slave of a pty of the
// sandbox's own inside, so no input can be pushed into the caller's queue (TIOCSTI) and no mode outlives the run.
// This package is the half of that pty that stays outside. It promises:
//
//   - Keys and output pass in both directions, each on its own, byte for byte, up to the last byte written.
//   - Ctrl-C, Ctrl-Z, fg, bg, a resize, a signal sent to aigate, and a terminal that goes away do to the payload
//     what they would have done without aigate.
//   - The terminal is raw only while the payload may read from it, and it is as it was after Finish. A payload in
//     the background (or in a pipeline) asks for it the way every program does, by SIGTTIN or SIGTTOU.
//   - A descriptor that is no terminal is passed as it is and costs nothing, save one: a file opened for reading
//     that its owner could reopen for writing through /proc/self/fd arrives through a pipe. With a filter, what is
//     written goes through pipes as well; a reader that takes nothing makes the payload wait, one that has gone ends it.
//   - A descriptor that would lead out of the sandbox (a directory, an O_PATH descriptor) starts nothing.
//
// What is typed ahead while the payload has the terminal, and not read by it, is lost when it ends, as under ssh and sudo.
//
// The order of use: Inspect before anything else, Descriptor and OnPTY to make the sandbox, Listen when Ctrl-C is to be
// for the payload, Foreground and Settings, Start with what the sandbox sent out, Stopped for every stop the sandbox
// tells of, Finish when it is gone.
package term

import "io"

// Filter is put between what the payload writes and the caller's terminal, file or pipe; nil means nothing is. Start
// calls it for every output apart, with where that goes; what it returns is closed after the last byte. If that has a
// method Flush, it is called before the terminal is somebody else's.
type Filter func(to io.Writer) io.WriteCloser
