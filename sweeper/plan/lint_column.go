package plan

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// columns checks every column that the category names outside redact.
func (l *linter) columns() {
	c := l.category
	l.start()
	if reason := RawReason(c.WhereSQL); reason != "" {
		l.fail("where_sql", "where_sql %s", reason)
	}
	l.scope("subject", c.Subject)
	l.scope("tenant", c.Tenant)
	for i, w := range c.Where {
		if col, ok := l.column(fmt.Sprintf("where.%d.column", i), w.Column); ok {
			l.condition(fmt.Sprintf("where.%d", i), col, w)
		}
	}
	if c.Restrict != nil {
		l.restriction()
	}
	for i, name := range c.BulkFilter {
		key := fmt.Sprintf("bulk_filter.%d", i)
		if col, ok := l.column(key, name); ok && col.Operators == "" {
			l.fail(key, "column %q of %s is %s, whose values cannot be compared, so that bulk_delete cannot filter by it", name, l.table.Name, col.Type)
		}
	}
}

// scope checks a column by which holds find their rows.
func (l *linter) scope(key, name string) {
	if name == "" {
		return
	}
	if col, ok := l.column(key, name); ok && col.Operators == "" {
		l.fail(key, "column %q of %s is %s, whose values cannot be compared, so that no hold would find its rows", name, l.table.Name, col.Type)
	}
}

// column finds a column of the table or fails with the nearest one.
func (l *linter) column(key, name string) (catalog.Column, bool) {
	return l.columnOf(l.table, key, name)
}

func (l *linter) columnOf(t *catalog.Table, key, name string) (catalog.Column, bool) {
	col, ok := t.Column(name)
	if ok {
		return col, true
	}
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	hint := ""
	if near := policy.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	l.fail(key, "column %q does not exist in %s%s", name, t.Name, hint)
	return col, false
}

// condition refuses comparisons that the column's type has not got.
func (l *linter) condition(key string, col catalog.Column, w policy.Condition) {
	switch {
	case w.Op == "is_null", w.Op == "not_null":
		return
	case col.Operators == "":
		l.fail(key+".op", "column %q of %s is %s, whose values cannot be compared; only is_null and not_null apply to it", col.Name, l.table.Name, col.Type)
	case slices.Contains([]string{"lt", "le", "gt", "ge"}, w.Op) && !col.Ordered:
		l.fail(key+".op", "column %q of %s is %s, whose values have no order; %s does not apply to it", col.Name, l.table.Name, col.Type, w.Op)
	}
	for i, v := range w.Values {
		l.value(valueKey(key, w, i), col, v)
	}
}

// valueKey is where the i-th value of a condition stands.
func valueKey(condition string, w policy.Condition, i int) string {
	if w.Op == "in" || w.Op == "not_in" {
		return fmt.Sprintf("%s.value.%d", condition, i)
	}
	return condition + ".value"
}

var (
	moving   = regexp.MustCompile(`(?i)\b(now|today|tomorrow|yesterday)\b`)
	zoneless = regexp.MustCompile(`^\s*\d{4}-\d{2}-\d{2}([ T]\d{2}(:\d{2}(:\d{2}(\.\d*)?)?)?)?\s*$`)
)

// value refuses a value that would be another one than what is written. Whether
// the type takes it is for the server to say.
func (l *linter) value(key string, col catalog.Column, value any) {
	l.timeless(key, col, value)
	if _, fraction := value.(float64); fraction && col.Category == "S" {
		l.fail(key, "column %q of %s is %s, and this is a number, of which 1.50 and 1.5 are the same; quote it, so that it is the text that is written", col.Name, l.table.Name, col.Type)
	}
}

// timeless refuses dates and times that would mean something else at another
// moment, or in another zone than the policy's.
func (l *linter) timeless(key string, col catalog.Column, value any) {
	s, ok := value.(string)
	switch {
	case !ok || col.Category != "D":
	case moving.MatchString(s):
		l.fail(key, "%q means another time at each sweep; write a date", s)
	case col.Base == "timestamptz" && l.category.Timezone != "UTC" && zoneless.MatchString(s):
		l.fail(key, "%q names no time zone; add its offset, as in %q", s, "2026-01-31 00:00:00+01")
	}
}
