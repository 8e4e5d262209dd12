package policy

// judgedByName: here what appears is masked by the watcher.
const judgedByName = false

// How the command meets what the policy says; see Text.
const (
	deniedWords  = "Reads as empty, and cannot be written (EROFS):"
	privateWords = "private, empty at the start, gone at the end"
	keptWords    = "but not (EROFS, EBUSY, or \"could not lock\" from git config):"
)
