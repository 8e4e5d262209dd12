package sandbox

import (
	"reflect"
	"testing"
)

func TestOrder(t *testing.T) {
	for _, w := range []inward{
		{dir: "/", cmd: Command{Path: "/bin/true", Args: []string{"true"}, Env: []string{}}},
		{dir: "/a b\n", cmd: Command{Path: "/x", Args: []string{"x", "", "--", "a\nb", ""}, Env: []string{"A=", "B=\n", "no equals sign"}}},
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
	for _, text := range []string{"", "1", "000000000000\x00/\x00/x\x00one\x00x", "000000000000\x00/\x00/x\x009\x00x", "0\x00/\x00/x\x001\x00x"} {
		if w, ok := readOrder(text); ok {
			t.Errorf("%q was read as %+v", text, w)
		}
	}
}
