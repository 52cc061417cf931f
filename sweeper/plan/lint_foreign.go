package plan

import (
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

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
				fk.Constraint, fk.Table, action, l.table.Name, fk.Root)
		case fk.Root != l.table.Name && !governed[fk.Root]:
			l.fail("table", "foreign key %q of %s keeps every row of %s that it points at, and no category deletes from %s; add one", fk.Constraint, fk.Table, l.table.Name, fk.Root)
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
		if fk.Root == at {
			continue // a self-reference is no cycle of tables
		}
		if fk.Root == l.table.Name {
			return []string{at.String(), fk.Root.String()}
		}
		if found := l.cycle(fk.Root, seen); found != nil {
			return append([]string{at.String()}, found...)
		}
	}
	return nil
}
