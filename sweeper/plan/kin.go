package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// kin is a table whose rows go along with rows of another one: a child that the
// policy declares and does not keep.
type kin struct {
	child policy.Child
	table *catalog.Table
	of    *catalog.Table // whose rows they belong to
	up    *kin           // the kin over it; nil: of is the category's table
	rule  rule           // what its own rows are judged by
	below []*kin
	all   []*kin // that go along with the same rows, this one among them

	holders []policy.Category // those over its table, by whose subjects and tenants holds find its rows
}

// kin are the tables whose rows go along with a disposition, each before those
// below it.
func (r rule) kin(disposition string) []*kin {
	var all []*kin
	var visit func(children []policy.Child, of *catalog.Table, up *kin)
	visit = func(children []policy.Child, of *catalog.Table, up *kin) {
		for _, c := range children {
			t := r.catalog.Tables[childName(c)]
			if c.Action == "keep" || up == nil && c.On != disposition || t == nil {
				continue
			}
			k := &kin{child: c, table: t, of: of, up: up}
			k.rule = rule{table: t, catalog: r.catalog, set: r.set, options: r.options, category: policy.Category{
				Name: r.category.Name, Schema: c.Schema, Relation: c.Relation, Timezone: r.category.Timezone, Children: c.Children,
			}}
			if k.itself() { // what is below them goes along as they do
				k.rule.category.Children = append(slices.Clone(c.Children), c)
			}
			if c.Action == "redact" {
				k.rule.category.Redact = &policy.Redact{Columns: c.Columns, Set: c.Set}
			}
			for _, o := range r.set.Categories {
				if o.Schema != c.Schema || o.Relation != c.Relation {
					continue
				}
				k.holders = append(k.holders, o)
				if o.Enabled && c.Action == "delete" && (o.Delete != nil || o.Unlimited) {
					k.rule.others = append(k.rule.others, o)
				}
			}
			if up != nil {
				up.below = append(up.below, k)
			}
			all = append(all, k)
			visit(c.Children, t, k)
		}
	}
	visit(r.category.Children, r.table, nil)
	for _, k := range all {
		k.all = all
	}
	return all
}

// itself tells that the rows point at rows of their own table, and that what
// they go along with has rows of its own to go along with it, and so on.
func (k *kin) itself() bool { return k.table == k.of && k.child.Action != "nullify" }

// kind is what the purge log calls what happens to the rows.
func (k *kin) kind() string {
	if k.child.Action == "delete" {
		return Delete
	}
	return Redact
}

// columns are those that are written; nil: the rows are deleted.
func (k *kin) columns() []string {
	switch k.child.Action {
	case "redact":
		return writes{columns: k.child.Columns, set: k.child.Set}.names()
	case "nullify":
		names := make([]string, len(k.child.Match))
		for i, m := range k.child.Match {
			names[i] = m.Other
		}
		return names
	}
	return nil
}

// ChildColumns are the columns that a child's action writes; nil: it writes none.
func ChildColumns(c policy.Child) []string { return (&kin{child: c}).columns() }

// matched is that a row of the child, called other, belongs to the row whose
// columns own gives.
func (k *kin) matched(other string, own func(column string) string) string {
	parts := make([]string, len(k.child.Match))
	for i, m := range k.child.Match {
		mine, _ := k.of.Column(m.Own)
		theirs, _ := k.table.Column(m.Other)
		parts[i] = fmt.Sprintf("%s.%s %s %s", other, catalog.Quote(m.Other), matching(mine, theirs), own(m.Own))
	}
	return and(parts...)
}

// pending is that there is still something to do to the row t.
func (k *kin) pending(b *binder) string {
	if k.child.Action == "redact" {
		return "(" + k.rule.pending(b) + ")"
	}
	return "true"
}

// held are the shapes of hold that a row t may be under. A hold on the table alone
// needs no category, though a set of policies that would leave it without one is not
// loaded.
func (k *kin) held(b *binder) []hold {
	holders := k.holders
	if len(holders) == 0 {
		holders = []policy.Category{{}}
	}
	var all []hold
	for _, o := range holders {
		for _, h := range k.rule.holdsOf(b, o, fmt.Sprintf("(h.category IS NULL OR h.category = %s)", b.text(o.Name, "text"))) {
			if !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}

// keeper is something that keeps a row which is to go along, and with it the row
// that it belongs to.
type keeper struct {
	name  string
	sql   func(b *binder) string // over the row t
	early bool                   // what it reads goes along too, and may have gone before the row
}

// keepers are the categories over the child's table that keep its rows longer,
// and what still points at them.
func (k *kin) keepers() []keeper {
	if k.child.Action != "delete" {
		return nil
	}
	var all []keeper
	for _, o := range k.rule.others {
		one := k.rule
		one.others = []policy.Category{o}
		all = append(all, keeper{fmt.Sprintf("category %s keeps rows of %s", o.Name, k.table.Name), func(b *binder) string {
			return "(" + one.agreed(b) + ") IS NOT TRUE"
		}, slices.ContainsFunc(k.all, one.bears)})
	}
	for i, fk := range k.rule.blocking() {
		all = append(all, keeper{name: keyName(fk), sql: func(b *binder) string { return "EXISTS (" + k.rule.references(b)[i] + ")" }})
	}
	return all
}

func keyName(fk catalog.ForeignKey) string {
	return fmt.Sprintf("foreign key %q of %s", fk.Constraint, fk.Table)
}

// goes is the condition of a row t that is to go along with one that goes: neither
// held nor kept, and nothing left below it. What keeps a row by a start that goes
// along was asked before, in the same transaction.
func (k *kin) goes(b *binder) string {
	parts := []string{k.pending(b), notHeld(k.held(b))}
	for _, keep := range k.keepers() {
		if !keep.early {
			parts = append(parts, "NOT ("+keep.sql(b)+")")
		}
	}
	for _, below := range k.below {
		parts = append(parts, "NOT EXISTS ("+below.left(b)+")")
	}
	return and(parts...)
}

// left is a subquery of the rows that are still to go along with the row t.
func (k *kin) left(b *binder) string {
	parts := []string{k.matched("x", column)}
	if k.table == k.of {
		parts = append(parts, "NOT ("+k.rule.same()+")")
	}
	if k.child.Action == "redact" {
		parts = append(parts, renamed("x", k.columns(), k.pending(b)))
	}
	return fmt.Sprintf("SELECT FROM %s AS x WHERE %s", k.table.Name.Quoted(), and(parts...))
}

// renamed is a condition over t for a row that has another name here.
func renamed(alias string, columns []string, condition string) string {
	return fmt.Sprintf("(SELECT %s FROM (SELECT %s) AS t)", condition, aliased(alias, columns))
}

// owned gives the names under which the rows of a step up of the family stand in
// a query: raw SQL of a policy names columns without their table.
func owned(t *catalog.Table) func(column string) string {
	return func(name string) string {
		col, _ := t.Column(name)
		return fmt.Sprintf("up.sweeper_%d", col.Number)
	}
}

// carried are the columns of a table t that the matches of kin read, as owned
// names them.
func carried(t *catalog.Table, below []*kin, more ...*kin) string {
	var list strings.Builder
	seen := map[string]bool{}
	for _, k := range slices.Concat(below, more) {
		for _, m := range k.child.Match {
			if col, _ := t.Column(m.Own); !seen[m.Own] {
				seen[m.Own] = true
				fmt.Fprintf(&list, ", %s AS sweeper_%d", column(m.Own), col.Number)
			}
		}
	}
	return list.String()
}

// top are the kin directly under the category's table.
func top(all []*kin) []*kin {
	return slices.DeleteFunc(slices.Clone(all), func(k *kin) bool { return k.up != nil })
}

// family is a query over rows of the category's table, which from and where
// name, and all rows that belong to them: in WITH, the rows themselves as
// sweeper_rows with a number sweeper_n and the columns of more, then those of
// each kin; and what is wrong with them as sweeper_bad: sweeper_n, and 0 for a
// hold, else the number of the keeper from 1 on.
func (r rule) family(b *binder, all []*kin, more, where string) (with string, keepers []keeper) {
	parts := []string{fmt.Sprintf("sweeper_rows AS MATERIALIZED (SELECT row_number() OVER () AS sweeper_n%s%s FROM %s AS t WHERE %s)", carried(r.table, top(all)), more, r.from(), where)}
	name := map[*kin]string{nil: "sweeper_rows"}
	var bad []string
	for i, k := range all {
		name[k] = fmt.Sprintf("sweeper_kin%d", i)
		froms := []string{fmt.Sprintf("%s AS up JOIN %s AS t ON %s", name[k.up], k.table.Name.Quoted(), k.matched("t", owned(k.of)))}
		if k.itself() || len(k.below) > 0 {
			columns := "up.sweeper_n" + carried(k.table, k.below)
			sql := fmt.Sprintf("%s AS (SELECT %s FROM %s)", name[k], columns, froms[0])
			if k.itself() {
				// Those below it of its own table have the same columns.
				columns = "up.sweeper_n" + carried(k.table, k.below, k)
				sql = fmt.Sprintf("%[1]s AS (SELECT %[2]s FROM %[3]s\n UNION SELECT %[2]s FROM %[4]s)",
					name[k], columns, froms[0], k.further(name[k]))
			}
			parts = append(parts, sql)
		}
		if k.itself() {
			froms = append(froms, fmt.Sprintf("%s AS up JOIN %s AS t ON %s", name[k], k.table.Name.Quoted(), k.matched("t", owned(k.table))))
		}
		keeps := k.keepers()
		for _, from := range froms {
			for _, h := range k.held(b) {
				bad = append(bad, fmt.Sprintf("SELECT up.sweeper_n, 0 AS sweeper_why FROM %s WHERE %s", from, and(k.pending(b), h.on())))
			}
			for j, keep := range keeps {
				bad = append(bad, fmt.Sprintf("SELECT up.sweeper_n, %d FROM %s WHERE %s", len(keepers)+j+1, from, keep.sql(b)))
			}
		}
		keepers = append(keepers, keeps...)
	}
	parts = append(parts, "sweeper_bad AS MATERIALIZED ("+strings.Join(bad, "\n UNION ALL ")+")")
	return "WITH RECURSIVE " + strings.Join(parts, ",\n"), keepers
}

// further joins rows of the kin, called up, with those below them in their own
// table. Of a tree it is done for each level: the server takes the rows of one for
// many, and would rather read the whole table each time than find a few through an
// index. OFFSET 0 leaves it no choice; without an index it has none.
func (k *kin) further(up string) string {
	names := k.columns() // and those that the rows below them match
	match := make([]string, len(k.child.Match))
	for i, m := range k.child.Match {
		match[i] = m.Other
		names = append(names, m.Own, m.Other)
	}
	for _, below := range k.below {
		for _, m := range below.child.Match {
			names = append(names, m.Own)
		}
	}
	if !k.table.Led(match...) {
		return fmt.Sprintf("%s AS up JOIN %s AS t ON %s", up, k.table.Name.Quoted(), k.matched("t", owned(k.table)))
	}
	read := "t.ctid"
	if k.table.Kind == catalog.KindPartitioned {
		read += ", t.tableoid"
	}
	return fmt.Sprintf("%s AS up CROSS JOIN LATERAL (SELECT %s, %s FROM %s AS t WHERE %s OFFSET 0) AS t",
		up, read, aliased("t", names), k.table.Name.Quoted(), k.matched("t", owned(k.table)))
}

// keeps are subqueries of rows that keep the row whose columns own gives, by
// what keeps them. Of rows that point at their own table it sees those next to
// the row.
func (k *kin) keeps(b *binder, depth int, own func(column string) string) []string {
	alias := fmt.Sprintf("x%d", depth)
	from := fmt.Sprintf("SELECT FROM %s AS %s WHERE %s", k.table.Name.Quoted(), alias, k.matched(alias, own))
	var all []string
	for _, keep := range k.keepers() {
		all = append(all, from+" AND "+renamed(alias, k.judged(), keep.sql(b)))
	}
	for _, below := range k.below {
		for _, sub := range below.keeps(b, depth+1, func(name string) string { return alias + "." + catalog.Quote(name) }) {
			all = append(all, from+" AND EXISTS ("+sub+")")
		}
	}
	return all
}

// judged are the columns of the child's table that keepers read.
func (k *kin) judged() []string {
	names := slices.Clone(k.table.Key())
	for _, o := range k.rule.others {
		if o.Start.From == nil {
			names = append(names, o.Start.Column)
		} else {
			for _, m := range o.Start.From.Match {
				names = append(names, m.Own)
			}
		}
		for _, w := range o.Where {
			names = append(names, w.Column)
		}
		names = append(names, RawColumns(o, k.table)...)
		if o.Tenant != "" {
			names = append(names, o.Tenant)
		}
	}
	for _, fk := range k.rule.blocking() {
		names = append(names, fk.Parents...)
	}
	return names
}

// kept names what keeps gives, in the same order.
func (k *kin) kept() []string {
	var names []string
	for _, keep := range k.keepers() {
		names = append(names, keep.name)
	}
	for _, below := range k.below {
		names = append(names, below.kept()...)
	}
	return names
}

// heldBy are subqueries of the ids of holds over rows that would go along with
// the row whose columns own gives.
func (k *kin) heldBy(b *binder, depth int, own func(column string) string) []string {
	alias := fmt.Sprintf("x%d", depth)
	from := fmt.Sprintf("FROM %s AS %s", k.table.Name.Quoted(), alias)
	names := slices.Clone(k.table.Key())
	for _, o := range k.holders {
		names = append(names, slices.DeleteFunc([]string{o.Subject, o.Tenant}, func(name string) bool { return name == "" })...)
	}
	var all []string
	for _, h := range k.held(b) {
		all = append(all, fmt.Sprintf("SELECT held.hold_id FROM (SELECT %s %s WHERE %s) AS t CROSS JOIN LATERAL (%s) AS held",
			aliased(alias, names), from, k.matched(alias, own), h.ids()))
	}
	for _, below := range k.below {
		for _, sub := range below.heldBy(b, depth+1, func(name string) string { return alias + "." + catalog.Quote(name) }) {
			all = append(all, fmt.Sprintf("SELECT held.hold_id %s CROSS JOIN LATERAL (%s) AS held WHERE %s", from, sub, k.matched(alias, own)))
		}
	}
	return all
}

// aliased lists columns of a row once.
func aliased(alias string, columns []string) string {
	var parts []string
	for _, c := range columns {
		if part := alias + "." + catalog.Quote(c); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}
