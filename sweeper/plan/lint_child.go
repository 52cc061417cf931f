package plan

import (
	"fmt"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

func childName(c policy.Child) catalog.Name {
	return catalog.Name{Schema: c.Schema, Relation: c.Relation}
}

// descend visits children and theirs, each with the prefix of its keys.
func descend(children []policy.Child, prefix string, visit func(c policy.Child, prefix string)) {
	for i, c := range children {
		at := fmt.Sprintf("%schildren.%d.", prefix, i)
		visit(c, at)
		descend(c.Children, at, visit)
	}
}

// EachChild visits the children of a category and theirs.
func EachChild(c policy.Category, visit func(child policy.Child, table catalog.Name)) {
	descend(c.Children, "", func(child policy.Child, _ string) { visit(child, childName(child)) })
}

// children checks what goes along with the rows of the table.
func (l *linter) children(children []policy.Child) {
	for i, c := range children {
		k := linter{set: l.set, cat: l.cat, category: l.category, prefix: fmt.Sprintf("%schildren.%d.", l.prefix, i), redacts: l.redacts}
		k.child(c, l.table)
		l.problems = append(l.problems, k.problems...)
	}
}

// child checks one of the tables whose rows belong to rows of parent.
func (l *linter) child(c policy.Child, parent *catalog.Table) {
	switch c.Action {
	case "delete":
		l.commands = []string{"DELETE"}
	case "nullify", "redact":
		l.commands = []string{"UPDATE"}
	}
	if l.table = l.find("table", c.Schema, c.Relation); l.table == nil || !l.kind() {
		return
	}
	if c.Action != "keep" {
		l.identity()
		l.leaves()
	}
	l.starters(c)
	for _, m := range c.Match {
		l.match("match."+m.Other, l.table, parent, m)
		if c.Action == "nullify" {
			l.nullify("match."+m.Other, m.Other)
		}
	}
	if c.Action == "redact" {
		l.writes = writes{c.Columns, c.Set, l.prefix}
		l.redaction()
	}
	if c.Objects != nil {
		if col, ok := l.column("objects.column", c.Objects.Column); ok && !slices.Contains(textTypes, col.Base) {
			l.fail("objects.column", "column %q of %s is %s; the name of an object is a text", col.Name, l.table.Name, col.Type)
		}
	}
	if c.Action == "delete" {
		below := c.Children
		if l.table == parent { // a row's own children of the same table go as it does
			below = append(slices.Clone(below), c)
		}
		l.foreignKeys(below)
	}
	l.children(c.Children)
}

// starters refuses that rows which tell when others start follow a redaction:
// what starts by them stays. Nothing below such a child may touch them either.
func (l *linter) starters(c policy.Child) {
	below := l.redacts
	l.redacts = below || c.On == "redact"
	if !l.redacts || c.Action == "keep" {
		return
	}
	for _, s := range l.starting() {
		of := "the category"
		if s.Name != l.category.Name {
			of = "category " + s.Name
		}
		if below {
			l.fail("table", "%s tells when rows of %s start, and below a child with on: redact that would be taken from rows that stay; use action: keep", l.table.Name, of)
		} else {
			l.fail("on", "%s tells when rows of %s start, and on: redact would take that from rows that stay; use action: keep, or on: delete", l.table.Name, of)
		}
	}
}

// nullify refuses to cut a child off by a column that cannot be NULL.
func (l *linter) nullify(key, name string) {
	col, ok := l.table.Column(name)
	switch {
	case !ok:
	case slices.Contains(l.table.PrimaryKey, name), slices.Contains(l.table.Key(), name):
		l.fail(key, "column %q of %s is part of the key, and action: nullify would make it NULL; use action: delete", name, l.table.Name)
	case col.Generated:
		l.fail(key, "column %q of %s is generated, and action: nullify cannot write it", name, l.table.Name)
	case col.NotNull:
		l.fail(key, "column %q of %s is NOT NULL, and action: nullify would make it NULL; use action: delete", name, l.table.Name)
	}
}

// names are the columns that are written.
func (w writes) names() []string {
	var names []string
	for _, r := range w.columns {
		if r.Strategy != policy.Keep {
			names = append(names, r.Column)
		}
	}
	for _, s := range w.set {
		names = append(names, s.Column)
	}
	return names
}
