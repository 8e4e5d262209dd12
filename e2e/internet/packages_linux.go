package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// packages serves one package, greet 1.0.0, to npm, pip and go.
func (s *site) packages(m *http.ServeMux) {
	m.HandleFunc("npm.test/greet", func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum(npmPackage())
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "greet", "dist-tags": map[string]string{"latest": "1.0.0"},
			"versions": map[string]any{"1.0.0": map[string]any{"name": "greet", "version": "1.0.0",
				"dist": map[string]string{"tarball": "https://npm.test/greet.tgz", "shasum": hex.EncodeToString(sum[:])}}}})
	})
	m.HandleFunc("npm.test/greet.tgz", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(npmPackage()) })

	m.HandleFunc("pypi.test/simple/greet/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<html><body><a href=\"/greet-1.0.0-py3-none-any.whl#sha256=%x\">greet-1.0.0-py3-none-any.whl</a></body></html>", sha256.Sum256(wheel()))
	})
	m.HandleFunc("pypi.test/greet-1.0.0-py3-none-any.whl", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(wheel()) })

	const module, at = "example.test/greet", "goproxy.test/example.test/greet/@v/"
	source := map[string]string{"go.mod": "module " + module + "\n", "greet.go": "package greet\n\nconst Hello = \"hello from the proxy\"\n"}
	for file, text := range map[string]string{"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": source["go.mod"]} {
		m.HandleFunc(at+file, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text) })
	}
	m.HandleFunc(at+"v1.0.0.zip", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(zipped(module+"@v1.0.0/", []string{"go.mod", source["go.mod"], "greet.go", source["greet.go"]}))
	})
}

func npmPackage() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, f := range [][2]string{
		{"package/package.json", `{"name":"greet","version":"1.0.0","main":"index.js"}`},
		{"package/index.js", "module.exports = 'hello from the registry';\n"},
	} {
		_ = t.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1]))})
		_, _ = t.Write([]byte(f[1]))
	}
	_ = t.Close()
	_ = z.Close()
	return b.Bytes()
}

func wheel() []byte {
	files := []string{
		"greet.py", "hello = 'hello from the index'\n",
		"greet-1.0.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greet\nVersion: 1.0.0\n",
		"greet-1.0.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	}
	var record strings.Builder
	for i := 0; i < len(files); i += 2 {
		sum := sha256.Sum256([]byte(files[i+1]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", files[i], base64.RawURLEncoding.EncodeToString(sum[:]), len(files[i+1]))
	}
	record.WriteString("greet-1.0.0.dist-info/RECORD,,\n")
	return zipped("", append(files, "greet-1.0.0.dist-info/RECORD", record.String()))
}

// zipped packs names and texts, in turns.
func zipped(prefix string, files []string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := z.Create(prefix + files[i])
		if err != nil {
			panic(err) // it is written to memory
		}
		_, _ = f.Write([]byte(files[i+1]))
	}
	_ = z.Close()
	return b.Bytes()
}
