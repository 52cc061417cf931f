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
// [policy.Error] that points into its file. nil: they fit. What only the server
// can tell is in [Checks].
func Lint(set policy.Set, cat *catalog.Catalog) error {
	return Join(set, Problems(set, cat))
}

// Problems is [Lint] by category; one that fits is not in it.
func Problems(set policy.Set, cat *catalog.Catalog) map[string][]*policy.Error {
	found := map[string][]*policy.Error{}
	for _, c := range set.Categories {
		l := linter{set: set, cat: cat, category: c}
		l.run()
		if len(l.problems) > 0 {
			found[c.Name] = l.problems
		}
	}
	return found
}

// Join makes one error of problems by category, in the order of the files; nil
// of none.
func Join(set policy.Set, found map[string][]*policy.Error) error {
	var problems []*policy.Error
	for _, c := range set.Categories {
		problems = append(problems, found[c.Name]...)
	}
	all := make([]error, len(problems))
	for i, p := range inOrder(problems) {
		all[i] = p
	}
	return errors.Join(all...)
}

// inOrder sorts by the places in the files.
func inOrder(problems []*policy.Error) []*policy.Error {
	slices.SortStableFunc(problems, func(a, b *policy.Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return problems
}

// linter checks one category, or one of its children: what it does to one
// table.
type linter struct {
	set      policy.Set
	cat      *catalog.Catalog
	category policy.Category
	table    *catalog.Table
	writes   writes
	prefix   string   // of the keys: "" of the category, else "children.0."
	redacts  bool     // a child that goes with a redaction, or one below it
	commands []string // what is done to the table, beside reading it
	problems []*policy.Error
}

func (l *linter) fail(key, format string, args ...any) {
	l.problems = append(l.problems, l.category.Fail(l.prefix+key, format, args...))
}

func (l *linter) run() {
	c := l.category
	l.writes = writesOf(c)
	if c.Delete != nil {
		l.commands = append(l.commands, "DELETE")
	}
	if c.Redact != nil {
		l.commands = append(l.commands, "UPDATE")
	}
	if l.table = l.find("table", c.Schema, c.Relation); l.table == nil || !l.kind() {
		return
	}
	l.identity()
	l.leaves()
	l.columns()
	if c.Redact != nil {
		l.redaction()
		l.contradictions()
	}
	if c.Delete != nil {
		l.foreignKeys(c.Children)
		if path := l.cycle(l.table.Name, map[catalog.Name]bool{}); path != nil {
			l.fail("table", "foreign keys form a cycle of tables: %s", strings.Join(path, " → "))
		}
	}
	l.partitions()
	l.children(c.Children)
}

// find looks for a table that stands under key.
func (l *linter) find(key, schema, relation string) *catalog.Table {
	name := catalog.Name{Schema: schema, Relation: relation}
	t := l.cat.Tables[name]
	if t == nil {
		l.fail(key, "table %s does not exist, or this role may not see its schema; names are case-sensitive here%s", name, l.meant(name))
	}
	return t
}

// partitions refuses whole partitions where none may go whole.
func (l *linter) partitions() {
	c, t := l.category, l.table
	if c.Partitions != "drop" && c.Partitions != "detach" {
		return
	}
	if !ByStart(t, c) {
		l.fail("partitions", "%s is not partitioned by RANGE on %q, so no partition can go whole; use partitions: rows", t.Name, c.Start.Column)
		return
	}
	if c.Partitions == "detach" {
		return
	}
	const skipped = "fires on DELETE, and dropping a partition fires no trigger; use partitions: rows"
	if i := slices.IndexFunc(t.Triggers, func(g catalog.Trigger) bool { return g.OnDelete }); i >= 0 {
		l.fail("partitions", "trigger %q of %s "+skipped, t.Triggers[i].Name, t.Name)
		return
	}
	if i := slices.IndexFunc(t.Rules, func(r catalog.Rule) bool { return r.Command == "DELETE" }); i >= 0 {
		l.fail("partitions", "rule %q of %s "+strings.Replace(skipped, "no trigger", "no rule", 1), t.Rules[i].Name, t.Name)
		return
	}
	for _, leaf := range t.Leaves {
		if i := slices.IndexFunc(leaf.Triggers, func(g catalog.Trigger) bool { return g.OnDelete }); i >= 0 {
			l.fail("partitions", "trigger %q of partition %s "+skipped, leaf.Triggers[i].Name, leaf.Name)
			return
		}
	}
}

// meant is the hint at the table that a name is most likely a slip of: one that
// differs in case, or by little.
func (l *linter) meant(name catalog.Name) string {
	var known []string
	for _, n := range l.cat.Nearby {
		if strings.EqualFold(n.Relation, name.Relation) {
			return fmt.Sprintf("; did you mean %s?", n)
		}
		known = append(known, n.String())
	}
	if near := policy.Nearest(name.String(), known); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
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
	case l.hidden() != "":
		l.fail("table", "row security on %s could hide rows from a %s of role %q, and hidden rows would be kept in silence; give the role BYPASSRLS, or a permissive policy USING (true) and no restrictive one", t.Name, l.hidden(), t.Purger)
	default:
		return l.rules()
	}
	return false
}

// hidden is a command of ours from which row security could hide rows.
func (l *linter) hidden() string {
	for _, command := range l.table.Hidden {
		if command == "SELECT" || slices.Contains(l.commands, command) {
			return command
		}
	}
	return ""
}

// identity refuses tables whose deletes the WAL would not name: published,
// they would even make the application's own DELETE fail.
func (l *linter) identity() {
	t := l.table
	const breaks = "publishing it would make the application's own DELETE fail"
	switch {
	case len(t.Key()) == 0 && t.KeyDeferrable:
		l.fail("table", "the primary key of %s is DEFERRABLE, and such a key is no replica identity; %s: make it NOT DEFERRABLE", t.Name, breaks)
	case t.Kind == catalog.KindPartitioned && len(t.PrimaryKey) == 0:
		l.fail("table", "%s is partitioned and has no primary key, so its partitions have no common replica identity; %s: add a primary key to it", t.Name, breaks)
	case t.Kind == catalog.KindTable && t.Identity == catalog.IdentityFull && l.anyRedacts():
		l.fail("table", "%s has REPLICA IDENTITY FULL, which puts whole rows into the write-ahead log and forbids column lists; run: ALTER TABLE %s REPLICA IDENTITY DEFAULT;", t.Name, t.Name.Quoted())
	case len(t.Key()) == 0:
		mend := fmt.Sprintf("add a primary key, or run: ALTER TABLE %s REPLICA IDENTITY USING INDEX …", t.Name.Quoted())
		if len(t.PrimaryKey) > 0 {
			mend = fmt.Sprintf("run: ALTER TABLE %s REPLICA IDENTITY DEFAULT;", t.Name.Quoted())
		}
		l.fail("table", "%s has no replica identity, so the write-ahead log would not tell which row was deleted, and %s; %s", t.Name, breaks, mend)
	}
}

// leaves refuses a partitioned table for one leaf whose deletes would leave no
// evidence.
func (l *linter) leaves() {
	for _, leaf := range l.table.Leaves {
		switch {
		case leaf.Kind != catalog.KindTable:
			l.fail("table", "partition %s of %s is no ordinary table, so that what is deleted from it is not in the write-ahead log and cannot be proved; detach it", leaf.Name, l.table.Name)
		case leaf.Persistence != "p":
			l.fail("table", "partition %s of %s is UNLOGGED: what is deleted from it is not in the write-ahead log and cannot be proved; run: ALTER TABLE %s SET LOGGED;", leaf.Name, l.table.Name, leaf.Name.Quoted())
		case leaf.Identity == catalog.IdentityFull && l.anyRedacts():
			l.fail("table", "partition %s of %s has REPLICA IDENTITY FULL, which puts whole rows into the write-ahead log; run: ALTER TABLE %s REPLICA IDENTITY DEFAULT;", leaf.Name, l.table.Name, leaf.Name.Quoted())
		case len(leaf.IdentityColumns) == 0 && len(l.table.PrimaryKey) > 0:
			l.fail("table", "partition %s of %s has no replica identity; publishing it would make the application's own DELETE fail: run: ALTER TABLE %s REPLICA IDENTITY DEFAULT;", leaf.Name, l.table.Name, leaf.Name.Quoted())
		}
	}
}

// same are the categories over the table, this one included.
func (l *linter) same() []policy.Category {
	var found []policy.Category
	for _, c := range l.set.Categories {
		if c.Schema == l.table.Name.Schema && c.Relation == l.table.Name.Relation {
			found = append(found, c)
		}
	}
	return found
}

// anyRedacts tells whether anything that the policies say changes rows of the
// table, so that it is in the publication with updates.
func (l *linter) anyRedacts() bool {
	if slices.ContainsFunc(l.same(), func(c policy.Category) bool { return c.Redact != nil }) {
		return true
	}
	found := false
	for _, c := range l.set.Categories {
		descend(c.Children, "", func(child policy.Child, _ string) {
			found = found || childName(child) == l.table.Name && (child.Action == "redact" || child.Action == "nullify")
		})
	}
	return found
}
