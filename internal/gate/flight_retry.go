package gate

import "bytes"

// A server of TLS 1.3 may answer a ClientHello by asking for another one, a
// HelloRetryRequest (RFC 8446, 4.1.4). The second one goes in clear like the
// first and has a server name as well, which should be the same; servers take it
// to be another and serve that. So behind a ClientHello that can be answered so,
// the client's records are told apart until the server has said which it is.
//
// Nobody waits for that. The server's words are read here before the client gets
// them, and a client has nothing to say that depends on them until it has them:
// by then it is decided, and in all but a few connections nothing is judged any
// more. What a client does say before is early data and the like.

const (
	recChangeCipher = 0x14
	recAlert        = 0x15
	recHandshake    = 0x16
	recData         = 0x17
)

// newWatch is for the server's answer to what in asks.
func (in *inspector) newWatch() *statusWatch {
	w := newStatusWatch()
	if in.stage == behindHello || in.stage == inRecord {
		w.retry = &retryWatch{}
	}
	return w
}

// heard takes what is known of the server: whether it has spoken, and its answer
// to the ClientHello.
func (in *inspector) heard(w *statusWatch, spoken bool) {
	in.spoken = spoken
	if w == nil || in.stage != behindHello && in.stage != inRecord {
		return
	}
	select {
	case <-w.decided:
		if in.retried = w.agreed; !in.retried {
			in.stage, in.off = opened, 0
		}
	default:
	}
}

// readRecord takes what comes behind a ClientHello, before another one: a
// change_cipher_spec, early data, which the server passes over if it retries,
// alerts. A second ClientHello is judged like the first.
func (in *inspector) readRecord(b []byte) (pass int, err *refusal) {
	const head = 5
	if in.stage == inRecord {
		n := min(int64(len(b)), in.left)
		if in.left -= n; in.left == 0 {
			in.stage = behindHello
		}
		return int(n), nil
	}
	if b[0] < recChangeCipher || b[0] > recData || len(b) > 1 && b[1] != 3 {
		return 0, badTLS("not a record of TLS, behind the ClientHello")
	}
	if len(b) < head {
		return 0, nil
	}
	if b[0] == recHandshake {
		if !in.retried { // no client says that, except to have it pass as something else
			return 0, badTLS("more of a handshake, before the server has answered the ClientHello")
		}
		in.stage = inHello
		return 0, nil
	}
	const mostData = maxRecord + 256 // encrypted (RFC 8446, 5.2)
	if in.left = int64(b[3])<<8 | int64(b[4]); in.left > mostData {
		return 0, badTLS("over-long record behind the ClientHello")
	}
	if in.left > 0 {
		in.stage = inRecord
	}
	return head, nil
}

// A retryWatch reads the first handshake message of a server as far as it says
// whether it is a HelloRetryRequest.
type retryWatch struct {
	head    [5]byte // of a record
	n       int     // how much of it came
	left    int     // of the record behind it
	message []byte  // the beginning of the message, without record headers
}

// retryRequest is the ServerHello's random in a HelloRetryRequest.
var retryRequest = []byte("\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c")

// feed takes what the server sent. Once it is done, retry says whether there can
// be a second ClientHello; where it is no TLS, that cannot be said.
func (w *retryWatch) feed(b []byte) (done, retry bool) {
	for len(b) > 0 {
		if w.left == 0 {
			n := copy(w.head[w.n:], b)
			w.n, b = w.n+n, b[n:]
			if kind := w.head[0]; kind != recHandshake && kind != recAlert || w.n > 1 && w.head[1] != 3 {
				return true, true
			}
			if w.n == len(w.head) {
				w.n, w.left = 0, int(w.head[3])<<8|int(w.head[4])
			}
			continue
		}
		part := b[:min(len(b), w.left)]
		w.left, b = w.left-len(part), b[len(part):]
		if w.head[0] == recAlert { // old servers warn of a name that they do not know
			continue
		}
		w.message = append(w.message, part...)
		if done, retry = isRetry(w.message); done {
			return true, retry
		}
	}
	return false, false
}

// isRetry looks at the beginning of a handshake message, and is done when that
// is enough.
func isRetry(message []byte) (done, retry bool) {
	const (
		serverHello = 2
		ofDrafts    = 6 // a message of its own until draft 21
		random      = 4 + 2
	)
	switch {
	case len(message) == 0:
		return false, false
	case message[0] == ofDrafts:
		return true, true
	case message[0] != serverHello:
		return true, false
	case len(message) <= random:
		return false, false
	}
	said := message[random:min(len(message), random+len(retryRequest))]
	if !bytes.Equal(said, retryRequest[:len(said)]) {
		return true, false
	}
	return len(said) == len(retryRequest), true
}
