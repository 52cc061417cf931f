package plan

import (
	"fmt"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// foreignKeys refuses deletes that would reach, or fail on, tables that the
// policies do not name. Rows of a declared child go before the row that they
// point at. A referencing table with a category of its own is swept first, and
// a row that it keeps blocks the row it points at; but a row that comes between
// the look and the delete goes with a cascade, so that such a key has to be a
// child's, or RESTRICT.
func (l *linter) foreignKeys(children []policy.Child) {
	governed := map[catalog.Name]bool{}
	for _, c := range l.set.Categories {
		if c.Delete != nil && c.Enabled {
			governed[catalog.Name{Schema: c.Schema, Relation: c.Relation}] = true
		}
	}
	for _, fk := range l.table.Referencing {
		action := map[string]string{"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}[fk.OnDelete]
		child := declared(children, fk)
		switch {
		case child != nil && goesAlong(child):
		case child != nil && action != "":
			l.fail("table", "foreign key %q of %s is ON DELETE %s, which the rows of %s would not outlast, and its child says %s; make it ON DELETE RESTRICT, or say action: delete or nullify",
				fk.Constraint, fk.Table, action, fk.Root, said(child))
		case child != nil && !governed[fk.Root]:
			l.fail("table", "foreign key %q of %s keeps every row of %s that it points at, and its child says %s; say action: delete or nullify, or give %s a category of its own",
				fk.Constraint, fk.Table, l.table.Name, said(child), fk.Root)
		case child != nil:
		case action != "":
			mend := fmt.Sprintf("declare %s in children, or make it ON DELETE RESTRICT", fk.Root)
			switch {
			case fk.Root == l.table.Name:
				mend = "make it ON DELETE RESTRICT"
			case !governed[fk.Root]:
				mend += fmt.Sprintf(" and give %s a category of its own", fk.Root)
			}
			l.fail("table", "foreign key %q of %s is ON DELETE %s: deleting from %s would change rows there that no policy judged; %s", fk.Constraint, fk.Table, action, l.table.Name, mend)
		case fk.Root != l.table.Name && !governed[fk.Root]:
			l.fail("table", "foreign key %q of %s keeps every row of %s that it points at, and no category deletes from %s; declare it in children, or add one", fk.Constraint, fk.Table, l.table.Name, fk.Root)
		}
	}
}

// declared finds the child whose match has every row that the foreign key has;
// of several the one that goes with the row.
func declared(children []policy.Child, fk catalog.ForeignKey) *policy.Child {
	var found *policy.Child
	for i, c := range children {
		if childName(c) != fk.Root || len(c.Match) == 0 {
			continue
		}
		if !slices.ContainsFunc(c.Match, func(m policy.Match) bool {
			j := slices.Index(fk.Columns, m.Other)
			return j < 0 || fk.Parents[j] != m.Own
		}) && (found == nil || goesAlong(&c)) {
			found = &children[i]
		}
	}
	return found
}

// goesAlong tells that no row of a child is left to point at a row that is
// deleted.
func goesAlong(c *policy.Child) bool {
	return c.On == "delete" && (c.Action == "delete" || c.Action == "nullify")
}

func said(c *policy.Child) string {
	if c.On != "delete" {
		return "on: " + c.On
	}
	return "action: " + c.Action
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
