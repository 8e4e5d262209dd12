package guard

import (
	"bytes"
	"encoding/binary"
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

// A loader of a program's own is found wherever the kernel finds it: behind many headers, and far out in a sparse file.
func TestHeader(t *testing.T) {
	for _, c := range []struct {
		headers int
		at      int64
		loader  string
		want    string
	}{
		{1, 400, "./t", "./t"},
		{1, 400, "/lib64/ld-linux-x86-64.so.2", ""},
		{1, 400, "/lib64/../tmp/t", "/lib64/../tmp/t"},
		{1100, 1 << 17, "./t", "./t"},
		{2, 1 << 41, "./t", "./t"},
	} {
		head := make([]byte, 64+56*c.headers)
		copy(head, "\x7fELF\x02\x01\x01")
		le := binary.LittleEndian
		le.PutUint64(head[32:], 64)
		le.PutUint16(head[54:], 56)
		le.PutUint16(head[56:], uint16(c.headers))
		last := head[64+56*(c.headers-1):]
		le.PutUint32(last, partInterp)
		le.PutUint64(last[8:], uint64(c.at))
		le.PutUint64(last[32:], uint64(len(c.loader)+1))
		f, err := os.CreateTemp(t.TempDir(), "elf")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(head, 0)
		if _, e := f.WriteAt([]byte(c.loader+"\x00"), c.at); err != nil || e != nil {
			t.Fatal(err, e)
		}
		if im, err := readImage(f); err != nil || im.header != c.want {
			t.Errorf("%+v: %+v, %v", c, im, err)
		}
		f.Close()
	}
}
