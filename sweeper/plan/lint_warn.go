package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// largeTable is the number of rows from which on reading a whole table for each
// sweep is worth a word.
const largeTable = 100_000

// Warnings names what works and works badly, of policies that [Lint] has
// passed, in the order of the files; of all categories, or of those called only.
func Warnings(set policy.Set, cat *catalog.Catalog, only ...string) []*policy.Error {
	var all []*policy.Error
	for _, c := range set.Categories {
		if len(only) > 0 && !slices.Contains(only, c.Name) {
			continue
		}
		l := linter{set: set, cat: cat, category: c, writes: writesOf(c), table: cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]}
		l.warn()
		all = append(all, l.problems...)
	}
	return inOrder(all)
}

func (l *linter) warn() {
	c := l.category
	l.reachable("table")
	l.triggers(c.Delete != nil, c.Redact != nil)
	if c.Delete != nil {
		l.unindexed()
		l.summary()
	}
	l.clock()
	if c.Redact != nil {
		l.personal("redact")
	}
	descend(c.Children, "", l.warnChild)
}

// warnChild warns of a table that goes along.
func (l *linter) warnChild(c policy.Child, prefix string) {
	k := linter{set: l.set, cat: l.cat, category: l.category, prefix: prefix, writes: writes{c.Columns, c.Set, prefix}, table: l.cat.Tables[childName(c)]}
	k.reachable("table")
	k.triggers(c.Action == "delete", c.Action == "nullify" || c.Action == "redact")
	columns := make([]string, len(c.Match))
	for i, m := range c.Match {
		columns[i] = m.Other
	}
	keyed := slices.ContainsFunc(k.table.References, func(f catalog.ForeignKey) bool {
		return !slices.ContainsFunc(f.Columns, func(name string) bool { return !slices.Contains(columns, name) })
	})
	if !k.table.Led(columns...) && !keyed { // of a foreign key unindexed tells it
		k.fail("table", "no index of %s begins with what its rows are found by, and no foreign key is declared, so that each batch reads that whole table; its owner runs: CREATE INDEX ON %s (%s);",
			k.table.Name, k.table.Name.Quoted(), quoteAll(columns))
	}
	if c.Action == "delete" {
		k.unindexed()
	}
	if c.Action == "redact" {
		k.personal("columns")
	}
	l.problems = append(l.problems, k.problems...)
}

// reachable warns of a table that the purging role may not touch yet.
func (l *linter) reachable(key string) {
	t := l.table
	if t.Purging && !slices.Contains(t.May, "SELECT") {
		l.fail(key, "role %q may not read %s yet; run: sweeper install", t.Purger, t.Name)
	}
}

// triggers names those that have a say in what a sweep does.
func (l *linter) triggers(deletes, updates bool) {
	t := l.table
	const says = "fires when the sweeper works, as role %q: it may keep a row, or keep a copy of it where no policy looks"
	fires := func(g catalog.Trigger) bool { return deletes && g.OnDelete || updates && g.OnUpdate }
	for _, g := range t.Triggers {
		if fires(g) {
			l.fail("table", "trigger %q of %s "+says, g.Name, t.Name, t.Purger)
		}
	}
	named := map[string]bool{} // one for each name: a table may have ten thousand partitions
	for _, leaf := range t.Leaves {
		for _, g := range leaf.Triggers {
			if fires(g) && !named[g.Name] {
				named[g.Name] = true
				l.fail("table", "trigger %q of partition %s "+says, g.Name, leaf.Name, t.Purger)
			}
		}
	}
}

// unindexed names the foreign keys for which every delete reads the whole of
// another table.
func (l *linter) unindexed() {
	for _, fk := range l.table.Referencing {
		if !fk.Indexed {
			l.fail("table", "foreign key %q of %s has no index, so that each delete from %s reads that whole table; its owner runs: CREATE INDEX ON %s (%s);",
				fk.Constraint, fk.Table, l.table.Name, fk.Table.Quoted(), quoteAll(fk.Columns))
		}
	}
}

// summary warns of partitions that are dropped without a trace of each row, where
// the policy wants one. The rows of one that is detached are still there.
func (l *linter) summary() {
	c := l.category
	if c.Evidence == "row" && c.Manifest != "digest" && c.Partitions != "detach" && goesWhole(l.table, c) {
		l.fail("evidence", "a partition of %s that is dropped is one entry of the purge log with manifest: %s, whatever evidence says; say manifest: digest for a commitment to each of its rows, or partitions: rows for an entry to each", l.table.Name, c.Manifest)
	}
}

// clock warns of starts that may be missing, and of those that take long to find.
func (l *linter) clock() {
	s, t := l.category.Start, l.table
	if s.Column == "" {
		return
	}
	key := startKey(l.category)
	if s.From != nil {
		events := l.cat.Tables[catalog.Name{Schema: s.From.Schema, Relation: s.From.Relation}]
		columns := make([]string, len(s.From.Match))
		for i, m := range s.From.Match {
			columns[i] = m.Other
		}
		if events.Purging && !slices.Contains(events.May, "SELECT") {
			l.fail("start_from.table", "role %q may not read %s yet; run: sweeper install", events.Purger, events.Name)
		}
		if !events.Led(columns...) {
			l.fail("start_from.table", "no index of %s begins with what its rows are found by, so that each batch reads that whole table; its owner runs: CREATE INDEX ON %s (%s);",
				events.Name, events.Name.Quoted(), quoteAll(columns))
		}
		return
	}
	col, _ := t.Column(s.Column)
	if !col.NotNull && s.Event == "" { // of an event NULL says that it has not happened
		l.fail(key, "column %q of %s may be NULL, and a row without a start is never purged; make it NOT NULL, or name the event that it is the time of: start_from: {column: %s, event: …}", col.Name, t.Name, col.Name)
	}
	if t.Rows > largeTable && !t.SortedBy(col.Name) {
		l.fail(key, "no index of %s, which has about %d rows, begins with %q, so that each sweep reads the whole table; its owner runs: CREATE INDEX ON %s (%s);",
			t.Name, t.Rows, col.Name, t.Name.Quoted(), catalog.Quote(col.Name))
	}
}

// personal names columns that look like personal data and that the redaction
// says nothing of. What no redaction may touch is left out: keys, what the
// category judges by, what points at another table, what is generated.
func (l *linter) personal(key string) {
	t := l.table
	for _, col := range t.Columns {
		if !LooksPersonal(col) || col.Generated || l.judged(col.Name) != "" || slices.Contains(t.Key(), col.Name) || slices.Contains(t.PrimaryKey, col.Name) ||
			slices.ContainsFunc(t.References, func(f catalog.ForeignKey) bool { return slices.Contains(f.Columns, col.Name) }) ||
			slices.ContainsFunc(l.writes.columns, func(r policy.Redaction) bool { return r.Column == col.Name }) ||
			slices.ContainsFunc(l.writes.set, func(s policy.Assignment) bool { return s.Column == col.Name }) {
			continue
		}
		l.fail(key, "column %q of %s looks like personal data, and the redaction does not name it; redact it, or say keep", col.Name, t.Name)
	}
}

// Appeared warns of a column that has come since the policies were looked at
// last, in a table of a category that redacts and does not name it.
func Appeared(set policy.Set, cat *catalog.Catalog, known map[uint32][]string) []*policy.Error {
	var all []*policy.Error
	for _, c := range set.Categories {
		t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
		before := known[t.OID]
		if c.Redact == nil || len(before) == 0 {
			continue
		}
		for _, col := range t.Columns {
			named := slices.ContainsFunc(c.Redact.Columns, func(r policy.Redaction) bool { return r.Column == col.Name }) ||
				slices.ContainsFunc(c.Redact.Set, func(s policy.Assignment) bool { return s.Column == col.Name })
			if !named && !slices.Contains(before, col.Name) {
				all = append(all, c.Fail("redact", "column %q of %s is new, and the redaction does not name it; redact it, or say keep", col.Name, t.Name))
			}
		}
	}
	return inOrder(all)
}

func quoteAll(names []string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = catalog.Quote(n)
	}
	return strings.Join(parts, ", ")
}

// Endless asks of a category whether no row has -infinity for a start, which is
// none; false for what cannot have it.
func Endless(c policy.Category, t *catalog.Table) (Query, *policy.Error, bool) {
	col, ok := t.Column(c.Start.Column)
	if !ok || c.Start.From != nil || !slices.Contains(moments, col.Base) {
		return Query{}, nil, false
	}
	return Query{SQL: fmt.Sprintf("SELECT NOT EXISTS (SELECT FROM %s AS t WHERE %s = '-infinity')", t.Name.Quoted(), column(col.Name))},
		c.Fail(startKey(c), "rows of %s have -infinity in column %q, which is no start, so that they are never purged; write the time, or NULL", t.Name, col.Name), true
}
