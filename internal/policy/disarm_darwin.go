package policy

// Disarm has nothing to do: a repository's configuration cannot be made inside,
// see Plan.Names.
func (p *Policy) Disarm() ([]string, error) { return nil, nil }

// Reopened gives none, then.
func (p *Policy) Reopened() []string { return nil }

type disarmed struct{}

// lead is of no use here.
type lead struct{}

// noteLeads has nothing to note.
func (p *Policy) noteLeads([]string) {}
