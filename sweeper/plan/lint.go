package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Lint checks policies against the catalogue and returns every problem, each a
// [policy.Error] that points into its file. nil: they fit.
func Lint(set policy.Set, cat *catalog.Catalog) error {
	var problems []*policy.Error
	for _, c := range set.Categories {
		l := linter{set: set, cat: cat, category: c}
		l.run()
		problems = append(problems, l.problems...)
	}
	slices.SortStableFunc(problems, func(a, b *policy.Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	all := make([]error, len(problems))
	for i, p := range problems {
		all[i] = p
	}
	return errors.Join(all...)
}

// linter checks one category.
type linter struct {
	set      policy.Set
	cat      *catalog.Catalog
	category policy.Category
	table    *catalog.Table
	problems []*policy.Error
}

func (l *linter) fail(key, format string, args ...any) {
	l.problems = append(l.problems, l.category.Fail(key, format, args...))
}

func (l *linter) run() {
	c := l.category
	name := catalog.Name{Schema: c.Schema, Relation: c.Relation}
	l.table = l.cat.Tables[name]
	if l.table == nil {
		l.fail("table", "table %s does not exist, or this role may not see its schema; names are case-sensitive here", name)
		return
	}
	if !l.kind() {
		return
	}
	l.identity()
	l.columns()
	if c.Redact != nil {
		l.redaction()
	}
	if c.Delete != nil {
		l.foreignKeys()
	}
	l.partitions()
}

// kind refuses what is not a plain, permanent table whose rows we can see.
func (l *linter) kind() bool {
	t := l.table
	switch {
	case t.Kind == "v", t.Kind == "m", t.Kind == "f":
		l.fail("table", "%s is a %s; policies apply to tables", t.Name, map[string]string{"v": "view", "m": "materialized view", "f": "foreign table"}[t.Kind])
	case t.Kind != catalog.KindTable && t.Kind != catalog.KindPartitioned:
		l.fail("table", "%s is not a table", t.Name)
	case t.IsPartition:
		l.fail("table", "%s is a partition; name the partitioned table", t.Name)
	case t.Persistence == "u":
		l.fail("table", "%s is UNLOGGED: what is deleted from it is not in the write-ahead log and cannot be proved", t.Name)
	case t.Persistence == "t":
		l.fail("table", "%s is a temporary table", t.Name)
	case t.HasChildren:
		l.fail("table", "%s has inheriting tables; only declarative partitions are supported", t.Name)
	case len(t.Rules) > 0:
		l.fail("table", "rule %q on %s could turn a delete into something else", t.Rules[0], t.Name)
	case t.RowSecurity:
		l.fail("table", "row security on %s could hide rows from this role, and hidden rows would be kept in silence; grant it BYPASSRLS or disable row security", t.Name)
	default:
		return true
	}
	return false
}

// identity refuses tables whose deletes the WAL would not name: published,
// they would even make the application's own DELETE fail.
func (l *linter) identity() {
	t := l.table
	mend := fmt.Sprintf("add a primary key, or run: ALTER TABLE %s REPLICA IDENTITY USING INDEX …", t.Name.Quoted())
	switch {
	case t.Kind == catalog.KindPartitioned && len(t.PrimaryKey) == 0:
		l.fail("table", "%s is partitioned and has no primary key, so its partitions have no common replica identity; publishing it would make the application's own DELETE fail: add a primary key to it", t.Name)
	case t.Identity == catalog.IdentityFull && l.anyRedacts():
		l.fail("table", "%s has REPLICA IDENTITY FULL, which puts whole rows into the write-ahead log and forbids column lists; run: ALTER TABLE %s REPLICA IDENTITY DEFAULT;", t.Name, t.Name.Quoted())
	case len(t.Key()) == 0:
		l.fail("table", "%s has no replica identity, so the write-ahead log would not tell which row was deleted, and publishing it would make the application's own DELETE fail; %s", t.Name, mend)
	}
	for _, leaf := range t.Leaves {
		if len(leaf.IdentityColumns) == 0 {
			l.fail("table", "partition %s of %s has no replica identity; publishing it would make the application's own DELETE fail: run ALTER TABLE %s REPLICA IDENTITY DEFAULT;", leaf.Name, t.Name, leaf.Name.Quoted())
		}
	}
}

func (l *linter) anyRedacts() bool {
	return slices.ContainsFunc(l.set.Categories, func(c policy.Category) bool {
		return c.Schema == l.category.Schema && c.Relation == l.category.Relation && c.Redact != nil
	})
}

// columns checks every column that the category names outside redact.
func (l *linter) columns() {
	c := l.category
	if start, ok := l.column("start_from", c.Start.Column); ok && !slices.Contains([]string{"timestamptz", "timestamp", "date"}, start.Base) {
		l.fail("start_from", "column %q of %s is %s; a start is a timestamp with time zone, a timestamp or a date", start.Name, l.table.Name, start.Type)
	}
	if c.Subject != "" {
		l.column("subject", c.Subject)
	}
	if c.Tenant != "" {
		l.column("tenant", c.Tenant)
	}
	for i, w := range c.Where {
		l.column(fmt.Sprintf("where.%d.column", i), w.Column)
	}
}

// column finds a column or fails with the nearest one.
func (l *linter) column(key, name string) (catalog.Column, bool) {
	col, ok := l.table.Column(name)
	if ok {
		return col, true
	}
	names := make([]string, len(l.table.Columns))
	for i, c := range l.table.Columns {
		names[i] = c.Name
	}
	hint := ""
	if near := policy.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	l.fail(key, "column %q does not exist in %s%s", name, l.table.Name, hint)
	return col, false
}

func (l *linter) redaction() {
	for _, r := range l.category.Redact.Columns {
		key := "redact.columns." + r.Column
		col, ok := l.column(key, r.Column)
		if !ok || r.Strategy == policy.Keep {
			continue
		}
		if !l.writable(key, col) {
			continue
		}
		switch r.Strategy {
		case policy.Null:
			if col.NotNull {
				l.fail(key, "column %q of %s is NOT NULL; use zero, {set: …} or {hmac: …}", col.Name, l.table.Name)
			}
		case policy.Zero:
			if zero, _ := zeroOf(col); zero == "" {
				l.fail(key, "column %q of %s is %s, which has no zero; use \"null\" or {set: …}", col.Name, l.table.Name, col.Type)
			} else if col.Base != "bytea" {
				l.constant(key, col)
			}
		case policy.HMAC:
			l.token(key, col, r.Format)
		case policy.SetValue:
			l.constant(key, col)
		}
	}
	for _, s := range l.category.Redact.Set {
		key := "redact.set." + s.Column
		if col, ok := l.column(key, s.Column); ok && l.writable(key, col) {
			l.constant(key, col)
		}
	}
}

// writable refuses columns that a redaction must not touch: the key, the
// clock, generated ones, and what other tables point at.
func (l *linter) writable(key string, col catalog.Column) bool {
	t := l.table
	referenced := slices.ContainsFunc(t.Referencing, func(f catalog.ForeignKey) bool { return slices.Contains(f.Parents, col.Name) })
	switch {
	case slices.Contains(t.Key(), col.Name), slices.Contains(t.PrimaryKey, col.Name):
		l.fail(key, "column %q is part of the key of %s", col.Name, t.Name)
	case col.Name == l.category.Start.Column:
		l.fail(key, "column %q is the start of the retention period; redacting it would move the clock", col.Name)
	case l.read(col.Name) != "":
		l.fail(key, "column %q is read by where of category %q; redacting it would hide the row from that category", col.Name, l.read(col.Name))
	case slices.Contains(t.PartitionKey, col.Name):
		l.fail(key, "column %q is the partition key of %s; changing it would move the row", col.Name, t.Name)
	case col.Generated:
		l.fail(key, "column %q of %s is generated; redact what it is generated from", col.Name, t.Name)
	case referenced:
		l.fail(key, "column %q of %s is referenced by a foreign key", col.Name, t.Name)
	default:
		return true
	}
	return false
}

// read names a category over the same table whose where reads a column.
func (l *linter) read(column string) string {
	for _, c := range l.set.Categories {
		if c.Schema == l.category.Schema && c.Relation == l.category.Relation &&
			slices.ContainsFunc(c.Where, func(w policy.Condition) bool { return w.Column == column }) {
			return c.Name
		}
	}
	return ""
}

// constant refuses the same value for every row of a unique column.
func (l *linter) constant(key string, col catalog.Column) {
	for _, i := range l.table.Indexes {
		if i.Unique && slices.Equal(i.Columns, []string{col.Name}) {
			l.fail(key, "column %q of %s is unique (index %q), and this gives every row the same value; use {hmac: …} or \"null\"", col.Name, l.table.Name, i.Name)
		}
	}
}

func (l *linter) token(key string, col catalog.Column, format string) {
	if col.Category != "S" {
		l.fail(key, "column %q of %s is %s; {hmac: …} needs a text column", col.Name, l.table.Name, col.Type)
		return
	}
	if length := len([]rune(format)) - len("%s") + TokenLength; col.Length > 0 && length > int(col.Length) {
		l.fail(key, "{hmac: …} makes %d characters, and column %q of %s takes %d", length, col.Name, l.table.Name, col.Length)
	}
}

// foreignKeys refuses deletes that would reach, or fail on, tables that the
// policies do not name. A referencing table with a category of its own is
// swept first, and a row that it keeps blocks the row it points at.
func (l *linter) foreignKeys() {
	governed := map[catalog.Name]bool{}
	for _, c := range l.set.Categories {
		if c.Delete != nil && c.Enabled {
			governed[catalog.Name{Schema: c.Schema, Relation: c.Relation}] = true
		}
	}
	for _, fk := range l.table.Referencing {
		switch {
		case fk.OnDelete == "c", fk.OnDelete == "n", fk.OnDelete == "d":
			action := map[string]string{"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}[fk.OnDelete]
			l.fail("table", "foreign key %q of %s is ON DELETE %s: deleting from %s would change rows there that no policy judged; make it ON DELETE RESTRICT and give %s a category of its own",
				fk.Constraint, fk.Table, action, l.table.Name, fk.Table)
		case fk.Table != l.table.Name && !governed[fk.Table]:
			l.fail("table", "foreign key %q of %s keeps every row of %s that it points at, and no category deletes from %s; add one", fk.Constraint, fk.Table, l.table.Name, fk.Table)
		}
	}
	if path := l.cycle(l.table.Name, map[catalog.Name]bool{}); path != nil {
		l.fail("table", "foreign keys form a cycle of tables: %s", strings.Join(path, " → "))
	}
}

// cycle finds a chain of references that leads back to the category's table.
func (l *linter) cycle(at catalog.Name, seen map[catalog.Name]bool) []string {
	t := l.cat.Tables[at]
	if t == nil || seen[at] {
		return nil
	}
	seen[at] = true
	for _, fk := range t.Referencing {
		if fk.Table == at {
			continue // a self-reference is no cycle of tables
		}
		if fk.Table == l.table.Name {
			return []string{at.String(), fk.Table.String()}
		}
		if found := l.cycle(fk.Table, seen); found != nil {
			return append([]string{at.String()}, found...)
		}
	}
	return nil
}

func (l *linter) partitions() {
	if l.category.Partitions == "drop" && !ByStart(l.table, l.category) {
		l.fail("partitions", "%s is not partitioned by RANGE on %q, so no partition can go whole; use partitions: rows", l.table.Name, l.category.Start.Column)
	}
}
