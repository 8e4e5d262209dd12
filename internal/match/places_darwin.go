package match

import "strings"

// openPlace opens a directory to look names up in it. Here it saves nothing.
func openPlace(string) (fd int) { return -1 }

// sameName: the usual file systems here take one name for the other.
func sameName(a, b string) bool { return strings.EqualFold(a, b) }
