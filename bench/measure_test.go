package main

import (
	"errors"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	sample := []float64{5, 1, 4, 2, 3}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.1, 1}, {0.5, 3}, {0.9, 5}, {1, 5}} {
		if got := quantile(sample, c.q); got != c.want {
			t.Errorf("quantile %v: %v, want %v", c.q, got, c.want)
		}
	}
	if sample[0] != 5 {
		t.Error("the sample was sorted in place")
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("an empty sample has a median")
	}
}

func TestInterleave(t *testing.T) {
	var order strings.Builder
	one := func(name string) *series {
		return &series{name: name, run: func() error { order.WriteString(name); return nil }}
	}
	a, b := one("a"), one("b")
	if err := interleave(2, a, b); err != nil {
		t.Fatal(err)
	}
	if got := order.String(); got != "abbaabbaab" {
		t.Errorf("order %s", got)
	}
	if len(a.ms) != 2 || len(b.ms) != 2 {
		t.Errorf("%d and %d values, want those of the 2 rounds that count", len(a.ms), len(b.ms))
	}
	broken := &series{name: "x", run: func() error { return errors.New("broken") }}
	if err := interleave(1, broken); err == nil || err.Error() != "x: broken" {
		t.Errorf("error %v", err)
	}
}

func TestTable(t *testing.T) {
	tab := table{{"what", "×"}}
	tab.row("longer", "10")
	var b strings.Builder
	tab.print(&b)
	want := "| what   |  × |\n| ------ | -: |\n| longer | 10 |\n\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestReplaceBetween(t *testing.T) {
	text, err := replaceBetween("a\n"+figuresBegin+"\nold\n"+figuresEnd+"\nz\n", "new\n")
	if want := "a\n" + figuresBegin + "\n\nnew\n" + figuresEnd + "\nz\n"; err != nil || text != want {
		t.Errorf("%v\n%q\nwant\n%q", err, text, want)
	}
	if _, err := replaceBetween("no marks", "new"); err == nil {
		t.Error("a page without marks was written")
	}
}
