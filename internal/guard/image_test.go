package guard

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestShebang(t *testing.T) {
	for text, want := range map[string]string{
		"#!/bin/sh\n":                                "/bin/sh|",
		"#! \t/bin/sh  \t\necho":                     "/bin/sh|",
		"#!/usr/bin/env -S curl -K x  \n":            "/usr/bin/env|-S curl -K x",
		"#!/bin/busybox wget\n":                      "/bin/busybox|wget",
		"#!\n":                                       "|",
		"#!/bin/sh":                                  "/bin/sh|",
		"#!/bin/sh\x00x y\n":                         "/bin/sh|",
		"#!/bin/x a\x00b\n":                          "/bin/x|a",
		"#!/" + strings.Repeat("a", 300) + "\n":      "|",
		"#!/b " + strings.Repeat("a", 300) + "\n":    "/b|" + strings.Repeat("a", 250),
		"#!" + strings.Repeat(" ", 300) + "/bin/x\n": "|",
		"curl": "|",
	} {
		im, err := readImage(strings.NewReader(text))
		if got := im.interp + "|" + im.interpArg; got != want || err != nil {
			t.Errorf("%.30q: %.60q, %v", text, got, err)
		}
	}
}

// Programs of this machine: its loader is one, nothing else is, and every program
// has a build of its own.
func TestImages(t *testing.T) {
	builds := map[string]string{}
	for _, path := range []string{"/bin/sh", "/bin/ls", "/bin/true", "/usr/bin/env", "/proc/self/exe"} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		im, err := readImage(f)
		f.Close()
		if err != nil || im.script || im.loader {
			t.Errorf("%s: %+v, %v", path, im, err)
		}
		if other := builds[im.build]; im.build != "" && other != "" {
			t.Errorf("%s and %s are the same build", path, other)
		}
		builds[im.build] = path
	}
	loaders := 0
	for _, path := range []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if im, err := readImage(f); err != nil || !im.loader {
			t.Errorf("%s: %+v, %v", path, im, err)
		}
		f.Close()
		loaders++
	}
	if loaders == 0 {
		t.Error("no loader to look at")
	}
}

func FuzzImage(f *testing.F) {
	f.Add([]byte("#!/bin/sh -x\n"))
	for _, path := range []string{"/bin/true", "/lib64/ld-linux-x86-64.so.2"} {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text[:min(len(text), 8192)])
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		im, err := readImage(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(im.interp)+len(im.interpArg) > 255 || strings.ContainsAny(im.interp, "\n\x00 \t") || strings.ContainsAny(im.interpArg, "\n\x00") {
			t.Errorf("%q, %q", im.interp, im.interpArg)
		}
		if len(im.build) > mostOfPart {
			t.Errorf("a build id of %d bytes", len(im.build))
		}
	})
}
