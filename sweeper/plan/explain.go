package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Explanation asks of one row how it stands under one disposition of a category.
// The query's first parameters are the texts of the key, in key order. It finds
// no row, or one: the leaf, whether the category's where selects it, whether its
// period has begun and whether that lies in the future, when it is due by the
// category alone, the tenant's window if that counts, whether it is due, whether there is still something to redact,
// the holds over it, the foreign keys through which it is still referenced, and
// the other categories over the table that keep it, with when they let it go
// (NULL: never, or not begun).
type Explanation struct {
	Category    *Category
	Disposition string
	Query
}

// Explain lists the questions about a row of a table, which may be governed by
// several categories. They come in the order of the categories' names.
func Explain(p *Plan, set policy.Set, cat *catalog.Catalog, table catalog.Name, o Options) []Explanation {
	var all []Explanation
	for _, c := range p.Categories() {
		if c.Table.Name != table {
			continue // of another table
		}
		r := rule{category: c.Policy, table: c.Table, catalog: cat, set: set, others: others(c.Policy, set), options: o}
		if c.Policy.Restrict != nil {
			all = append(all, Explanation{c, Restrict, r.explain(Restrict)})
		}
		if c.Policy.Redact != nil {
			all = append(all, Explanation{c, Redact, r.explain(Redact)})
		}
		if c.Policy.Delete != nil {
			all = append(all, Explanation{c, Delete, r.explain(Delete)})
		}
	}
	slices.SortStableFunc(all, func(a, b Explanation) int { return strings.Compare(a.Category.Policy.Name, b.Category.Policy.Name) })
	return all
}

func (r rule) explain(disposition string) Query {
	key := r.table.Key()
	b := bind(len(key))
	conditions := make([]string, len(key))
	for i, name := range key {
		col, _ := r.table.Column(name)
		conditions[i] = fmt.Sprintf("%s %s $%d::text::%s", column(name), operator(col, "="), i+1, col.Type)
	}
	leaf := "''" // of a plain table tableoid may not be readable
	if r.table.Kind == catalog.KindPartitioned {
		leaf = "t.tableoid::regclass::text"
	}
	pending := "true"
	if disposition == Redact {
		pending = "(" + r.pending(b) + ")"
	}
	k := r.clock(b, r.category)
	return b.query(fmt.Sprintf(`SELECT %s, (%s) IS TRUE, %s, %s, %s, %s, (%s) IS TRUE, (%s) IS TRUE, %s, %s, %s, %s
FROM %s AS t WHERE %s`,
		leaf, r.where(b, r.category), r.ofStart(r.category, "("+k.known()+") IS TRUE"), r.ofStart(r.category, fmt.Sprintf("coalesce(%s > %s, false)", k.name, k.of(r.asOf(b)))),
		r.dueAt(b, r.category, disposition), r.tenantWindow(b, r.category, disposition), r.due(b, r.category, disposition), pending,
		r.heldBy(b, disposition), r.blockedBy(b, disposition), r.keptBy(b, disposition), r.keptUntil(b, disposition),
		r.from(), strings.Join(conditions, " AND ")))
}

// heldBy are the ids of the holds over the row, or over one that would go along.
func (r rule) heldBy(b *binder, disposition string) string {
	var ids []string
	for _, h := range r.holds(b) {
		ids = append(ids, h.ids())
	}
	for _, k := range top(r.kin(disposition)) {
		ids = append(ids, k.heldBy(b, 1, column)...)
	}
	return "ARRAY(SELECT DISTINCT hold_id FROM (" + strings.Join(ids, " UNION ALL ") + ") held ORDER BY 1)::bigint[]"
}

// blockedBy are the foreign keys through which other rows point at the row.
func (r rule) blockedBy(b *binder, disposition string) string {
	var names []string
	if disposition == Delete {
		for i, x := range r.references(b) {
			names = append(names, fmt.Sprintf("CASE WHEN EXISTS (%s) THEN %s END", x, b.text(keyName(r.blocking()[i]), "text")))
		}
	}
	for _, k := range top(r.kin(disposition)) {
		for i, sub := range k.keeps(b, 1, column) {
			names = append(names, fmt.Sprintf("CASE WHEN EXISTS (%s) THEN %s END", sub, b.text(k.kept()[i], "text")))
		}
	}
	return "array_remove(ARRAY[" + strings.Join(names, ", ") + "]::text[], NULL)"
}

// keptBy are the other categories over the table that do not let the row go.
func (r rule) keptBy(b *binder, disposition string) string {
	return r.kept(b, disposition, func(o policy.Category) string { return b.text(o.Name, "text") }) + "::text[]"
}

// keptUntil is when they do, in the same order.
func (r rule) keptUntil(b *binder, disposition string) string {
	return r.kept(b, disposition, func(o policy.Category) string {
		if o.Unlimited {
			return "NULL::timestamptz"
		}
		return r.dueAt(b, o, Delete)
	}) + "::timestamptz[]"
}

func (r rule) kept(b *binder, disposition string, show func(policy.Category) string) string {
	var rows []string
	if disposition == Delete {
		for i, o := range r.others {
			one := r
			one.others = []policy.Category{o}
			rows = append(rows, fmt.Sprintf("SELECT %d AS n, %s AS shown WHERE (%s) IS NOT TRUE", i, show(o), one.agreed(b)))
		}
	}
	if len(rows) == 0 {
		return "ARRAY[]"
	}
	return "ARRAY(SELECT shown FROM (" + strings.Join(rows, " UNION ALL ") + ") kept ORDER BY n)"
}

// ofStart is an expression over the start of a category, wherever that is.
func (r rule) ofStart(c policy.Category, sql string) string {
	if c.Start.From == nil {
		return sql
	}
	return fmt.Sprintf("(SELECT %s FROM %s)", sql, r.picked(c))
}

// dueAt is the instant from which the row is due by a category alone; NULL when
// its period has not begun, or begins beyond what the server can count.
func (r rule) dueAt(b *binder, c policy.Category, disposition string) string {
	k := r.clock(b, c)
	zone, wall := k.zone(), k.wall()
	at := fmt.Sprintf("timezone(%s, %s + %s)", zone, wall, b.text(period(c, disposition).Interval(), "interval"))
	if own := r.ofTenant(b, c, fmt.Sprintf("max(timezone(%s, %s + w.retention))", zone, wall)); own != "" {
		if earliest(c, disposition) {
			at = fmt.Sprintf("LEAST(%s, %s)", at, own)
		} else {
			at = fmt.Sprintf("coalesce(%s, %s)", own, at)
		}
	}
	countable := k.known()
	if k.unit == "" {
		countable += fmt.Sprintf(" AND %s < '200000-01-01'", k.name)
	}
	return r.ofStart(c, fmt.Sprintf("CASE WHEN %s THEN %s END", countable, at))
}

// tenantWindow is the window of the row's tenant as text, where it is the one
// that counts; else NULL.
func (r rule) tenantWindow(b *binder, c policy.Category, disposition string) string {
	own := r.ofTenant(b, c, "max(w.retention)::text")
	if own == "" {
		return "NULL::text"
	}
	if earliest(c, disposition) {
		k := r.clock(b, c)
		earlier := fmt.Sprintf("timezone(%[1]s, %[2]s + w.retention) < timezone(%[1]s, %[2]s + %[3]s)", k.zone(), k.wall(), b.text(period(c, disposition).Interval(), "interval"))
		return r.ofStart(c, r.ofTenant(b, c, fmt.Sprintf("max(w.retention) FILTER (WHERE %s)::text", earlier)))
	}
	return own
}

// ofTenant is an aggregate over the windows of the row's tenant, called w; "":
// the category has no tenants.
func (r rule) ofTenant(b *binder, c policy.Category, aggregate string) string {
	tenant, ok := r.table.Column(c.Tenant)
	if !ok {
		return ""
	}
	windows, name, equal, value := tenantWindows(b, c, tenant)
	return fmt.Sprintf("(SELECT %s FROM %s AND %s %s %s)", aggregate, windows, value, equal, name)
}
