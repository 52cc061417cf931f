package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// word is one token of raw SQL.
type word struct {
	text string // of a name as the catalogue has it: unquoted, lower case where it was not quoted
	kind byte   // n name, q quoted name, l literal, o anything else
}

// words cuts raw SQL as the server does. The reason is why it is refused: what
// would mean something else between parentheses than it does alone, and forms of
// literals that need more care than a predicate is worth.
func words(raw string) (all []word, reason string) {
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case strings.HasPrefix(raw[i:], "--"), strings.HasPrefix(raw[i:], "/*"):
			return nil, "holds a comment"
		case c == ';':
			return nil, "holds a semicolon"
		case c == '$':
			return nil, "holds a $, which would be a parameter or another form of a literal"
		case c == '\\':
			return nil, "holds a backslash outside of a literal"
		case c == '\'' || c == '"':
			text, n := quoted(raw[i:])
			if n == 0 {
				return nil, "holds a quote that does not end"
			}
			kind := byte('l')
			if c == '"' {
				kind = 'q'
			}
			all = append(all, word{text, kind})
			i += n
		case nameByte(c) && (c < '0' || c > '9'):
			n := 1
			for i+n < len(raw) && (nameByte(raw[i+n]) || raw[i+n] >= '0' && raw[i+n] <= '9') {
				n++
			}
			if i+n < len(raw) && (raw[i+n] == '\'' || raw[i+n] == '&') {
				return nil, fmt.Sprintf("holds a literal that begins with %s; write a plain one", raw[i:i+n+1])
			}
			all = append(all, word{strings.ToLower(raw[i : i+n]), 'n'})
			i += n
		default:
			all = append(all, word{raw[i : i+1], 'o'})
			i++
		}
	}
	return all, ""
}

func nameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// quoted reads a literal or a quoted name, in which the quote is doubled, and
// tells how long it is; 0: it does not end.
func quoted(s string) (text string, n int) {
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			continue
		}
		if i+1 < len(s) && s[i+1] == s[0] {
			i++
			continue
		}
		return strings.ReplaceAll(s[1:i], s[:1]+s[:1], s[:1]), i + 1
	}
	return "", 0
}

// RawReason is why the text of where_sql is refused before a server sees it; ""
// it is not. A predicate reads its row and nothing else, so that the row alone
// decides when the server reads it again behind a lock: no subquery.
func RawReason(raw string) string {
	all, reason := words(raw)
	if reason != "" {
		return reason
	}
	for _, w := range all {
		if w.kind == 'n' && slices.Contains([]string{"select", "table", "values"}, w.text) {
			return fmt.Sprintf("holds %q: a condition reads its own row alone, so there is no subquery in it", strings.ToUpper(w.text))
		}
	}
	return ""
}

// RawColumns are the columns of the table that where_sql can mean.
func RawColumns(c policy.Category, t *catalog.Table) []string {
	var found []string
	all, _ := words(c.WhereSQL)
	for _, w := range all {
		if _, ok := t.Column(w.text); ok && w.kind != 'l' && !slices.Contains(found, w.text) {
			found = append(found, w.text)
		}
	}
	return found
}

// RawChecks are the questions about the category's where_sql, which [RawReason]
// has passed. They are for the purging role to ask, or for one that takes its
// place: whoever may do more must not let the server read a text of a policy.
//
// The first has the server plan the condition bare and between parentheses, which
// refuses what ends a parenthesis, columns that are not there or not ours to
// read, and what is no condition. The second builds an index by it on an empty
// temporary table, since an index takes nothing that is not IMMUTABLE, and the
// server notes for an index which functions and operators from outside of
// PostgreSQL it uses.
func RawChecks(c policy.Category, cat *catalog.Catalog) []Check {
	if c.WhereSQL == "" {
		return nil
	}
	t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
	r := rule{category: c, table: t, catalog: cat}
	refusal := c.Fail("where_sql", "where_sql is no condition over the columns of %s that always means the same: it may use operators and IMMUTABLE functions of PostgreSQL itself, and no others", t.Name)
	var columns []string
	for _, name := range RawColumns(c, t) {
		col, _ := t.Column(name)
		columns = append(columns, catalog.Quote(name)+" "+col.Plain)
	}
	return []Check{{
		Query: Query{SQL: "SELECT true"}, Refusal: refusal,
		Setup: []string{
			"SET LOCAL transaction_read_only = on",
			fmt.Sprintf("EXPLAIN SELECT FROM %s AS t WHERE %s", r.from(), c.WhereSQL),
			fmt.Sprintf("EXPLAIN SELECT FROM %s AS t WHERE (%s)", r.from(), c.WhereSQL),
		},
	}, {
		Query: Query{SQL: `SELECT NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = 'pg_temp.sweeper_where'::regclass
	AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass))`}, Refusal: refusal,
		Setup: []string{
			fmt.Sprintf("CREATE TEMPORARY TABLE t (%s) ON COMMIT DROP", strings.Join(columns, ", ")),
			fmt.Sprintf("CREATE INDEX sweeper_where ON pg_temp.t ((1)) WHERE (%s)", c.WhereSQL),
		},
	}}
}
