package config

import "testing"

func TestDefaultFileLoads(t *testing.T) {
	c, err := Parse("default.yaml", DefaultFile())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.DenyRead) < 100 || c.DenyRead[0] != ".env" {
		t.Errorf("deny_read: %q", c.DenyRead)
	}
	_ = Defaults()
}

func BenchmarkParse(b *testing.B) {
	src := DefaultFile()
	for b.Loop() {
		c, err := Parse("x", src)
		if err != nil {
			b.Fatal(err)
		}
		_ = c
	}
}
func BenchmarkMerge(b *testing.B) {
	c, _ := Parse("x", DefaultFile())
	for b.Loop() {
		Merge(c, nil)
	}
}
