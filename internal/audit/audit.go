// Package audit keeps what was refused, for the user to read later: one line of
// JSON an event, in ~/.aigate/audit.jsonl, which no sandbox can reach.
//
// It promises to stay small and out of the way. Nothing is opened, or made,
// before the first event. An event that comes again is counted, not written
// again, and a run that floods it gets a number of lines and no more. A line is
// one write to a file opened for appending, so lines of runs at the same time
// do not mix; the file is put aside at a size. A log that cannot be written
// stops no run and is told of once. What a sandboxed program chose, such as a
// host's name, is cut to length and holds no byte that a terminal would act on.
package audit

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	mostEvents = 1000 // different ones a run
	mostName   = 253  // bytes, a host's name at its longest
	mostReason = 200
	mostShown  = 80 // of a name in Summary
	mostPath   = 1024
)

// An Event is something that was refused or that failed. Equal events are one
// that came more often.
type Event struct {
	Kind    string // what noticed it: "dns", "connect", "tls", ...
	Subject string // what it is about, in the form that a rule has; "" for many different things
	Reason  string // in few words
	Failed  bool   // allowed, but it could not be done
}

// Run is what every line says of the run.
type Run struct{ Project, Command string }

// A Line is one of the file. The last line of an event says how often it came.
type Line struct {
	Time    string `json:"time"` // RFC 3339
	Run     string `json:"run"`  // process and time of its start
	Project string `json:"project"`
	Command string `json:"command"`
	Kind    string `json:"kind"`
	Outcome string `json:"outcome"` // Refused, Failed, or More
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
	Count   int    `json:"count"` // since the run began
}

// The outcomes.
const (
	Refused = "refused"
	Failed  = "failed"
	More    = "more" // events that are counted together
)

// A Log is that of one run. Its methods can be called from any goroutine.
type Log struct {
	// Each, when set, is told of every event that gets a line, when it first comes.
	Each func(Event)

	file        file
	line        Line // of this run
	mu          sync.Mutex
	seen        map[Event]*entry
	order       []*entry
	more        int // events beyond mostEvents
	moreWritten int
	done        bool
	err         error // the first
}

type entry struct {
	Event
	count, written int
}

// New is a log that writes to path; with "" it only counts. It touches nothing.
func New(path string, run Run) *Log {
	now := time.Now().UTC()
	return &Log{file: file{path: path}, seen: map[Event]*entry{}, line: Line{
		Run:     fmt.Sprintf("%d@%s", os.Getpid(), now.Format(time.RFC3339)),
		Project: cut(run.Project, mostPath),
		Command: clean(run.Command, mostReason),
	}}
}

// Record notes that an event came n times: a line when it is new, and when it
// has come ten times, a hundred, a thousand, so that the file says how bad it
// was even if aigate is killed before Close.
func (l *Log) Record(e Event, n int) {
	e.Kind, e.Subject, e.Reason = clean(e.Kind, 20), clean(e.Subject, mostName+len(":65535")), clean(e.Reason, mostReason)
	if l.record(e, n) && l.Each != nil {
		l.Each(e)
	}
}

func (l *Log) record(e Event, n int) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.seen[e]
	switch {
	case at == nil && len(l.seen) >= mostEvents:
		if l.more += n; l.more == n {
			l.writeMore()
		}
		return false
	case at == nil:
		first, at = true, &entry{Event: e}
		l.seen[e] = at
		l.order = append(l.order, at)
	}
	before := digits(at.count)
	if at.count += n; digits(at.count) != before {
		l.write(at)
	}
	return first
}

func digits(n int) (d int) {
	for ; n > 0; n /= 10 {
		d++
	}
	return d
}

// Close writes the counts that no line says yet. The error is the first that
// any write had.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.order {
		if at.count != at.written {
			l.write(at)
		}
	}
	if l.more > l.moreWritten {
		l.writeMore()
	}
	l.done = true
	return l.err
}

func (l *Log) write(at *entry) {
	line := l.line
	line.Kind, line.Outcome, line.Subject, line.Reason, line.Count = at.Kind, Refused, at.Subject, at.Reason, at.count
	if at.Failed {
		line.Outcome = Failed
	}
	at.written = at.count
	l.append(line)
}

func (l *Log) writeMore() {
	line := l.line
	l.moreWritten = l.more
	line.Kind, line.Outcome, line.Count = "audit", More, l.more
	line.Reason = fmt.Sprintf("a run has lines for %d different events; what came after is only counted", mostEvents)
	l.append(line)
}

// append stops at the first error: a full disk does not get better by trying for every event.
func (l *Log) append(line Line) {
	if l.err != nil || l.done || l.file.path == "" {
		return
	}
	line.Time = time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	text, err := json.Marshal(line)
	if err == nil {
		err = l.file.append(append(text, '\n'))
	}
	l.err = err
}

// Summary is the run in a line, "" when nothing happened:
//
//	refused evil.com (2), 203.0.113.9:443 (1); could not reach api.example.com:443 (3)
//
// It names the most subjects that came most often and says how many it leaves out.
func (l *Log) Summary(most int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	type subject struct {
		name   string
		failed bool
		count  int
	}
	var all []subject
	left := l.more
	for _, at := range l.order {
		if at.Subject == "" {
			left += at.count
			continue
		}
		i := slices.IndexFunc(all, func(s subject) bool { return s.name == at.Subject && s.failed == at.Failed })
		if i < 0 {
			i, all = len(all), append(all, subject{name: at.Subject, failed: at.Failed})
		}
		all[i].count += at.count
	}
	slices.SortStableFunc(all, func(a, b subject) int { return b.count - a.count })
	left += max(0, len(all)-most)
	all = all[:min(len(all), most)]
	// What was refused stands before what failed, each with the most frequent first.
	slices.SortStableFunc(all, func(a, b subject) int { return order(a.failed) - order(b.failed) })
	var b strings.Builder
	for i, s := range all {
		switch {
		case s.failed && (i == 0 || !all[i-1].failed):
			b.WriteString(separate(i, "; ") + "could not reach ")
		case i == 0:
			b.WriteString("refused ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%d)", cut(s.name, mostShown), s.count)
	}
	if left > 0 {
		if len(all) == 0 {
			fmt.Fprintf(&b, "refused %d", left)
		} else {
			fmt.Fprintf(&b, ", and %d more", left)
		}
		if l.file.path != "" {
			b.WriteString(", see `aigate audit`")
		}
	}
	return b.String()
}

func order(failed bool) int {
	if failed {
		return 1
	}
	return 0
}

func separate(i int, s string) string {
	if i == 0 {
		return ""
	}
	return s
}

// Events gives what has a line so far, in order.
func (l *Log) Events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Event, len(l.order))
	for i, at := range l.order {
		out[i] = at.Event
	}
	return out
}

// clean makes a text of others printable ASCII of at most so many bytes.
func clean(s string, most int) string {
	plain := len(s) <= most
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] <= '~'
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < most; i++ {
		if s[i] >= ' ' && s[i] <= '~' {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
	}
	return cut(b.String(), most)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most-3] + "..."
}
