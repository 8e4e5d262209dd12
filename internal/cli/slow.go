package cli

import "time"

// patience is how long nothing is said about something that takes its time.
const patience = time.Second

// slow says what is being done if that is not done within a second. Who began it
// calls what it returns at its end.
func slow(what string) (done func()) { return slowAfter(patience, what) }

// slow is silent where only the command is to be heard.
func (f *runFlags) slow(what string) (done func()) {
	if f.quiet {
		return func() {}
	}
	return slow(what)
}

func slowAfter(d time.Duration, what string) (done func()) {
	t := time.AfterFunc(d, func() { say("%s …", what) })
	return func() { t.Stop() }
}
