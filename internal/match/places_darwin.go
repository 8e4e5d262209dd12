package match

// openPlace opens a directory to look names up in it. Here it saves nothing.
func openPlace(string) (fd int) { return -1 }
