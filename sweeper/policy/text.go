package policy

import (
	"errors"
	"fmt"
	"strings"
)

// maxName is the length of a PostgreSQL name in bytes; the server cuts longer
// ones silently.
const maxName = 63

// text returns the text at path, "" when it is absent or of another type. One
// line, unless several are allowed; no character that a report or a terminal
// would act upon.
func (r *reader) text(path string, e *entry, lines bool) string {
	if e == nil {
		return ""
	}
	s, ok := e.val.value.(string)
	if !ok {
		return ""
	}
	for _, c := range s {
		switch {
		case lines && (c == '\n' || c == '\t'):
		case c == '\n':
			r.fail(path, e.val.at, "%s takes one line", quote(e.key))
			return ""
		case c < ' ', c >= 0x7f && c < 0xa0, c == '\ufeff', direction(c):
			r.fail(path, e.val.at, "%s in %s; remove it", describe(c), quote(e.key))
			return ""
		}
	}
	if s != "" && strings.TrimSpace(s) == "" {
		r.fail(path, e.val.at, "%s is blank; give it a value or remove it", quote(e.key))
	}
	return s
}

// column returns the name of a column that is the value of e.
func (r *reader) column(path string, e *entry) string {
	if e == nil {
		return ""
	}
	s, ok := e.val.value.(string)
	if !ok {
		return ""
	}
	if err := checkName(s, "column"); err != nil {
		r.fail(path, e.val.at, "%v", err)
	}
	return s
}

// columns returns the names of columns that are the value of e.
func (r *reader) columns(path string, e *entry) []string {
	if e == nil {
		return nil
	}
	var all []string
	for i, item := range e.val.items {
		if s, ok := item.value.(string); ok {
			if err := checkName(s, "column"); err != nil {
				r.fail(join(path, fmt.Sprint(i)), item.at, "%v", err)
			}
			all = append(all, s)
		}
	}
	return all
}

// columnKey checks the name of a column that is a key.
func (r *reader) columnKey(path string, e *entry) {
	if err := checkName(e.key, "column"); err != nil {
		r.fail(path, e.at, "%v", err)
	}
}

// checkName tells whether PostgreSQL can know s as it stands.
func checkName(s, what string) error {
	if s == "" {
		return fmt.Errorf("a %s name is missing", what)
	}
	for _, c := range s {
		if hidden(c) {
			return fmt.Errorf("%s in the %s name", describe(c), what)
		}
	}
	if len(s) > maxName {
		return fmt.Errorf("the %s name %s has %d bytes; PostgreSQL names have at most %d", what, quote(s), len(s), maxName)
	}
	return nil
}

// splitTable reads schema.table, each part bare or in double quotes as in SQL.
// Names are taken as they are written: a bare one is not folded to lower case.
func splitTable(s string) (schema, relation string, err error) {
	parts, err := splitNames(s)
	switch {
	case err != nil:
		return "", "", err
	case len(parts) == 1:
		return "", "", fmt.Errorf("write schema and table: %s", quote("public."+s))
	case len(parts) > 2:
		return "", "", fmt.Errorf(`%s has %d parts; write schema.table, and in double quotes a part that holds a dot`, quote(s), len(parts))
	}
	if err := errors.Join(checkName(parts[0], "schema"), checkName(parts[1], "table")); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return "", "", errors.New(first)
	}
	switch parts[0] {
	case "pg_catalog", "information_schema", "pg_toast", "sweeper":
		return "", "", fmt.Errorf("schema %s is protected; policies apply to the application's tables", quote(parts[0]))
	}
	return parts[0], parts[1], nil
}

func splitNames(s string) ([]string, error) {
	var parts []string
	for rest := s; ; {
		var part string
		if strings.HasPrefix(rest, `"`) {
			name, after, ok := unquote(rest[1:])
			if !ok || after != "" && after[0] != '.' {
				return nil, fmt.Errorf(`%s is not a table name; write schema.table, or "schema"."table" with both quotes`, quote(s))
			}
			part, rest = name, after
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
			if strings.ContainsRune(part, '"') || strings.TrimSpace(part) != part {
				return nil, fmt.Errorf(`%s is not a table name; put the whole part in double quotes`, quote(s))
			}
		}
		parts = append(parts, part)
		if rest == "" {
			return parts, nil
		}
		rest = rest[1:]
	}
}

// unquote reads up to the closing quote, with "" for a quote inside.
func unquote(s string) (name, after string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			i++
			b.WriteByte('"')
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", "", false
}
