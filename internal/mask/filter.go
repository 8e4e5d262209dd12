package mask

type filter struct{}

func (f *filter) next(buf []byte, i int) int { return i }

func (s *Stream) fast(n int) *filter { return nil }
