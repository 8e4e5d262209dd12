package sandbox

import (
	"reflect"
	"testing"

	"github.com/AxeForging/aigate/internal/limit"
)

func TestOrder(t *testing.T) {
	for _, w := range []inward{
		{dir: "/", cmd: Command{Path: "/bin/true", Args: []string{"true"}, Env: []string{}}, sights: []string{}},
		{dir: "/", cmd: Command{Path: "/bin/true", Args: []string{"true"}, Env: []string{}}, sights: []string{"/proc", "/a b\n:"},
			limits: limit.Inside{Nice: 10, CPUs: []byte{3, 0, 128}, Rlimits: []limit.Rlimit{{Resource: 1, Value: 1 << 63}, {Resource: 7, Value: 16}}}},
		{dir: "/a b\n", cmd: Command{Path: "/x", Args: []string{"x", "", "--", "a\nb", ""}, Env: []string{"A=", "B=\n", "no equals sign"}}, sights: []string{}},
	} {
		for i := range w.flags() {
			one := w
			*one.flags()[i] = true
			got, ok := readOrder(string(order(one)))
			if !ok || !reflect.DeepEqual(got, one) {
				t.Errorf("flag %d: sent %+v, read %+v, %v", i, one, got, ok)
			}
		}
	}
	for _, text := range []string{"", "1", "00000000000000\x00/\x00/x\x00none\x000\x001\x00x", "00000000000000\x00/\x00/x\x000 \x000\x00one\x00x", "00000000000000\x00/\x00/x\x000 \x009\x001\x00x",
		"00000000000000\x00/\x00/x\x000 \x000", "00000000000000\x00/\x00/x\x000  1\x000\x000", "0\x00/\x00/x\x000 \x000\x001\x00x"} {
		if w, ok := readOrder(text); ok {
			t.Errorf("%q was read as %+v", text, w)
		}
	}
}
