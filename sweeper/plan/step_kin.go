package plan

import (
	"fmt"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// Kin is a table whose rows go along with the rows of a step, in the same
// transaction and before them.
type Kin struct {
	Relation string
	Of       int    // the index of the kin whose rows they belong to; -1: rows of the step
	Kind     string // delete or redact
	Itself   bool   // its rows have further rows of its own below them

	// Lock locks rows, those that it can have at once. $1, $2 and $3 are the
	// places, leaves and tenants of the rows that they belong to, $4 the most that
	// it may lock, and $5 whether it is to lock only those that no row of their own
	// table points at. It returns their places, leaves and tenants, and how many it
	// left to whoever has them.
	Lock Query

	// Batch is the work and its report: $1, $2 and $3 are what Lock has returned,
	// $4 is the run. It returns how many rows went. Report follows it as that of a
	// [Step] does, and then there is no $4.
	Batch  Query
	Report Query
}

// family builds what goes along with the rows of a step.
func (w *walk) family() {
	all := w.kin(w.disposition)
	if len(all) == 0 {
		return
	}
	b := bind(1)
	with, _ := w.rule.family(b, all, ", t.ctid AS sweeper_place"+w.tenant(), and(locked+w.inLeaf(b, w.leaf), w.full(b, w.disposition)))
	w.step.Judge = b.query(with + `
SELECT coalesce(array_agg(sweeper_place::text), '{}'), coalesce(array_agg(sweeper_tenant), '{}') FROM sweeper_rows
WHERE sweeper_n NOT IN (SELECT sweeper_n FROM sweeper_bad)`)
	index := map[*kin]int{nil: -1}
	for i, k := range all {
		index[k] = i
		next := Kin{Relation: k.table.Text, Of: index[k.up], Kind: k.kind(), Itself: k.itself(), Lock: w.lockKin(k)}
		if ruled(k.table, k.kind()) {
			b, reported := bind(3), bind(2)
			next.Batch, next.Report = b.query(w.workKin(b, k)), reported.query(w.reportKin(reported, k, returned, "$2"))
		} else {
			b := bind(4)
			next.Batch = b.query(w.reportKin(b, k, w.workKin(b, k), "$4"))
		}
		w.step.Kin = append(w.step.Kin, next)
	}
}

// tenant is that of a row, for the reports.
func (w *walk) tenant() string {
	if !w.step.ByTenant {
		return ", NULL::text AS sweeper_tenant"
	}
	return ", " + column(w.category.Tenant) + "::text AS sweeper_tenant"
}

const given = "unnest($1::text[], $2::text[], $3::text[]) AS given(sweeper_place, sweeper_leaf, sweeper_tenant)"

// atGiven is that the row t is at the place that is given. Both are needed: the
// array makes the server look at those places alone.
func atGiven(t *catalog.Table) string {
	at := locked + " AND t.ctid = given.sweeper_place::tid"
	if t.Kind == catalog.KindPartitioned {
		at += " AND t.tableoid = given.sweeper_leaf::oid"
	}
	return at
}

func leafOf(t *catalog.Table) string {
	if t.Kind == catalog.KindPartitioned {
		return "t.tableoid"
	}
	return "0::oid"
}

// lockKin takes rows that belong to the rows given, which are locked.
func (w *walk) lockKin(k *kin) Query {
	b := bind(5)
	from := fmt.Sprintf("%s AS up JOIN %s AS t ON %s", "sweeper_given", k.table.Name.Quoted(), k.matched("t", owned(k.of)))
	ctes := []string{fmt.Sprintf("sweeper_given AS MATERIALIZED (SELECT given.sweeper_tenant%s FROM %s JOIN %s AS t ON %s)", carried(k.of, []*kin{k}), given, k.of.Name.Quoted(), atGiven(k.of))}
	columns := fmt.Sprintf("t.ctid AS place, %s AS leaf, up.sweeper_tenant AS tenant", leafOf(k.table))
	if k.itself() {
		columns += carried(k.table, []*kin{k})
		ctes = append(ctes, fmt.Sprintf("sweeper_tree AS (SELECT %[1]s, up.sweeper_tenant FROM %[2]s\n UNION SELECT %[1]s, up.sweeper_tenant FROM sweeper_tree AS up JOIN %[3]s AS t ON %[4]s)",
			columns, from, k.table.Name.Quoted(), k.matched("t", owned(k.table))))
		from, columns = "sweeper_tree AS t", "t.place, t.leaf, t.tenant"
		pointed := fmt.Sprintf("EXISTS (SELECT FROM %s AS x WHERE %s AND x.ctid <> t.place)", k.table.Name.Quoted(), k.matched("x", func(name string) string { return strings.Replace(owned(k.table)(name), "up.", "t.", 1) }))
		if k.child.Action == "redact" {
			from = fmt.Sprintf("sweeper_tree AS tree JOIN %s AS t ON t.ctid = tree.place AND %s = tree.leaf WHERE %s", k.table.Name.Quoted(), leafOf(k.table), k.pending(b))
			columns = "tree.place, tree.leaf, tree.tenant"
			pointed = "false"
		}
		ctes = append(ctes, fmt.Sprintf("sweeper_wanted AS MATERIALIZED (SELECT %s FROM %s %s NOT ($5::bool AND %s) LIMIT $4::bigint)",
			columns, from, map[bool]string{true: "AND", false: "WHERE"}[k.child.Action == "redact"], pointed))
	} else {
		ctes = append(ctes, fmt.Sprintf("sweeper_wanted AS MATERIALIZED (SELECT %s FROM %s WHERE %s LIMIT CASE WHEN $5::bool IS NOT NULL THEN $4::bigint END)", columns, from, k.pending(b)))
	}
	ctes = append(ctes,
		"sweeper_rows AS MATERIALIZED (SELECT place, leaf, min(tenant) AS tenant FROM sweeper_wanted GROUP BY 1, 2)",
		fmt.Sprintf("sweeper_taken AS (SELECT t.ctid AS place, %s AS leaf FROM %s AS t WHERE t.ctid = ANY (ARRAY(SELECT place FROM sweeper_rows)) FOR UPDATE OF t SKIP LOCKED)", leafOf(k.table), k.table.Name.Quoted()))
	return b.query("WITH RECURSIVE " + strings.Join(ctes, ",\n") + `
SELECT coalesce(array_agg(place::text), '{}'), coalesce(array_agg(leaf::text), '{}'), coalesce(array_agg(tenant), '{}'), (SELECT count(*) FROM sweeper_rows) - count(*)
FROM sweeper_taken JOIN sweeper_rows USING (place, leaf)`)
}

// workKin changes the rows given, as far as nothing keeps them, and returns the
// tenant of each.
func (w *walk) workKin(b *binder, k *kin) string {
	var action string
	switch k.child.Action {
	case "delete":
		action = fmt.Sprintf("DELETE FROM %s AS t USING %s", k.table.Name.Quoted(), given)
	case "redact":
		action = fmt.Sprintf("UPDATE %s AS t SET %s FROM %s", k.table.Name.Quoted(), k.rule.assignments(b), given)
	default:
		var null []string
		for _, name := range k.columns() {
			null = append(null, catalog.Quote(name)+" = NULL")
		}
		action = fmt.Sprintf("UPDATE %s AS t SET %s FROM %s", k.table.Name.Quoted(), strings.Join(null, ", "), given)
	}
	return fmt.Sprintf("%s WHERE %s AND %s RETURNING given.sweeper_tenant AS tenant", action, atGiven(k.table), k.goes(b))
}

// reportKin writes down the rows that gone returns.
func (w *walk) reportKin(b *binder, k *kin, gone, run string) string {
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
	return fmt.Sprintf(`WITH gone AS (%s),
counted AS (SELECT tenant, count(*) AS n FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, run_id, row_count, columns, tenants)
SELECT 'report', %s, %s, %s, %s::uuid, coalesce(sum(n), 0), %s, %s FROM counted RETURNING row_count`,
		gone, b.text(k.kind(), "text"), b.text(w.category.Name, "text"), b.text(k.table.Text, "text"), run, columns, tenants)
}
