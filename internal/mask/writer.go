package mask

import (
	"io"
	"sync"
	"time"
)

// Silence is how long an output has to be still for what may only introduce a secret to leave.
const Silence = 30 * time.Millisecond

// A Writer writes the masked output on. What a slow reader doesn't take is waited with, and not kept.
type Writer struct {
	get func() *Mask
	to  io.Writer

	mu     sync.Mutex
	stream *Stream // from the first byte on
	timer  *time.Timer
	closed bool
}

// NewWriter calls get when the first byte comes.
func NewWriter(get func() *Mask, to io.Writer) *Writer { return &Writer{get: get, to: to} }

func (w *Writer) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stream == nil {
		w.stream = w.get().Stream()
	}
	if err := w.pass(w.stream.Next(p)); err != nil {
		return 0, err
	}
	if w.stream.Waiting() {
		if w.timer == nil {
			w.timer = time.AfterFunc(Silence, func() { w.Flush() })
		} else {
			w.timer.Reset(Silence)
		}
	}
	return len(p), nil
}

func (w *Writer) pass(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := w.to.Write(b)
	return err
}

// Flush lets out what may only introduce a secret.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stream == nil || w.closed {
		return nil
	}
	return w.pass(w.stream.Idle())
}

// Close lets out everything at the end of the output; it doesn't close what is written to.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.closed {
		return nil
	}
	w.closed = true
	if w.stream == nil {
		return nil
	}
	return w.pass(w.stream.End())
}
