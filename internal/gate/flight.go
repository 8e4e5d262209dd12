package gate

// maxFlight is how much of what a client sends is held while it is judged: a
// ClientHello, or the head of an HTTP request.
const maxFlight = 64 << 10

// An inspector judges what a program inside sends to a name that the rules
// allow. Such a name often stands for machines that serve thousands of others
// as well, and which one is meant is said in the stream: so a name said there
// has to be an allowed one too.
//
// What it tells apart by the first bytes:
//
//   - TLS: the ClientHello has to parse, with a server name that is allowed and
//     no encrypted one, and so has a second one that the server asks for
//     (flight_retry.go). After it the stream is opaque, and passes.
//   - HTTP/1: every request is judged (http.go).
//   - HTTP/2 in clear, by its preface, and anything else (ssh, databases):
//     passes, if its first line does not name HTTP. The destination is the name.
//
// Servers are lenient in what they take for TLS or HTTP, each in its own way.
// So what one of them could take for either, but is not as the standard wants
// it, is refused.
//
// An inspector does no I/O, so that tests can cut streams wherever they like.
type inspector struct {
	rules *Rules
	dest  Dest

	stage stage
	held  []byte // came, and may not pass yet
	off   int    // how much of held this stage has seen
	token int    // the length of the first word, 0 if not known
	hello []byte // the ClientHello without its record headers
	left  int64  // of a body or chunk
	next  stage  // behind a body
	first bool   // the request is the connection's first
	asks  bool   // what the server answers decides how to go on: to an Upgrade, or a ClientHello
	late  bool   // the last one asked for an upgrade, and was not the first
	once  bool   // the connection is for one request

	spoken  bool   // the server has said something
	before  []byte // the last bytes of the line that passed
	lined   int    // and how many there were
	retried bool   // the server has asked for another ClientHello, or nobody knows
}

type stage int

const (
	sniffing    stage = iota
	inHello           // TLS
	behindHello       // between records, until it is known that the server asks for no other ClientHello
	inRecord          // of these
	inLine            // the first line of what is neither
	inPreface         // HTTP/2
	inHead            // HTTP/1, and so are the rest:
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	upgrading // the server is to say whether the stream goes on as something else
	opened    // nothing is judged any more
)

// A refusal ends a connection, and becomes an Event.
type refusal struct {
	kind   string // as in Event
	name   string // what was asked for, "" for the destination's name
	reason string
}

func newInspector(rules *Rules, dest Dest) *inspector {
	return &inspector{rules: rules, dest: dest, first: true}
}

// feed takes what the client sent and returns what may be passed on, which is
// valid until the next call.
func (in *inspector) feed(b []byte) ([]byte, *refusal) {
	if len(in.held) > 0 {
		in.held = append(in.held, b...)
		b = in.held
	}
	n, err := in.advance(b)
	if err != nil {
		return nil, err
	}
	rest := b[n:]
	switch {
	case len(rest) > maxFlight && in.stage != upgrading:
		return nil, in.tooLong()
	case len(rest) == 0:
		in.held = nil
	case len(in.held) > 0:
		in.held = rest
	default:
		in.held = append([]byte(nil), rest...)
	}
	return b[:n], nil
}

// advance says how many bytes of b may pass.
func (in *inspector) advance(b []byte) (pass int, err *refusal) {
	for pass < len(b) {
		before := in.stage
		n, err := in.step(b[pass:])
		if err != nil {
			return 0, err
		}
		if n == 0 && in.stage == before {
			break
		}
		pass += n
		in.off = 0
	}
	return pass, nil
}

// step takes b, which is not empty, one stage further. When it neither passes
// anything nor changes the stage, more is needed.
func (in *inspector) step(b []byte) (pass int, err *refusal) {
	switch in.stage {
	case sniffing:
		return 0, in.sniff(b)
	case inHello:
		return in.readHello(b)
	case behindHello, inRecord:
		return in.readRecord(b)
	case inLine:
		return in.readLine(b)
	case inPreface:
		return 0, in.readPreface(b)
	case upgrading:
		return 0, nil
	case opened:
		return len(b), nil
	}
	return in.readHTTP(b)
}

func (in *inspector) tooLong() *refusal {
	if in.stage == inHello {
		return &refusal{kind: "tls", reason: "ClientHello of more than 64 KiB"}
	}
	return &refusal{kind: "http", reason: "head of a request of more than 64 KiB"}
}

// end returns what may still pass when the client sends no more. What was not
// told apart passes, unless it could be a request to a server that forgives a
// missing end.
func (in *inspector) end() ([]byte, *refusal) {
	switch {
	case len(in.held) == 0:
		return nil, nil
	case in.stage == inHello:
		return nil, badTLS("ClientHello without an end")
	case in.stage == behindHello:
		return nil, badTLS("record without an end")
	case in.stage != sniffing || in.token > 0 && knownMethod(in.held[:in.token]) || namesHTTP(in.held):
		return nil, &refusal{kind: "http", reason: "request without an end"}
	}
	return in.held, nil
}

// stalled is for a client that began and did not go on.
func (in *inspector) stalled() *refusal {
	kind := "http"
	if in.stage == inHello || in.stage == behindHello || in.stage == sniffing && !tokenChar(in.held[0]) {
		kind = "tls"
	}
	return &refusal{kind: kind, reason: "the client did not go on with what it began to say"}
}
