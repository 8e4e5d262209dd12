package mask

// decided gives how much of buf can leave: up to the first byte that may be, and is not yet, secret.
func (s *Stream) decided(idle bool) int {
	upTo := len(s.buf)
	for _, x := range []*context{&s.text, &s.str} {
		if x == &s.str && s.ctx != x {
			break
		}
		for _, t := range x.attempts {
			if !idle || t.state.private {
				upTo = min(upTo, t.from)
			}
		}
	}
	upTo = max(upTo, len(s.buf)-window, 0)
	for again := true; again; {
		again = false
		for _, x := range []*context{&s.text, &s.str} {
			for _, m := range x.secret {
				if m.from <= upTo && upTo < m.to {
					upTo, again = m.to, true
				}
			}
		}
	}
	return upTo
}

// stars stand for a secret; behind five dashes, as of the first line of a PEM block, with a blank.
const stars = "***"

const dashes = "-----"

// afterDashes asks what stands before byte i.
func (s *Stream) afterDashes(i int) bool {
	if i >= len(dashes) {
		return string(s.buf[i-len(dashes):i]) == dashes
	}
	return string(s.left[max(0, s.nleft-(len(dashes)-i)):s.nleft])+string(s.buf[:i]) == dashes
}

// release gives the first bytes of buf with the secrets masked, and keeps the rest.
func (s *Stream) release(upTo int) []byte {
	held := len(s.hold) > 0 // then buf is hold, which the rest will be moved in
	s.out = s.out[:0]
	var out []byte
	if len(s.text.secret) == 0 && len(s.str.secret) == 0 {
		out = s.buf[:upTo]
		if held && upTo < len(s.buf) {
			s.out = append(s.out, out...)
			out = s.out
		}
		s.masked = s.masked && s.skipped(0, upTo)
		s.strMasked = s.strMasked && upTo == 0
	} else {
		s.render(upTo)
		out = s.out
	}
	s.remember(s.buf[:upTo])
	rest := s.buf[upTo:]
	if held {
		s.hold = s.hold[:copy(s.hold, rest)]
	} else {
		s.hold = append(s.hold, rest...)
	}
	s.shift(upTo)
	s.buf = nil
	return out
}

// render appends buf up to upTo to out, the secrets masked and the sequences in them behind.
func (s *Stream) render(upTo int) {
	at := 0
	for _, m := range s.text.secret {
		if m.from >= upTo {
			break
		}
		for _, e := range s.escs { // the secret begins behind them
			if e.from <= m.from && m.from < e.to {
				m.from = e.to
			}
		}
		s.plain(at, m.from)
		if !s.masked || !s.skipped(at, m.from) {
			if s.afterDashes(m.from) {
				s.out = append(s.out, ' ')
			}
			s.out = append(s.out, stars...)
		}
		s.masked = true
		for _, e := range s.escs {
			if from, to := max(e.from, m.from), min(e.to, m.to); from < to {
				s.plain(from, to)
			}
		}
		at = m.to
	}
	s.plain(at, upTo)
	s.masked = s.masked && s.skipped(at, upTo)
}

// plain appends a part that is not secret but in a control string.
func (s *Stream) plain(from, to int) {
	for _, m := range s.str.secret {
		if m.to <= from || m.from >= to {
			continue
		}
		if m.from > from {
			s.raw(from, m.from)
			from = m.from
		}
		m.to = min(m.to, to)
		for _, e := range s.strEscs {
			if e.to <= from || e.from >= m.to {
				continue
			}
			s.strStars(from, e.from)
			from = max(from, e.from)
			s.raw(from, min(e.to, m.to))
			from = min(e.to, m.to)
		}
		s.strStars(from, m.to)
		from = m.to
	}
	s.raw(from, to)
}

func (s *Stream) raw(from, to int) {
	if from < to {
		s.out = append(s.out, s.buf[from:to]...)
		s.strMasked = false
	}
}

func (s *Stream) strStars(from, to int) {
	if from < to && !s.strMasked {
		s.out = append(s.out, stars...)
		s.strMasked = true
	}
}

// skipped says that there is no text from one byte to the other, and that it is at the same place of the screen.
func (s *Stream) skipped(from, to int) bool {
	for _, e := range s.escs {
		if e.from <= from && from < e.to {
			if e.moves {
				return false
			}
			from = e.to
		}
	}
	return from >= to || s.ctx == &s.str && from >= s.strStart
}

// remember keeps the end of what leaves, for wordMayBegin.
func (s *Stream) remember(b []byte) {
	if len(b) >= lookBack {
		s.nleft = copy(s.left[:], b[len(b)-lookBack:])
		return
	}
	keep := min(s.nleft, lookBack-len(b))
	copy(s.left[:], s.left[s.nleft-keep:s.nleft])
	s.nleft = keep + copy(s.left[keep:], b)
}

// shift renumbers everything when the first n bytes have left.
func (s *Stream) shift(n int) {
	for _, x := range []*context{&s.text, &s.str} {
		for i := range x.attempts {
			if t := &x.attempts[i]; t.from != never {
				t.from -= n
			}
		}
		x.secret = shiftSpans(x.secret, n)
		x.end -= n
	}
	s.escs = shiftSpans(s.escs, n)
	s.strEscs = shiftSpans(s.strEscs, n)
	s.strStart = max(0, s.strStart-n)
}

func shiftSpans(all []span, n int) []span {
	kept := all[:0]
	for _, m := range all {
		if m.to > n {
			m.from, m.to = max(0, m.from-n), m.to-n
			kept = append(kept, m)
		}
	}
	return kept
}
