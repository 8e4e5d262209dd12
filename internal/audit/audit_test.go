package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func newLog(t *testing.T) (*Log, string) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	return New(path, Run{Project: "/home/ada/shop", Command: "claude"}), path
}

func record(l *Log, times int, e Event) {
	for range times {
		l.Record(e, 1)
	}
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// lines gives what the file holds, each checked to be JSON.
func lines(t *testing.T, path string) (out []Line) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(src) {
		var l Line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		out = append(out, l)
	}
	return out
}

func TestLog(t *testing.T) {
	l, path := newLog(t)
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a file before the first event")
	}
	record(l, 1, Event{Kind: "dns", Subject: "evil.com", Reason: "no rule names it"})
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	record(l, 24, Event{Kind: "dns", Subject: "evil.com", Reason: "no rule names it"})
	record(l, 2, Event{Kind: "connect", Subject: "203.0.113.9:443", Reason: "no rule names it"})
	record(l, 3, Event{Kind: "connect", Subject: "api.example.com:443", Reason: "connection refused", Failed: true})
	record(l, 1, Event{Kind: "tls", Subject: "evil.com", Reason: "another"})
	time.Sleep(2 * time.Millisecond) // a later time for the last lines
	closed(t, l)
	record(l, 5, Event{Kind: "dns", Subject: "late.com"}) // what still runs then is not written

	var got []string
	for _, l := range lines(t, path) {
		if _, err := time.Parse(time.RFC3339, l.Time); err != nil || len(l.Time) != len("2026-11-24T01:50:07.123Z") {
			t.Errorf("time %q: %v", l.Time, err)
		}
		if l.Project != "/home/ada/shop" || l.Command != "claude" || !strings.HasPrefix(l.Run, fmt.Sprint(os.Getpid(), "@")) {
			t.Errorf("%+v", l)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d", l.Kind, l.Outcome, l.Subject, l.Count))
	}
	want := []string{
		"dns refused evil.com 1", "dns refused evil.com 10", "connect refused 203.0.113.9:443 1", "connect failed api.example.com:443 1", "tls refused evil.com 1",
		"dns refused evil.com 25", "connect refused 203.0.113.9:443 2", "connect failed api.example.com:443 3",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}

	read, err := Read(path, 3)
	if err != nil || len(read) != 3 || read[0].Count != 25 || read[1].Count != 2 || read[2].Count != 3 {
		t.Errorf("%+v, %v", read, err)
	}
	if read, err := Read(path, 100); err != nil || len(read) != 4 || read[0].Kind != "tls" {
		t.Errorf("%+v, %v", read, err)
	}
}

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		events string // kind:subject times, a ! for what failed
		want   string
	}{
		{"", ""},
		{"a 1", "refused a (1)"},
		{"a 1 b 2 a 2 c 1", "refused a (3), b (2), c (1)"},
		{"a 1 !b 9 c 2", "refused c (2), a (1); could not reach b (9)"},
		{"!b 1 !c 2", "could not reach c (2), b (1)"},
		{"a 1 b 1 c 1 d 5 e 1 !f 9 g 1", "refused d (5), a (1), b (1), c (1); could not reach f (9), and 2 more, see `aigate audit`"},
	} {
		l, _ := newLog(t)
		words := strings.Fields(tt.events)
		for i := 0; i < len(words); i += 2 {
			var n int
			fmt.Sscan(words[i+1], &n)
			subject, failed := strings.CutPrefix(words[i], "!")
			record(l, n, Event{Kind: fmt.Sprint("kind", i), Subject: subject, Failed: failed})
		}
		if got := l.Summary(5); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.events, got, tt.want)
		}
	}
}

// TestFlood: a program asks for ever new names, and for one a million times.
func TestFlood(t *testing.T) {
	l, path := newLog(t)
	told := 0
	long := strings.Repeat("y", 1<<20)
	l.Each = func(Event) { told++ }
	for i := range 20_000 {
		l.Record(Event{Kind: "dns", Subject: fmt.Sprintf("%d.%s.evil.com", i, strings.Repeat("x", 400)), Reason: long}, 1)
	}
	record(l, 1_000_000, Event{Kind: "dns", Subject: "evil.com"})
	record(l, 100_000, Event{Kind: "dns", Subject: fmt.Sprintf("0.%s.evil.com", strings.Repeat("x", 400)), Reason: long})
	closed(t, l)
	all := lines(t, path)
	if len(all) != mostEvents+1+5+1+1 || told != mostEvents || len(l.Events()) != mostEvents {
		t.Errorf("%d lines, told of %d", len(all), told)
	}
	last := all[len(all)-1]
	if last.Outcome != More || last.Count != 20_000-mostEvents+1_000_000 || last.Kind != "audit" {
		t.Errorf("%+v", last)
	}
	if st, _ := os.Stat(path); st.Size() > 1<<20 {
		t.Errorf("%d bytes", st.Size())
	}
	if s := l.Summary(1); !strings.HasSuffix(s, " more, see `aigate audit`") {
		t.Error(s)
	}
}

// TestClean: nothing of what a program chose is acted on by a terminal, and nothing ends a line.
func TestClean(t *testing.T) {
	l, path := newLog(t)
	l.Record(Event{Kind: "dns", Subject: "\x1b]0;pwned\x07\n{\"time\":1}\u202e\xff.com\x7f", Reason: "a\r\nb"}, 1)
	closed(t, l)
	all := lines(t, path)
	if len(all) != 1 {
		t.Fatal(all)
	}
	if want := `\x1b]0;pwned\x07\x0a{"time":1}\xe2\x80\xae\xff.com\x7f`; all[0].Subject != want || all[0].Reason != `a\x0d\x0ab` {
		t.Errorf("%q, %q", all[0].Subject, all[0].Reason)
	}
	src, _ := os.ReadFile(path)
	for _, c := range src[:len(src)-1] {
		if c < ' ' || c > '~' {
			t.Errorf("byte %#x in the file", c)
		}
	}
	if s := clean(strings.Repeat("\xff", 300), 253); len(s) != 253 {
		t.Error(len(s))
	}
}

// TestTogether: many runs, and many goroutines in each, write whole lines, also while the file is
// put aside.
func TestTogether(t *testing.T) {
	_, path := newLog(t)
	if err := os.WriteFile(path, bytes.Repeat(append(bytes.Repeat([]byte(" "), 1021), "{}\n"...), (mostBytes-20_000)/1024), 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for run := range 4 {
		l := New(path, Run{Command: fmt.Sprint(run)})
		for g := range 4 {
			all.Add(1)
			go func() {
				defer all.Done()
				for i := range 50 {
					l.Record(Event{Kind: "dns", Subject: fmt.Sprintf("%d.%d", g, i)}, 1)
				}
			}()
		}
		defer func() { closed(t, l) }()
	}
	all.Wait()
	old, now := lines(t, path+aside), lines(t, path)
	n := 0
	for _, l := range append(old, now...) {
		if l.Kind == "dns" {
			n++
		}
	}
	if n != 4*4*50 || len(now) == 0 || len(now) >= n {
		t.Errorf("%d lines of %d, %d in the new file", n, 4*4*50, len(now))
	}
	if read, err := Read(path, 1e6); err != nil || len(read) != n/4 { // the runs are of one process in one second
		t.Error(len(read), err)
	}
}

// TestUnwritable: the error comes once, at the end, and no event waits for anything.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(string) error{
		"missing/folder": func(string) error { return nil },
		"link":           func(p string) error { return os.Symlink(target, p) },
		"fifo":           func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"folder":         func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		l := New(path, Run{})
		record(l, 100, Event{Kind: "dns", Subject: "a"})
		if err := l.Close(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if s := l.Summary(5); s != "refused a (100)" {
			t.Errorf("%s: %s", name, s)
		}
	}
	if st, _ := os.Stat(target); st.Size() != 0 {
		t.Error("wrote through a link")
	}
}

// TestMany: some events stand for many.
func TestMany(t *testing.T) {
	l, path := newLog(t)
	many := Event{Kind: "dns", Reason: "more questions refused"}
	l.Record(many, 150)
	l.Record(many, 50)
	l.Record(many, 7000)
	if s := l.Summary(5); s != "refused 7200, see `aigate audit`" {
		t.Error(s)
	}
	l.Record(Event{Kind: "dns", Subject: strings.Repeat("x", 200)}, 1)
	if s := l.Summary(5); s != "refused "+strings.Repeat("x", 77)+"... (1), and 7200 more, see `aigate audit`" {
		t.Error(s)
	}
	l.Record(many, 1)
	closed(t, l)
	var counts []int
	for _, l := range lines(t, path) {
		counts = append(counts, l.Count)
	}
	if fmt.Sprint(counts) != "[150 7200 1 7201]" {
		t.Error(counts)
	}
}

// TestNowhere: without a file there are still counts.
func TestNowhere(t *testing.T) {
	l := New("", Run{})
	record(l, 2, Event{Kind: "dns", Subject: "a"})
	record(l, 1, Event{Kind: "dns", Subject: "b"})
	closed(t, l)
	if s := l.Summary(1); s != "refused a (2), and 1 more" {
		t.Error(s)
	}
}

// TestTorn: a line that was cut short, by a full disk, costs itself alone.
func TestTorn(t *testing.T) {
	l, path := newLog(t)
	l.Record(Event{Kind: "dns", Subject: "a"}, 1)
	if err := os.Truncate(path, 40); err != nil {
		t.Fatal(err)
	}
	l.file.torn = true
	l.Record(Event{Kind: "dns", Subject: "b"}, 1)
	closed(t, l)
	if read, err := Read(path, 9); err != nil || len(read) != 1 || read[0].Subject != "b" {
		t.Error(read, err)
	}
	if read, err := Read(filepath.Join(t.TempDir(), "none"), 9); err != nil || read != nil {
		t.Error(read, err)
	}
	if _, err := Read(t.TempDir(), 9); err == nil {
		t.Error("a folder is read")
	}
}
