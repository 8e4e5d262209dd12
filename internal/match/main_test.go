package match

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// The test binary is also the child processes that some tests need.
func TestMain(m *testing.M) {
	if project := os.Getenv("AIGATE_WALK"); project != "" {
		childWalk(project)
		return
	}
	os.Exit(m.Run())
}

// childWalk prints what a walk finds.
func childWalk(project string) {
	if os.Getenv("AIGATE_INSIDE") != "" {
		_, err := Inside(project, nil)
		fmt.Println("error", err)
		return
	}
	if os.Getenv("AIGATE_NOFILE") != "" {
		limit := syscall.Rlimit{Cur: 4, Max: 4}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			panic(err)
		}
	}
	s, err := Parse(strings.Split(os.Getenv("AIGATE_PATTERNS"), "\n"), "/nowhere")
	if err != nil {
		panic(err)
	}
	res, err := s.Walk(project, Options{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for _, found := range res.Found {
		fmt.Println("found", found.Path)
	}
	for _, path := range res.Unreadable {
		fmt.Println("unreadable", path)
	}
}
