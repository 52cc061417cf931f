package plan

import (
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

var (
	moments  = []string{"timestamptz", "timestamp", "date"}
	integers = []string{"int4", "int8"}
)

// startKey is where the start column stands.
func startKey(c policy.Category) string {
	if _, ok := c.Ats["start_from.column"]; ok {
		return "start_from.column"
	}
	return "start_from"
}

// start checks where the retention of a row begins.
func (l *linter) start() {
	s := l.category.Start
	if s.Column == "" {
		return
	}
	key, t := startKey(l.category), l.table
	if s.From != nil {
		if t = l.events(*s.From); t == nil {
			return
		}
	}
	col, ok := l.columnOf(t, key, s.Column)
	switch {
	case !ok:
	case slices.Contains(integers, col.Base) && s.Unit == "":
		l.fail(key, "column %q of %s is %s, and no unit says what it counts; write {column: %s, unit: s}, or ms or us", col.Name, t.Name, col.Type, col.Name)
	case slices.Contains(moments, col.Base) && s.Unit != "":
		l.fail("start_from.unit", "column %q of %s is %s, which is a time already; remove unit", col.Name, t.Name, col.Type)
	case !slices.Contains(integers, col.Base) && !slices.Contains(moments, col.Base):
		l.fail(key, "column %q of %s is %s; a start is a timestamp with time zone, a timestamp, a date, or an integer or bigint with unit: s, ms or us", col.Name, t.Name, col.Type)
	}
}

// events checks the table that the event of a row stands in, as far as a sweep
// reads it; nil when it cannot be read.
func (l *linter) events(from policy.Elsewhere) *catalog.Table {
	t := l.find("start_from.table", from.Schema, from.Relation)
	if t == nil {
		return nil
	}
	if t.Kind != catalog.KindTable && t.Kind != catalog.KindPartitioned {
		l.fail("start_from.table", "%s is no table; the events of start_from stand in a table", t.Name)
		return nil
	}
	if slices.Contains(t.Hidden, "SELECT") {
		l.fail("start_from.table", "row security on %s could hide events from role %q, and a row whose last event is hidden would go early; give the role BYPASSRLS, or a permissive policy USING (true) and no restrictive one", t.Name, t.Purger)
	}
	for _, m := range from.Match {
		l.match("start_from.match."+m.Other, t, l.table, m)
	}
	return t
}

// starting are the categories whose rows start by an event in the table.
func (l *linter) starting() []policy.Category {
	var found []policy.Category
	for _, c := range l.set.Categories {
		if from := c.Start.From; from != nil && from.Schema == l.table.Name.Schema && from.Relation == l.table.Name.Relation {
			found = append(found, c)
		}
	}
	return found
}

// match checks that a column of one table can be compared with one of another.
// Whether their types go together is for the server to say.
func (l *linter) match(key string, other, own *catalog.Table, m policy.Match) {
	for _, side := range []struct {
		table  *catalog.Table
		column string
	}{{other, m.Other}, {own, m.Own}} {
		if col, ok := l.columnOf(side.table, key, side.column); ok && col.Operators == "" {
			l.fail(key, "column %q of %s is %s, whose values cannot be compared", col.Name, side.table.Name, col.Type)
		}
	}
}
