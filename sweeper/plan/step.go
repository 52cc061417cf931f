package plan

import (
	"fmt"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// deleteSteps are the partitions that go whole, and the rest by rows.
func (r rule) deleteSteps() []Step {
	steps := r.rowSteps(Delete)
	droppable := r.droppable()
	for i, s := range steps {
		if leaf, ok := droppable[s.Leaf]; ok {
			steps[i] = r.dropStep(leaf, s)
		}
	}
	return steps
}

// rowSteps are the steps by rows: one for a plain table, one for each leaf
// that can hold a due row.
func (r rule) rowSteps(disposition string) []Step {
	if r.table.Kind != catalog.KindPartitioned {
		return []Step{r.rowStep(disposition, nil)}
	}
	period := r.period(disposition)
	var steps []Step
	for i := range r.table.Leaves {
		l := &r.table.Leaves[i]
		if lower, ok := r.instant(l.Lower); ok && r.bounded(*l) && r.later(lower, period).After(r.options.AsOf.Add(Slack)) {
			continue
		}
		steps = append(steps, r.rowStep(disposition, l))
	}
	return steps
}

func (r rule) period(disposition string) policy.Period {
	if disposition == Delete {
		return *r.category.Delete
	}
	return r.category.Redact.After
}

// Grants on the root do not reach the leaves, so a leaf is walked through the
// root.
func (r rule) rowStep(disposition string, leaf *catalog.Leaf) Step {
	w := walk{rule: r, disposition: disposition, leaf: leaf, step: Step{
		Category: r.category.Name, Kind: disposition, Relation: r.table.Text, Root: r.table.OID,
		Walk: WalkBlocks, ByTenant: r.category.Tenant != "",
	}}
	if disposition == Redact {
		w.step.Columns = Redacted(r.category)
	}
	if leaf != nil {
		w.step.Partition, w.step.Leaf = leaf.Text, leaf.OID
	}
	if disposition == Redact && r.keyless() {
		return w.step
	}
	if !r.table.SortedBy(r.start().Name) {
		w.step.Batch = w.batch(bind(3), "t.ctid >= $1::tid AND t.ctid < $2::tid")
		return w.step
	}
	w.step.Walk = WalkStart
	w.step.Batch = w.batch(bind(3), w.between())
	w.step.Part = w.batch(bind(5), w.between()+" AND "+places)
	w.step.First, w.step.Next, w.step.Split = w.first(), w.next(), w.split()
	return w.step
}

// walk is a step by rows that is being built.
type walk struct {
	rule
	disposition string
	leaf        *catalog.Leaf // nil for a plain table
	step        Step
}

// between is the range of starts $1 … $2.
func (w walk) between() string {
	start := w.start()
	return fmt.Sprintf("%[1]s >= $1::%[2]s AND %[1]s < $2::%[2]s", column(start.Name), start.Plain)
}

// inLeaf keeps a statement over the root to the rows of one leaf. The bounds
// say nothing that tableoid does not, but they spare the other leaves.
func (r rule) inLeaf(b *binder, leaf *catalog.Leaf) string {
	if leaf == nil {
		return ""
	}
	sql := " AND t.tableoid = " + b.text(fmt.Sprint(leaf.OID), "oid")
	if !r.bounded(*leaf) {
		return sql
	}
	start := r.start()
	if leaf.Lower != "" {
		sql += fmt.Sprintf(" AND %s >= %s", column(start.Name), b.text(leaf.Lower, start.Plain))
	}
	if leaf.Upper != "" {
		sql += fmt.Sprintf(" AND %s < %s", column(start.Name), b.text(leaf.Upper, start.Plain))
	}
	return sql
}

// bounded tells whether the bounds of a leaf are bounds of the start column.
func (r rule) bounded(leaf catalog.Leaf) bool { return leaf.Direct && ByStart(r.table, r.category) }

// batch is the work and its report in one statement: $3 is the run. The number
// of rows it returns is the one that the report says.
func (w walk) batch(b *binder, within string) Query {
	var action string
	if w.disposition == Delete {
		action = fmt.Sprintf("DELETE FROM %s AS t", w.from())
	} else {
		action = fmt.Sprintf("UPDATE %s AS t SET %s", w.from(), w.assignments(b))
	}
	s := w.step
	tenant, tenants := "NULL::text", "NULL::jsonb"
	if s.ByTenant {
		tenant = column(w.category.Tenant) + "::text"
		tenants = "jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)"
	}
	partition := "NULL"
	if s.Partition != "" {
		partition = b.text(s.Partition, "text")
	}
	return b.query(fmt.Sprintf(`WITH gone AS (%s WHERE %s%s AND %s RETURNING %s AS tenant),
counted AS (SELECT tenant, count(*) AS n FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', %s, %s, %s, %s, $3::uuid, coalesce(sum(n), 0), %s FROM counted RETURNING row_count`,
		action, within, w.inLeaf(b, w.leaf), w.full(b, w.disposition), tenant,
		b.text(s.Kind, "text"), b.text(s.Category, "text"), b.text(s.Relation, "text"), partition, tenants))
}

func (w walk) first() Query {
	b := bind(0)
	start := column(w.start().Name)
	return b.query(fmt.Sprintf("SELECT min(%s)::text FROM %s AS t WHERE %s AND %s > '-infinity'%s",
		start, w.from(), w.early(b, w.period(w.disposition)), start, w.inLeaf(b, w.leaf)))
}

func (w walk) next() Query {
	b := bind(2)
	start := w.start()
	return b.query(fmt.Sprintf("SELECT %[1]s::text FROM %[2]s AS t WHERE %[1]s >= $1::%[3]s AND %[4]s%[5]s ORDER BY %[1]s OFFSET $2 LIMIT 1",
		column(start.Name), w.from(), start.Plain, w.early(b, w.period(w.disposition)), w.inLeaf(b, w.leaf)))
}

func (w walk) split() Query {
	b := bind(5)
	return b.query(fmt.Sprintf(`SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part FROM %s AS t WHERE %s AND %s%s AND %s) s
GROUP BY part ORDER BY part`, w.from(), w.between(), places, w.inLeaf(b, w.leaf), w.goes(b, w.disposition)))
}

// places is the range of a row's place in the heap $4 … $5, both included.
const places = "t.ctid >= $4::tid AND t.ctid <= $5::tid"
