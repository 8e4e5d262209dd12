package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/AxeForging/aigate/internal/cli"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// shareDir is the folder of an archive beside the program. Whoever unpacks an archive in a folder with
// files of their own must not find these replaced, so everything lies in one folder of an own name; and
// its inside is that of /usr/local/share: cp -r aigate-share/. /usr/local/share
const shareDir = "aigate-share"

// share makes manual pages, completions and the texts. They are the same on every platform.
func (r *release) share() (files []file, err error) {
	add := func(name string, data []byte) {
		files = append(files, file{Name: shareDir + "/" + name, Mode: 0o644, Data: data})
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"} {
		data, err := os.ReadFile(filepath.Join(r.Source, name))
		if err != nil {
			return nil, err
		}
		add("doc/aigate/"+name, data)
	}
	root := cli.Root(r.Version)
	if err := r.manuals(root, add); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		file     string
		generate func(*bytes.Buffer) error
	}{
		{"bash-completion/completions/aigate", func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) }},
		{"zsh/site-functions/_aigate", func(b *bytes.Buffer) error { return root.GenZshCompletion(b) }},
		{"fish/vendor_completions.d/aigate.fish", func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) }},
	} {
		var b bytes.Buffer
		if err := c.generate(&b); err != nil {
			return nil, err
		}
		add(c.file, b.Bytes())
	}
	return files, nil
}

// manuals makes a page for each command, in section 1.
func (r *release) manuals(c *cobra.Command, add func(string, []byte)) error {
	if !c.IsAvailableCommand() && c.HasParent() && !c.IsAdditionalHelpTopicCommand() {
		return nil
	}
	c.DisableAutoGenTag = true // a line with the day of today
	var b bytes.Buffer
	header := &doc.GenManHeader{Title: strings.ToUpper(strings.ReplaceAll(c.CommandPath(), " ", "-")), Section: "1",
		Source: "aigate " + r.Version, Manual: "aigate", Date: &r.Time}
	if err := doc.GenMan(c, header, &b); err != nil {
		return err
	}
	add("man/man1/"+strings.ReplaceAll(c.CommandPath(), " ", "-")+".1", b.Bytes())
	for _, sub := range c.Commands() {
		if err := r.manuals(sub, add); err != nil {
			return err
		}
	}
	return nil
}
