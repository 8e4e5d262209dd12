package gate

// NewFront makes the front end's data from the rules.
func NewFront(rules *Rules, _ string) (*Front, error) {
	return &Front{Variant: Proxy, Forced: true, IPv6: true, Localhost: rules.Localhost()}, nil
}
