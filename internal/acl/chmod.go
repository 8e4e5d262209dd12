package acl

import "slices"

// macOS has access control lists of another kind (chmod(1), "ACL MANIPULATION
// OPTIONS"): an entry can deny, and says itself whether what is made in a folder
// inherits it. They are set by chmod, for a thousand files at a time; what it is
// told is plain data here, and acl_darwin.go runs it.

const chmod = "/bin/chmod"

// What an entry denies. In a folder, list is the bit that is read for a file and
// search the one that is execute, so that what inherits it is denied as well.
const (
	ofFile   = "deny read,write,execute,append,readextattr"
	ofFolder = "deny list,add_file,search,add_subdirectory,delete_child,readextattr,file_inherit,directory_inherit"
	// A file that was made in such a folder has the entry in the form that it inherits.
	inherited = "deny read,write,execute,append,delete_child,readextattr"
)

// macEntries are what stands on a file or folder.
func (who Agents) macEntries(what string) (all []string) {
	if who.User >= 0 {
		all = append(all, "user:"+who.UserName+" "+what)
	}
	if who.Group >= 0 {
		all = append(all, "group:"+who.GroupName+" "+what)
	}
	return all
}

// denyCommands set the entries on files, or on folders.
func denyCommands(who Agents, folders bool, paths []string) [][]string {
	what := ofFile
	if folders {
		what = ofFolder
	}
	var all [][]string
	for _, entry := range who.macEntries(what) {
		all = append(all, batches([]string{chmod, "-h", "+a", entry}, paths)...)
	}
	return all
}

// clearCommands take exactly these entries out, and pass over (-f) what has none.
func clearCommands(who Agents, paths []string) [][]string {
	var all [][]string
	for _, what := range []string{ofFile, ofFolder, inherited} {
		for _, entry := range who.macEntries(what) {
			all = append(all, batches([]string{chmod, "-f", "-h", "-a", entry}, paths)...)
		}
	}
	return all
}

// batches share paths out: all arguments of a program together have a megabyte.
// They are absolute, so that none is taken for an option.
func batches(first, paths []string) (all [][]string) {
	const most = 256 << 10
	size := most
	for _, path := range paths {
		if size += len(path) + 1 + 8; size > most { // and a pointer
			all = append(all, slices.Clone(first))
			size = len(path) + 9
		}
		all[len(all)-1] = append(all[len(all)-1], path)
	}
	return all
}
