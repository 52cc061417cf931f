package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// writes are what a redaction makes of a table's columns.
type writes struct {
	columns []policy.Redaction
	set     []policy.Assignment
	key     string // where they stand: "redact." or "children.0."
}

func writesOf(c policy.Category) writes {
	if c.Redact == nil {
		return writes{}
	}
	return writes{c.Redact.Columns, c.Redact.Set, "redact."}
}

// at is the key under which a column is redacted or set.
func (w writes) at(column string) string {
	if slices.ContainsFunc(w.columns, func(r policy.Redaction) bool { return r.Column == column }) {
		return w.key + "columns." + column
	}
	return w.key + "set." + column
}

// inside is at without the prefix of a child.
func (l *linter) inside(column string) string {
	return strings.TrimPrefix(l.writes.at(column), l.prefix)
}

func (l *linter) redaction() {
	for _, r := range l.writes.columns {
		key := l.inside(r.Column)
		col, ok := l.column(key, r.Column)
		if !ok || r.Strategy == policy.Keep || !l.writable(key, col) {
			continue
		}
		switch r.Strategy {
		case policy.Null:
			l.null(key, col)
			continue
		case policy.Zero:
			if zero, _ := zeroOf(col); zero == "" {
				l.fail(key, "column %q of %s is %s, which has no zero; use \"null\" or {set: …}", col.Name, l.table.Name, col.Type)
			} else if col.Base != "bytea" {
				l.constant(key, col)
			}
		case policy.HMAC:
			l.token(key, col, r.Format)
		case policy.SetValue:
			l.value(key, col, r.Value)
			l.constant(key, col)
		case policy.Truncate, policy.Mask, policy.JSON:
			l.coarse(key, col, r)
		}
		l.pointer(key, col)
	}
	for _, s := range l.writes.set {
		key := l.inside(s.Column)
		if col, ok := l.column(key, s.Column); ok && l.writable(key, col) {
			l.value(key, col, s.Value)
			l.constant(key, col)
			l.pointer(key, col)
		}
	}
}

// coarse refuses a redaction that leaves a part of the value where the type has
// no such part, or where rows that differ now would be the same.
func (l *linter) coarse(key string, col catalog.Column, r policy.Redaction) {
	takes, needs := []string{"json", "jsonb"}, "a json or jsonb column"
	switch r.Strategy {
	case policy.Truncate:
		takes, needs = []string{"date", "timestamp", "timestamptz"}, "a date or a timestamp"
	case policy.Mask:
		takes, needs = textTypes, "a text column"
	}
	switch {
	case !slices.Contains(takes, col.Base):
		l.fail(key, "column %q of %s is %s; {%s: …} needs %s", col.Name, l.table.Name, col.Type, r.Strategy, needs)
	case r.Strategy == policy.Truncate && r.Unit == "hour" && col.Base == "date":
		l.fail(key, "column %q of %s is date, which has no hours; truncate it to day or more", col.Name, l.table.Name)
	default:
		if i := l.unique(col.Name, func(catalog.Index) bool { return true }); i != "" {
			l.fail(key, "column %q of %s is unique (index %q), and {%s: …} gives different rows the same value; use {hmac: …} or \"null\"", col.Name, l.table.Name, i, r.Strategy)
		}
	}
}

// textTypes are the types that hold a text.
var textTypes = []string{"text", "varchar", "bpchar", "citext", "name"}

// writable refuses columns that a redaction must not touch: what names the row,
// what any category over the table judges it by, and what follows from another
// column or is followed by one. A partition key is part of the primary key.
func (l *linter) writable(key string, col catalog.Column) bool {
	t := l.table
	if col.Generated {
		l.fail(key, "column %q of %s is generated; redact what it is generated from", col.Name, t.Name)
		return false
	}
	for _, name := range append([]string{col.Name}, l.made(col.Name)...) {
		why := l.judged(name)
		switch {
		case slices.Contains(t.Key(), name), slices.Contains(t.PrimaryKey, name):
			why = "is part of the key"
		case slices.ContainsFunc(t.Referencing, func(f catalog.ForeignKey) bool { return slices.Contains(f.Parents, name) }):
			why = "is referenced by a foreign key"
		}
		switch {
		case why == "":
		case name == col.Name:
			l.fail(key, "column %q of %s %s", name, t.Name, why)
			return false
		default:
			l.fail(key, "column %q of %s makes the generated column %q, which %s", col.Name, t.Name, name, why)
			return false
		}
	}
	return true
}

// made are the columns generated from one.
func (l *linter) made(name string) []string {
	var found []string
	for _, c := range l.table.Columns {
		if slices.Contains(c.From, name) {
			found = append(found, c.Name)
		}
	}
	return found
}

// judged tells what some category, over the table or over one whose rows start
// by an event in it, judges by a column.
func (l *linter) judged(column string) string {
	for _, c := range l.same() {
		of := ""
		if c.Name != l.category.Name {
			of = " of category " + c.Name
		}
		switch {
		case c.Start.From == nil && c.Start.Column == column:
			return "is the start of the retention period" + of + "; redacting it would move the clock"
		case c.Tenant == column:
			return "is the tenant column" + of + "; without it holds of the tenant would no longer find the row"
		case slices.ContainsFunc(c.Where, func(w policy.Condition) bool { return w.Column == column }):
			return "is read by where" + of + "; redacting it would hide the row from the category"
		case c.Start.From != nil && own(c.Start.From.Match, column):
			return "is what start_from" + of + " finds the row's events by; redacting it would lose the start"
		case slices.ContainsFunc(c.Children, func(child policy.Child) bool { return own(child.Match, column) }):
			return "is what children" + of + " are found by; redacting it would leave them behind"
		}
	}
	for _, c := range l.starting() {
		switch {
		case c.Start.Column == column:
			return "tells when rows of category " + c.Name + " start; redacting it would move their clock"
		case slices.ContainsFunc(c.Start.From.Match, func(m policy.Match) bool { return m.Other == column }):
			return "leads to rows of category " + c.Name + ", which start by it; redacting it would move their clock"
		}
	}
	return ""
}

// own tells whether a match compares a column of the table itself.
func own(match []policy.Match, column string) bool {
	return slices.ContainsFunc(match, func(m policy.Match) bool { return m.Own == column })
}

// null refuses NULL where the table does.
func (l *linter) null(key string, col catalog.Column) {
	if col.NotNull {
		l.fail(key, "column %q of %s is NOT NULL; use zero, {set: …} or {hmac: …}", col.Name, l.table.Name)
		return
	}
	if i := l.unique(col.Name, func(i catalog.Index) bool { return i.NullsNotDistinct }); i != "" {
		l.fail(key, "column %q of %s is unique with NULLS NOT DISTINCT (index %q), so only one row could be NULL; use {hmac: …}", col.Name, l.table.Name, i)
	}
}

// constant refuses the same value for every row of a unique column.
func (l *linter) constant(key string, col catalog.Column) {
	if i := l.unique(col.Name, func(catalog.Index) bool { return true }); i != "" {
		l.fail(key, "column %q of %s is unique (index %q), and this gives every row the same value; use {hmac: …} or \"null\"", col.Name, l.table.Name, i)
	}
}

// unique names a unique index of kind which rows of one value in column could
// violate: one that is left without a key of the table when every column that
// the redaction makes the same is taken out of it. An exclusion constraint is
// one of them: what it keeps apart, equal values never are. Whether an index
// over some rows only has the redacted ones is for [Checks] and [Trials] to ask.
func (l *linter) unique(column string, kind func(catalog.Index) bool) string {
	same := l.writes.constants()
	for _, i := range l.table.Indexes {
		if !i.Unique && !i.Excludes || !kind(i) || !slices.Contains(i.Columns, column) && !slices.Contains(i.Expressions, column) {
			continue
		}
		if slices.ContainsFunc(i.Expressions, func(c string) bool { return !slices.Contains(same, c) }) {
			continue // the rest of an expression may tell the rows apart
		}
		rest := slices.DeleteFunc(slices.Clone(i.Columns), func(c string) bool { return c == "" || slices.Contains(same, c) })
		if !slices.ContainsFunc(l.table.Indexes, func(k catalog.Index) bool {
			return k.Unique && len(k.Expressions) == 0 && !slices.ContainsFunc(k.Columns, func(c string) bool { return !slices.Contains(rest, c) })
		}) {
			return i.Name
		}
	}
	return ""
}

// constants are the columns in which redacted rows may have one value.
func (w writes) constants() []string {
	var names []string
	for _, r := range w.columns {
		if r.Strategy != policy.Keep && r.Strategy != policy.HMAC {
			names = append(names, r.Column)
		}
	}
	for _, s := range w.set {
		names = append(names, s.Column)
	}
	return names
}

// pointer refuses a value that points at no row of another table.
func (l *linter) pointer(key string, col catalog.Column) {
	for _, fk := range l.table.References {
		if slices.Contains(fk.Columns, col.Name) {
			l.fail(key, "column %q of %s points at %s (foreign key %q), where no row has the new value; use \"null\" or keep", col.Name, l.table.Name, fk.Table, fk.Constraint)
			return
		}
	}
}

// token refuses {hmac: …} where it does not fit.
func (l *linter) token(key string, col catalog.Column, format string) {
	if !slices.Contains(textTypes, col.Base) {
		l.fail(key, "column %q of %s is %s; {hmac: …} needs a text column", col.Name, l.table.Name, col.Type)
		return
	}
	if length := len([]rune(format)) - len("%s") + TokenLength; col.Length > 0 && length > int(col.Length) {
		l.fail(key, "{hmac: …} makes %d characters, and column %q of %s takes %d", length, col.Name, l.table.Name, col.Length)
	}
}

// contradictions refuses two categories that would redact the same column of
// the same row to different values: each sweep would undo the other's.
func (l *linter) contradictions() {
	mine := outcomes(l.category)
	for _, c := range l.same() {
		if c.Name >= l.category.Name || c.Redact == nil || !c.Enabled || !l.category.Enabled || disjoint(c, l.category) {
			continue // told once, by the later of the two
		}
		theirs := outcomes(c)
		for _, column := range Redacted(l.category) {
			if other, both := theirs[column]; both && other != mine[column] {
				l.fail(l.inside(column), "category %s redacts column %q of the same rows to another value, so that each sweep would redact them twice; say the same in both, or tell the rows apart by where", c.Name, column)
			}
		}
	}
}

// outcomes are what a redaction makes of each column, in words that are equal
// for equal outcomes.
func outcomes(c policy.Category) map[string]string {
	all := map[string]string{}
	for _, r := range c.Redact.Columns {
		switch r.Strategy {
		case policy.Keep:
		case policy.SetValue:
			all[r.Column] = "set " + text(r.Value)
		default:
			all[r.Column] = fmt.Sprintln(r.Strategy, r.Format, r.Unit, r.KeepLast, r.Paths)
		}
	}
	for _, s := range c.Redact.Set {
		all[s.Column] = "set " + text(s.Value)
	}
	return all
}

// disjoint tells whether no row can be in both categories, as far as eq and in
// on one column show it.
func disjoint(a, b policy.Category) bool {
	for _, x := range a.Where {
		for _, y := range b.Where {
			if x.Column == y.Column && listed(x) && listed(y) && !slices.ContainsFunc(x.Values, func(v any) bool {
				return slices.ContainsFunc(y.Values, func(w any) bool { return strings.EqualFold(text(v), text(w)) })
			}) {
				return true
			}
			if x.Column == y.Column && (x.Op == "is_null" && y.Op != "is_null" || y.Op == "is_null" && x.Op != "is_null") {
				return true
			}
		}
	}
	return false
}

func listed(c policy.Condition) bool { return c.Op == "eq" || c.Op == "in" }
