// Command attacker does to a sandbox what a shell and python cannot: each sub-command is one attack, in raw
// system calls. It prints what it got and exits 0 when the attack works, 1 with the kernel's answer when not.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

type attack struct {
	usage string
	run   func(args []string) error
}

var attacks = map[string]attack{}

func add(usage string, run func([]string) error) {
	name, _, _ := strings.Cut(usage, " ")
	attacks[name] = attack{usage, run}
}

func init() { add("inside CMD...", inside) }

// inside runs CMD, an attack, but only where it cannot hurt the machine the tests run on.
func inside(args []string) error {
	mnt, err := os.Readlink("/proc/self/ns/mnt")
	if onHost() || err != nil || mnt == os.Getenv("HOST_MNTNS") {
		fmt.Println("NOT IN A SANDBOX: these are the namespaces of the tests")
		os.Exit(99)
	}
	fmt.Fprintln(os.Stderr, "attacker: inside")
	path, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	return unix.Exec(path, args, os.Environ())
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	a, ok := attacks[os.Args[1]]
	if !ok {
		usage()
	}
	want := len(strings.Fields(a.usage)) - 1
	if n := len(os.Args) - 2; n != want && !(strings.HasSuffix(a.usage, "...") && n >= want) {
		usage()
	}
	if err := a.run(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "attacker: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func usage() {
	var all []string
	for _, a := range attacks {
		all = append(all, "attacker "+a.usage)
	}
	sort.Strings(all)
	fmt.Fprintln(os.Stderr, strings.Join(all, "\n"))
	os.Exit(2)
}

// onHost says whether this process is in the tests' own pid namespace, where an attack on "every process"
// would hurt the machine instead of the sandbox.
func onHost() bool {
	own, err := os.Readlink("/proc/self/ns/pid")
	return err != nil || os.Getenv("HOST_PIDNS") == "" || own == os.Getenv("HOST_PIDNS")
}
