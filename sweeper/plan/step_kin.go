package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Kin is a table whose rows go along with the rows of a step, in the same
// transaction and before them.
type Kin struct {
	Relation string
	Of       int    // the index of the kin whose rows they belong to; -1: rows of the step
	Kind     string // delete or redact
	Itself   bool   // its rows have further rows of its own below them

	// Bears tells that rows of the step, or of what goes along with them, have their
	// start in this table. Without it a row has not begun, so that all goes in the
	// batch that the row goes in.
	Bears bool

	// Lock locks rows, those that it can have at once. $1, $2 and $3 are the
	// places, leaves and tenants of the rows that they belong to, $4 the most that
	// it may lock, and $5 whether it is to lock only those that no row of their own
	// table points at. It returns their places, leaves and tenants, and how many it
	// left to whoever has them.
	Lock Query

	// Left finds without locks what Lock would find with $4 NULL, which is no limit:
	// how many rows there are, and their places and leaves where others are below
	// them.
	Left Query

	// Batch is the work and its report: $1, $2 and $3 are what Lock has returned,
	// $4 is the run. It returns how many rows went, and in how many of them there is
	// as much to do as before, since a trigger has brought back what was there. Report
	// follows it as that of a [Step] does: then there is no $4, and Batch returns the
	// tenant of each row, and whether it is such a one.
	Batch  Query
	Report Query
}

// family builds what goes along with the rows of a step.
func (w *walk) family() {
	all := w.kin(w.disposition)
	if len(all) == 0 {
		return
	}
	b := bindHeld(1)
	if slices.ContainsFunc(all, (*kin).itself) {
		b = bind(1) // a lookup for each row of a chain would have the chain read anew for each of them
	}
	columns := ", t.ctid AS sweeper_place, " + w.identity(all) + " AS sweeper_identity" + w.tenant()
	due := func(b *binder) string { return and(locked+w.inLeaf(b, w.leaf), w.full(b, w.disposition)) }
	with, _ := w.rule.family(b, all, columns, due(b))
	w.step.Judge = b.query(with + judged + `
WHERE sweeper_n NOT IN (SELECT sweeper_n FROM sweeper_bad)`)
	b = bindHeld(1)
	w.step.Again = b.query(fmt.Sprintf("WITH sweeper_rows AS (SELECT %s FROM %s AS t WHERE %s)", strings.TrimPrefix(columns, ", "), w.from(), due(b)) + judged)
	below := func(k *kin) bool { return slices.ContainsFunc(all, func(o *kin) bool { return o.rule.bears(k) }) }
	index := map[*kin]int{nil: -1}
	for i, k := range all {
		index[k] = i
		next := Kin{Relation: k.table.Text, Of: index[k.up], Kind: k.kind(), Itself: k.itself(), Bears: w.bears(k) || below(k), Lock: w.lockKin(k), Left: w.leftKin(k)}
		if ruled(k.table, k.kind()) {
			b, reported := bindHeld(3), bind(2)
			next.Batch, next.Report = b.query(w.workKin(b, k)), reported.query(w.reportKin(reported, k, returned, "$2", "0::int8"))
		} else {
			b := bindHeld(4)
			next.Batch = b.query(w.reportKin(b, k, w.workKin(b, k), "$4", "(SELECT count(*) FROM gone WHERE undone)"))
		}
		w.step.Kin = append(w.step.Kin, next)
	}
	switch {
	case slices.ContainsFunc(all, below):
		w.step.Sure = w.step.Judge
	case slices.ContainsFunc(all, w.bears):
		w.step.Sure = w.step.Again
	}
}

// judged is what Judge and Again return. The numbers of holds rise in the order in
// which they are committed: each is given behind the fence.
const judged = `
SELECT coalesce(array_agg(sweeper_place::text), '{}'), coalesce(array_agg(sweeper_tenant), '{}'), coalesce(array_agg(sweeper_identity), '{}'),
  (SELECT coalesce(max(hold_id), 0) FROM sweeper.legal_holds)
FROM sweeper_rows`

// bears tells whether the start of a category over the table lies in that of a
// kin.
func (r rule) bears(k *kin) bool {
	starts := func(c policy.Category) bool { return c.Start.From != nil && r.elsewhere(c) == k.table }
	return starts(r.category) || slices.ContainsFunc(r.others, starts)
}

// identity is a text of a row's key, and of the columns by which others belong to
// it.
func (w *walk) identity(all []*kin) string {
	var parts []string
	add := func(name string) {
		if part := column(name) + "::text"; !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	for _, name := range w.table.Key() {
		add(name)
	}
	for _, k := range top(all) {
		for _, m := range k.child.Match {
			add(m.Own)
		}
	}
	return "ARRAY[" + strings.Join(parts, ", ") + "]::text"
}

// tenant is that of a row, for the reports.
func (w *walk) tenant() string {
	if !w.step.ByTenant {
		return ", NULL::text AS sweeper_tenant"
	}
	return ", " + column(w.category.Tenant) + "::text AS sweeper_tenant"
}

// places of rows of a table, with a tenant of each. Rows are never joined with a
// list of theirs: the server takes it for a short one, and would compare each with
// each.
type register struct {
	table   *catalog.Table
	tenants bool   // they are asked for
	cte     string // of the list, with what is before it
	list    string // a subquery that gives it
}

const (
	given    = "unnest($1::text[], $2::text[], $3::text[]) AS given(place, leaf, tenant)"
	unlisted = " AND ($2::text[] IS NULL OR $3::text[] IS NULL) IS NOT NULL" // always; a parameter has to have a type
)

// listing lists the rows of a table that from gives, under a name.
func (w *walk) listing(t *catalog.Table, name, from string) register {
	l := register{table: t, tenants: w.step.ByTenant}
	if l.tenants || t.Kind == catalog.KindPartitioned {
		l.cte = fmt.Sprintf("%s AS MATERIALIZED (SELECT coalesce(jsonb_object_agg(leaf::text || place::text, tenant), '{}') AS list FROM %s)", name, from)
		l.list = "(SELECT list FROM " + name + ")"
	}
	return l
}

func (l register) key() string { return "(" + leafOf(l.table) + "::text || t.ctid::text)" }

// member is that the row t, whose place is listed for one of the partitions, is
// listed for its own.
func (l register) member() string {
	if l.table.Kind != catalog.KindPartitioned {
		return ""
	}
	return fmt.Sprintf(" AND %s ? %s", l.list, l.key())
}

// tenant is that of the row t.
func (l register) tenant() string {
	if !l.tenants {
		return "NULL::text"
	}
	return fmt.Sprintf("(%s ->> %s)", l.list, l.key())
}

// given are the rows whose places, leaves and tenants are $1, $2 and $3.
func (w *walk) given(t *catalog.Table) register { return w.listing(t, "sweeper_list", given) }

// at is that the row t is one of those.
func (l register) at() string {
	if l.list == "" {
		return locked + unlisted
	}
	return locked + l.member()
}

func leafOf(t *catalog.Table) string {
	if t.Kind == catalog.KindPartitioned {
		return "t.tableoid"
	}
	return "0::oid"
}

// wantedKin are the rows that belong to the rows given, sweeper_wanted.
func (w *walk) wantedKin(b *binder, k *kin) []string {
	ups := w.given(k.of)
	var ctes []string
	if ups.cte != "" {
		ctes = append(ctes, ups.cte)
	}
	ctes = append(ctes, fmt.Sprintf("sweeper_given AS MATERIALIZED (SELECT %s AS sweeper_tenant%s FROM %s AS t WHERE %s)", ups.tenant(), carried(k.of, []*kin{k}), k.of.Name.Quoted(), ups.at()))
	return append(ctes, k.wanted(b)...)
}

// leftKin counts rows that belong to the rows given.
func (w *walk) leftKin(k *kin) Query {
	b := bind(5)
	places, leaves := "'{}'::text[]", "'{}'::text[]"
	if len(k.below) > 0 {
		places, leaves = "coalesce(array_agg(place::text), '{}')", "coalesce(array_agg(leaf::text), '{}')"
	}
	return b.query("WITH RECURSIVE " + strings.Join(w.wantedKin(b, k), ",\n") + fmt.Sprintf("\nSELECT %s, %s, count(*) FROM sweeper_wanted", places, leaves))
}

// lockKin takes rows that belong to the rows given, which are locked.
func (w *walk) lockKin(k *kin) Query {
	b := bind(5)
	ctes := w.wantedKin(b, k)
	ctes = append(ctes, "sweeper_rows AS MATERIALIZED (SELECT place, leaf, min(tenant) AS tenant FROM sweeper_wanted GROUP BY 1, 2)")
	found := w.listing(k.table, "sweeper_found", "sweeper_rows")
	if found.cte != "" {
		ctes = append(ctes, found.cte)
	}
	ctes = append(ctes, fmt.Sprintf("sweeper_taken AS (SELECT t.ctid AS place, %s AS leaf, %s AS tenant FROM %s AS t WHERE t.ctid = ANY (ARRAY(SELECT place FROM sweeper_rows))%s FOR UPDATE OF t SKIP LOCKED)",
		leafOf(k.table), found.tenant(), k.table.Name.Quoted(), found.member()))
	return b.query("WITH RECURSIVE " + strings.Join(ctes, ",\n") + `
SELECT coalesce(array_agg(place::text), '{}'), coalesce(array_agg(leaf::text), '{}'), coalesce(array_agg(tenant), '{}'), (SELECT count(*) FROM sweeper_rows) - count(*)
FROM sweeper_taken`)
}

// wanted are the rows that belong to those of sweeper_given, $4 of them. Of a table
// that points at itself they are all below those, or with $5 the outermost ones.
func (k *kin) wanted(b *binder) []string {
	const (
		some  = "sweeper_wanted AS MATERIALIZED (SELECT %s FROM %s WHERE %s LIMIT $4::bigint)"
		typed = "$5::bool IS NOT NULL" // always
	)
	from := fmt.Sprintf("sweeper_given AS up JOIN %s AS t ON %s", k.table.Name.Quoted(), k.matched("t", owned(k.of)))
	columns := fmt.Sprintf("t.ctid AS place, %s AS leaf, up.sweeper_tenant AS tenant", leafOf(k.table))
	if !k.itself() {
		return []string{fmt.Sprintf(some, columns, from, and(k.pending(b), typed))}
	}
	columns += carried(k.table, []*kin{k})
	tree := fmt.Sprintf("sweeper_tree AS (SELECT %[1]s, up.sweeper_tenant FROM %[2]s\n UNION SELECT %[1]s, up.sweeper_tenant FROM %[3]s)",
		columns, from, k.further("sweeper_tree"))
	if k.child.Action == "redact" {
		from = fmt.Sprintf("sweeper_tree AS tree JOIN %s AS t ON t.ctid = tree.place AND %s = tree.leaf", k.table.Name.Quoted(), leafOf(k.table))
		return []string{tree, fmt.Sprintf(some, "tree.place, tree.leaf, tree.tenant", from, and(k.pending(b), typed))}
	}
	pointed := fmt.Sprintf("EXISTS (SELECT FROM %s AS x WHERE %s AND x.ctid <> t.place)", k.table.Name.Quoted(), k.matched("x", func(name string) string { return strings.Replace(owned(k.table)(name), "up.", "t.", 1) }))
	return []string{tree, fmt.Sprintf(some, "t.place, t.leaf, t.tenant", "sweeper_tree AS t", "NOT ($5::bool AND "+pointed+")")}
}

// workKin changes the rows given, as far as nothing keeps them, and returns the
// tenant of each, whether it is undone, and the partition that it is reported for.
func (w *walk) workKin(b *binder, k *kin) string {
	var action string
	switch k.child.Action {
	case "delete":
		action = fmt.Sprintf("DELETE FROM %s AS t", k.table.Name.Quoted())
	case "redact":
		action = fmt.Sprintf("UPDATE %s AS t SET %s", k.table.Name.Quoted(), k.rule.assignments(b))
	default:
		var null []string
		for _, name := range k.columns() {
			null = append(null, catalog.Quote(name)+" = NULL")
		}
		action = fmt.Sprintf("UPDATE %s AS t SET %s", k.table.Name.Quoted(), strings.Join(null, ", "))
	}
	rows, told := w.given(k.table), k.undone(b)+" AS undone"
	if k.byLeaf() {
		told += ", t.tableoid AS leaf"
	}
	if rows.cte == "" {
		return fmt.Sprintf("%s WHERE %s AND %s RETURNING NULL::text AS tenant, %s", action, rows.at(), k.goes(b), told)
	}
	if k.child.Action != "delete" && rows.tenants { // a row that was updated is in another place
		at := locked + " AND t.ctid = given.place::tid"
		if k.table.Kind == catalog.KindPartitioned {
			at += " AND t.tableoid = given.leaf::oid"
		}
		return fmt.Sprintf("%s FROM %s WHERE %s AND %s RETURNING given.tenant AS tenant, %s", action, given, at, k.goes(b), told)
	}
	// It has no WITH of its own: a rule of the table may keep it out of one.
	rows.list = strings.Replace(rows.list, "FROM sweeper_list", "FROM (SELECT coalesce(jsonb_object_agg(leaf || place, tenant), '{}') AS list FROM "+given+") AS sweeper_list", 1)
	return fmt.Sprintf("%s WHERE %s AND %s RETURNING %s AS tenant, %s", action, rows.at(), k.goes(b), rows.tenant(), told)
}

// undone is that the row t which an update returns is as it was before, as far as
// it matters: a trigger has brought it back. Whom it belonged to is read in the
// same row as the statement has found it.
func (k *kin) undone(b *binder) string {
	switch k.child.Action {
	case "redact":
		return "(" + k.pending(b) + ") IS TRUE"
	case "nullify":
		some, old := make([]string, len(k.child.Match)), []string{k.rule.same()}
		for i, m := range k.child.Match {
			col, _ := k.table.Column(m.Other)
			some[i] = column(m.Other) + " IS NOT NULL"
			old = append(old, fmt.Sprintf("x.%s %s %s", catalog.Quote(m.Other), operator(col, "="), column(m.Other)))
		}
		return fmt.Sprintf("CASE WHEN %s THEN EXISTS (SELECT FROM %s AS x WHERE %s) ELSE false END", and(some...), k.table.Name.Quoted(), and(old...))
	}
	return "false"
}

// byLeaf tells whether each partition has a report of its own. Where a rule keeps
// the statement from reporting, the table has one.
func (k *kin) byLeaf() bool {
	return k.table.Kind == catalog.KindPartitioned && !ruled(k.table, k.kind())
}

// reportKin writes down the rows that gone returns, and returns how many, and
// undone.
func (w *walk) reportKin(b *binder, k *kin, gone, run, undone string) string {
	columns := "NULL::text[]"
	if names := k.columns(); names != nil {
		parts := make([]string, len(names))
		for i, name := range names {
			parts[i] = b.text(name, "text")
		}
		columns = "ARRAY[" + strings.Join(parts, ", ") + "]"
	}
	tenants := "NULL::jsonb"
	if w.step.ByTenant {
		tenants = "jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)"
	}
	partition, leaf := "NULL", "NULL::oid"
	if k.byLeaf() {
		leaf = "leaf"
		partition = "(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = leaf)"
	}
	return fmt.Sprintf(`WITH gone AS (%s),
counted AS (SELECT %s AS leaf, tenant, count(*) AS n FROM gone GROUP BY 1, 2),
reported AS (INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, columns, tenants)
SELECT 'report', %s, %s, %s, %s, %s::uuid, sum(n), %s, %s FROM counted GROUP BY leaf RETURNING row_count)
SELECT coalesce(sum(row_count), 0)::int8, %s FROM reported`,
		gone, leaf, b.text(k.kind(), "text"), b.text(w.category.Name, "text"), b.text(k.table.Text, "text"), partition, run, columns, tenants, undone)
}
