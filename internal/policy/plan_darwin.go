package policy

// judgedByName: Seatbelt judges every name when it is used, also that of a file
// that has just appeared.
const judgedByName = true

// How the command meets what the policy says; see Text.
const (
	deniedWords  = "Can be neither read nor written (EPERM, \"Operation not permitted\"):"
	privateWords = "not to be read or written; TMPDIR names a folder of your own, gone at the end"
	keptWords    = "but not (EPERM):"
)
