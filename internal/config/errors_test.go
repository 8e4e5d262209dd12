package config

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write testdata/errors.txtar anew")

// TestErrors holds every message to testdata/errors.txtar, which reads as a list of what can go
// wrong and what the user is told. In the files there, \xff and \r stand for these bytes.
func TestErrors(t *testing.T) {
	const name = "testdata/errors.txtar"
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(a.Files); i += 2 {
		in, want := a.Files[i], &a.Files[i+1]
		t.Run(strings.TrimSuffix(in.Name, ".yaml"), func(t *testing.T) {
			src := strings.NewReplacer(`\xff`, "\xff", `\r`, "\r").Replace(string(in.Data))
			c, err := Parse("config.yaml", []byte(src))
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("%q loads: %+v, %v", src, c, err)
			}
			var e *Error
			if !errors.As(err, &e) || e != all[0] {
				t.Error("errors.As does not find the first")
			}
			got := err.Error() + "\n"
			if *update {
				want.Data = []byte(got)
			} else if got != string(want.Data) {
				t.Errorf("got\n%swant\n%s", got, want.Data)
			}
		})
	}
	if *update {
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
