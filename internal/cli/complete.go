package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completeCommand offers the programs on PATH where run's command goes, as the
// shell would without aigate before it, and files behind that.
func completeCommand(_ *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 || begun == "" || strings.Contains(begun, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		found, _ := os.ReadDir(dir) // a folder that is not there offers nothing
		for _, f := range found {
			if strings.HasPrefix(f.Name(), begun) && !f.IsDir() {
				names = append(names, f.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveDefault
}
