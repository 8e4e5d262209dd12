package config

import (
	"fmt"
	"strconv"
	"strings"
)

// A decoder walks the nodes of one file into a Config and collects what is wrong.
type decoder struct {
	file string
	src  string
	errs Errors

	patterns int // how large those of mask_stdout are together
}

// maxErrors is where more of them stop helping.
const maxErrors = 10

func (d *decoder) fail(line, col int, msg, hint string) {
	if d.enough() {
		return
	}
	source := d.sourceLine(line)
	col = min(max(col, 1), len([]rune(source))+1)
	d.errs = append(d.errs, &Error{File: d.file, Line: line, Col: col, Msg: msg, Source: source, Hint: hint})
}

// enough ends the walk: a file made to hold a hundred thousand mistakes must not cost minutes.
func (d *decoder) enough() bool { return len(d.errs) >= maxErrors }

func (d *decoder) failAt(n node, msg, hint string) { d.fail(n.line, n.col, msg, hint) }

func (d *decoder) sourceLine(line int) string {
	rest := d.src
	for ; line > 1; line-- {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	first, _, _ := strings.Cut(rest, "\n")
	return first
}

// at is the rest of a line from a column on.
func (d *decoder) at(line, col int) string {
	runes := []rune(d.sourceLine(line))
	return string(runes[min(max(col-1, 0), len(runes)):])
}

func (d *decoder) root(n node, c *Config) {
	switch n.kind {
	case null: // an empty file, or comments alone
	case mapping:
		d.mapping(n, "", topKeys, func(key string, v node) { d.top(key, v, c) })
	default:
		d.failAt(n, fmt.Sprintf("a configuration is `key: value` lines, this is %s", n.kind),
			"see `aigate help config`, or start from `aigate init`")
	}
}

func (d *decoder) top(key string, v node, c *Config) {
	switch key {
	case "group", "user":
		if s, ok := d.text(v, key); ok {
			d.check(v, checkAccount(s))
			if key == "group" {
				c.Group = s
			} else {
				c.User = s
			}
		}
	case "engine":
		c.Engine = d.oneOf(v, key, engines)
	case "network":
		c.Network = d.oneOf(v, key, networks)
	case "resource_limits":
		d.mapping(v, key, limitKeys, func(key string, v node) { d.limit(key, v, &c.Limits) })
	case "mask_stdout":
		d.mapping(v, key, maskKeys, func(key string, v node) { d.mask(key, v, &c.Mask) })
	default:
		*c.list(key) = d.list(v, key, func(item node) (string, bool) {
			s, ok := d.text(item, key+" entry")
			return s, ok && d.check(item, checkEntry(key, s))
		})
	}
}

// list gives the list that a key of the file stands for, nil for any other key.
func (c *Config) list(key string) *[]string {
	switch key {
	case "deny_read":
		return &c.DenyRead
	case "deny_write":
		return &c.DenyWrite
	case "allow_write":
		return &c.AllowWrite
	case "deny_exec":
		return &c.DenyExec
	case "deny_env":
		return &c.DenyEnv
	case "allow_net":
		return &c.AllowNet
	}
	return nil
}

// mapping checks that n is one, with known keys only and each of them once, and hands them out.
func (d *decoder) mapping(n node, name string, known []string, visit func(string, node)) {
	if n.kind == null {
		return
	}
	if n.kind != mapping {
		d.failAt(n, fmt.Sprintf("%s must hold keys, this is %s", name, n.kind), "its keys are "+strings.Join(known, ", "))
		return
	}
	for i, p := range n.pairs {
		if d.enough() {
			return
		}
		if p.key.kind == other {
			d.failAt(p.key, "YAML's merge keys and complex keys have no use here", "write plain `key: value` lines")
			continue
		}
		if !contains(known, p.key.text) || p.key.kind != text {
			d.unknownKey(p.key, name, known)
			continue
		}
		if first := findKey(n.pairs[:i], p.key.text); first != nil {
			d.failAt(p.key, fmt.Sprintf("key %q is here twice", p.key.text),
				fmt.Sprintf("the first is on line %d; put everything under one of them", first.line))
			continue
		}
		visit(p.key.text, p.value)
	}
}

func findKey(pairs []pair, key string) *node {
	for i := range pairs {
		if pairs[i].key.text == key {
			return &pairs[i].key
		}
	}
	return nil
}

func (d *decoder) unknownKey(key node, in string, known []string) {
	where := ""
	if in != "" {
		where = " in " + in
	}
	hint := "known keys: " + strings.Join(known, ", ")
	if near := nearest(key.text, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if home := keyHome(key.text); home != in && home != "-" {
		hint = fmt.Sprintf("%s belongs under %s", key.text, home)
		if home == "" {
			hint = fmt.Sprintf("%s belongs at the top of the file, not indented", key.text)
		}
	}
	d.failAt(key, fmt.Sprintf("unknown key %q%s", key.text, where), hint)
}

// list decodes a list whose items take reads; null is the empty list, so that a list whose entries
// are all commented out denies nothing and, for allow_net, allows nothing.
func (d *decoder) list(n node, key string, take func(node) (string, bool)) []string {
	values := []string{}
	switch n.kind {
	case null:
	case list:
		values = make([]string, 0, len(n.items))
		for _, item := range n.items {
			if d.enough() {
				break
			}
			if s, ok := take(item); ok {
				values = append(values, s)
			}
		}
	case text, integer, float, boolean:
		d.failAt(n, fmt.Sprintf("%s must be a list, this is %s", key, n.kind), fmt.Sprintf("write %s: [%s]", key, quote(n.text)))
	case other:
		d.special(n)
	default:
		d.failAt(n, fmt.Sprintf("%s must be a list, this is %s", key, n.kind), `write one entry a line, each begun with "- "`)
	}
	return values
}

// text takes a scalar that is a text on one line.
func (d *decoder) text(n node, what string) (string, bool) {
	switch {
	case n.kind == text && !n.lines:
		return n.text, true
	case n.kind == text:
		d.failAt(n, fmt.Sprintf("this %s runs over several lines", what), `write it on one line; entries of a list each begin with "- "`)
	case n.kind == integer || n.kind == float || n.kind == boolean:
		d.failAt(n, fmt.Sprintf("%s must be a text, YAML reads this as %s", what, n.kind), "write "+quote(n.text))
	case n.kind == other:
		d.special(n)
	case n.kind == mapping && len(n.pairs) == 1 && n.pairs[0].value.text != "":
		d.failAt(n, fmt.Sprintf("%s must be a text, this is a mapping", what), "write "+quote(n.pairs[0].key.text+":"+n.pairs[0].value.text))
	case n.kind == null:
		d.failAt(n, fmt.Sprintf("%s is empty", what), "write a value, or remove the line")
	default:
		d.failAt(n, fmt.Sprintf("%s must be a text, this is %s", what, n.kind), `if it begins with [ or {, put it in quotes`)
	}
	return "", false
}

// special is YAML such as *.pem (an alias) or !.env (a tag) that was meant as a text.
func (d *decoder) special(n node) {
	if raw := d.at(n.line, n.col); raw != "" && strings.ContainsRune("&*!", rune(raw[0])) {
		msg, hint := unquoted(raw)
		d.failAt(n, msg, hint)
		return
	}
	d.failAt(n, "this YAML has no use here", "write a plain text in quotes")
}

func (d *decoder) oneOf(n node, key string, known []string) string {
	s, ok := d.text(n, key)
	if !ok || contains(known, s) {
		return s
	}
	hint := "known: " + strings.Join(known, ", ")
	if near := nearest(s, known); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	d.failAt(n, fmt.Sprintf("unknown %s %q", key, s), hint)
	return ""
}

func (d *decoder) mask(key string, v node, m *Mask) {
	if key == "presets" {
		m.Presets = d.list(v, key, func(item node) (string, bool) {
			s := d.oneOf(item, "mask preset", MaskPresets())
			return s, s != ""
		})
		return
	}
	if v.kind == null {
		return
	}
	if v.kind != list {
		d.failAt(v, fmt.Sprintf("patterns must be a list, this is %s", v.kind), "begin each pattern with `- regex: \"...\"`")
		return
	}
	for _, item := range v.items {
		d.maskPattern(item, m)
	}
}

func (d *decoder) maskPattern(item node, m *Mask) {
	if item.kind != mapping {
		d.failAt(item, fmt.Sprintf("a mask pattern has keys, this is %s", item.kind), "write `- regex: \"...\"`")
		return
	}
	var p MaskPattern
	var regex, prefix *node
	before := len(d.errs)
	d.mapping(item, "a mask pattern", patternKeys, func(key string, v node) {
		switch key {
		case "regex":
			regex = &v
			if v.kind == text {
				p.Regex = v.text // over several lines is welcome here
			} else {
				d.text(v, key)
			}
		case "show_prefix":
			prefix = &v
			if n, err := strconv.Atoi(v.text); v.kind == integer && err == nil && n >= 0 {
				p.ShowPrefix = n
			} else {
				d.failAt(v, "show_prefix must be a number of bytes, 0 or more", "0 masks the whole match")
			}
		case "case_insensitive":
			if p.CaseInsensitive = v.kind == boolean && strings.EqualFold(v.text, "true"); v.kind != boolean {
				d.failAt(v, fmt.Sprintf("case_insensitive must be true or false, this is %s", v.kind), "write it without quotes")
			}
		}
	})
	if len(d.errs) > before {
		return
	}
	if regex == nil {
		d.failAt(item, "a mask pattern needs a regex", "add `regex: \"...\"`")
		return
	}
	if d.check(*regex, checkRegex(p.Regex)) && (prefix == nil || d.check(*prefix, checkPrefix(p))) && d.check(*regex, d.checkSizes(p)) {
		m.Patterns = append(m.Patterns, p)
	}
}

func (d *decoder) check(n node, wrong *problem) bool {
	if wrong != nil {
		d.failAt(n, wrong.msg, wrong.hint)
	}
	return wrong == nil
}
