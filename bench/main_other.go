//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: not on this system yet")
	_ = writePage
	os.Exit(1)
}
