package gate

import (
	"bytes"
	"sync"
)

// A statusWatch reads the first words of a server: has it agreed to the
// upgrade that the first request asked for? Or, with retry, does it ask for
// another ClientHello?
type statusWatch struct {
	once    sync.Once
	decided chan struct{} // closed when agreed is final
	agreed  bool
	retry   *retryWatch // of TLS
	line    []byte
	fields  bool // in those of a 1xx answer, behind which the real one follows
}

func newStatusWatch() *statusWatch { return &statusWatch{decided: make(chan struct{})} }

// unheard is for a server whose answer will not be found: it has spoken before
// it was asked, or says no more. It gets no upgrade, and is trusted with no
// second ClientHello that nobody has judged.
func (w *statusWatch) unheard() { w.decide(w.retry != nil) }

// feed takes what the server sent, and says whether it has decided.
func (w *statusWatch) feed(b []byte) bool {
	const most = 16 << 10
	if w.retry != nil {
		done, agreed := w.retry.feed(b)
		return done && w.decide(agreed)
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			w.line = append(w.line, b...)
			if len(w.line) > most {
				return w.decide(false)
			}
			return false
		}
		w.line = append(w.line, b[:i]...)
		b = b[i+1:]
		line := bytes.TrimSuffix(w.line, []byte("\r"))
		w.line = w.line[:0]
		switch {
		case w.fields:
			w.fields = len(line) > 0
		case isStatus(line, "101"):
			return w.decide(true)
		case isStatus(line, "1"):
			w.fields = true
		default:
			return w.decide(false)
		}
	}
	return false
}

func (w *statusWatch) decide(agreed bool) bool {
	w.once.Do(func() {
		w.agreed = agreed
		close(w.decided)
	})
	return true
}

// isStatus says that line is a status line with a code that begins so.
func isStatus(line []byte, code string) bool {
	return len(line) >= 12 && (len(line) == 12 || line[12] == ' ') &&
		string(line[:9]) == "HTTP/1.1 " && string(line[9:9+len(code)]) == code
}
