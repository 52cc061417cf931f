package plan

import (
	"fmt"
	"math"
	"slices"

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
	periods := r.periods(r.category, disposition)
	var steps []Step
	for i := range r.table.Leaves {
		l := &r.table.Leaves[i]
		if lower, ok := r.instant(l.Lower); ok && r.bounded(*l) && !slices.ContainsFunc(periods, func(p policy.Period) bool {
			return !r.later(lower, p).After(r.options.AsOf.Add(Slack))
		}) {
			continue
		}
		steps = append(steps, r.rowStep(disposition, l))
	}
	return steps
}

func (r rule) period(disposition string) policy.Period { return period(r.category, disposition) }

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
	w.step.Same = w.same()
	w.step.Lanes = !r.locks() && !w.fires()
	if r.keyless(disposition) {
		return w.step
	}
	byStart := r.category.Start.From == nil && r.table.SortedBy(r.start().Name)
	locks := r.locks() || ruled(r.table, disposition)
	if locks || r.mayLock() {
		w.step.Lock = w.lock(bindHeld(2), inBlocks)
		if byStart {
			w.step.Lock = w.lock(bindHeld(4), w.between()+" AND "+fmt.Sprintf(places, 3, 4))
		}
		w.step.Taken = w.batch(bindHeld(2), locked, "$2")
		if ruled(r.table, disposition) {
			w.step.Taken, w.step.Report = w.bare(bindHeld(1), locked), w.reportOf(bind(2))
		}
	}
	if byStart {
		w.step.Walk = WalkStart
		w.step.First, w.step.Next, w.step.Split = w.first(), w.next(), w.split()
	}
	switch {
	case locks:
		w.family()
	case byStart:
		w.step.Batch = w.ranged(2, w.between())
		w.step.Part = w.ranged(4, w.between()+" AND "+fmt.Sprintf(places, 3, 4))
	default:
		w.step.Batch = w.ranged(2, inBlocks)
	}
	if !locks && !w.step.ByTenant {
		w.step.Total = w.total()
	}
	if byStart {
		w.step.Heap, w.step.Scattered = w.heap(), w.scattered()
	}
	return w.step
}

// ranged is the work on what lies within, of which params are the parameters. By
// tenant it reports too, and the run is the one behind them; else Total does.
func (w walk) ranged(params int, within string) Query {
	if w.step.ByTenant {
		return w.batch(bindHeld(params+1), within, fmt.Sprintf("$%d", params+1))
	}
	b := bindHeld(params)
	return b.query(w.changes(b, within))
}

// fires tells whether the application's triggers see the rows go. What they write
// they may well write for all rows in one place, where batches would wait for each
// other, or for each other's locks in circles.
func (w walk) fires() bool {
	sees := func(g catalog.Trigger) bool {
		return w.disposition == Delete && g.OnDelete || w.disposition == Redact && g.OnUpdate
	}
	return slices.ContainsFunc(w.table.Triggers, sees) || w.leaf != nil && slices.ContainsFunc(w.leaf.Triggers, sees)
}

// mayLock tells whether rows can be locked without waiting. To lock a row is an
// update to row security, which may let rows be deleted and not be updated.
func (r rule) mayLock() bool { return !slices.Contains(r.table.Hidden, "UPDATE") }

// walk is a step by rows that is being built.
type walk struct {
	rule
	disposition string
	leaf        *catalog.Leaf // nil for a plain table
	step        Step
}

// between is the range of starts $1 … $2, of which the last ends at infinity.
func (w walk) between() string {
	start := w.start()
	if w.category.Start.Unit != "" {
		return fmt.Sprintf("%[1]s >= $1::int8 AND %[1]s < coalesce(nullif($2::text, 'infinity')::int8, %[2]d)", column(start.Name), int64(math.MaxInt64))
	}
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

// same compares definitions. Whoever asks in the transaction of a batch, after its
// work, holds a lock that keeps them from changing until it ends.
func (w walk) same() Query {
	b := bind(0)
	sql := "SELECT " + definition(b, w.table.OID, w.table.Definition)
	if w.leaf != nil {
		// One that is no partition any more, be it by our own doing, has nothing to be purged.
		sql += fmt.Sprintf(" AND (NOT EXISTS (SELECT FROM pg_class WHERE oid = %s AND relispartition) OR %s)",
			b.text(fmt.Sprint(w.leaf.OID), "oid"), definition(b, w.leaf.OID, w.leaf.Definition))
	}
	return b.query(sql)
}

func definition(b *binder, oid uint32, planned int64) string {
	return fmt.Sprintf("%s = %s", catalog.DefinitionSQL(b.text(fmt.Sprint(oid), "oid")), b.text(fmt.Sprint(planned), "int8"))
}

// lock takes the rows of a range that look due, those that it can have at once.
// It returns their places, and how many others it left to whoever has them. The
// rows are judged by the batch that follows, whose snapshot is younger than the
// locks.
func (w walk) lock(b *binder, within string) Query {
	b.once = within == inBlocks
	return b.query(fmt.Sprintf(`WITH wanted AS MATERIALIZED (SELECT t.ctid AS place FROM %[1]s AS t WHERE %[2]s%[3]s AND %[4]s),
taken AS (SELECT t.ctid AS place FROM %[1]s AS t WHERE t.ctid = ANY (ARRAY(SELECT place FROM wanted))%[3]s FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*) FROM wanted) - count(*) FROM taken`,
		w.from(), within, w.inLeaf(b, w.leaf), w.full(b, w.disposition)))
}

// locked are the rows whose places are $1.
const locked = "t.ctid = ANY ($1::text[]::tid[])"

// batch is the work and its report in one statement; run is the parameter of
// the run. The number of rows it returns is the one that the report says.
func (w walk) batch(b *binder, within, run string) Query {
	return b.query(w.report(b, w.work(b, within), run))
}

// bare is the work alone, for a table with a rule that keeps it out of WITH. It
// returns the tenant of each row, which reportOf takes as $1; $2 is the run.
func (w walk) bare(b *binder, within string) Query { return b.query(w.work(b, within)) }

func (w walk) reportOf(b *binder) Query { return b.query(w.report(b, returned, "$2")) }

// returned are the tenants that a statement of its own has returned.
const returned = "SELECT unnest($1::text[]) AS tenant"

// work changes the rows and returns the tenant of each.
func (w walk) work(b *binder, within string) string {
	tenant := "NULL::text"
	if w.step.ByTenant {
		tenant = column(w.category.Tenant) + "::text"
	}
	return fmt.Sprintf("%s RETURNING %s AS tenant", w.changes(b, within), tenant)
}

// changes deletes or redacts what goes of the rows within.
func (w walk) changes(b *binder, within string) string {
	b.once = within == inBlocks || within == locked
	var action string
	if w.disposition == Delete {
		action = fmt.Sprintf("DELETE FROM %s AS t", w.from())
	} else {
		action = fmt.Sprintf("UPDATE %s AS t SET %s", w.from(), w.assignments(b))
		if len(w.kin(Redact)) > 0 { // its own columns may be done, and only rows that belong to it not
			within = and(within, "("+w.pending(b)+")")
		}
	}
	judged := "true" // in this transaction, before what told the start had gone
	if !slices.ContainsFunc(w.kin(w.disposition), w.bears) {
		judged = w.full(b, w.disposition)
	}
	return fmt.Sprintf("%s WHERE %s%s AND %s", action, within, w.inLeaf(b, w.leaf), and(judged, w.alone(b, w.disposition)))
}

// total is the report of so many rows.
func (w walk) total() Query {
	b := bind(2)
	return b.query(fmt.Sprintf(`INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count)
VALUES ('report', %s, %s, %s, %s, $2::uuid, $1::bigint)`, b.text(w.step.Kind, "text"), b.text(w.step.Category, "text"), b.text(w.step.Relation, "text"), w.partition(b)))
}

// partition is the leaf's name as a parameter, or NULL.
func (w walk) partition(b *binder) string {
	if w.step.Partition == "" {
		return "NULL"
	}
	return b.text(w.step.Partition, "text")
}

// report writes down the rows that gone returns.
func (w walk) report(b *binder, gone, run string) string {
	s := w.step
	tenants := "NULL::jsonb"
	if s.ByTenant {
		tenants = "jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)"
	}
	return fmt.Sprintf(`WITH gone AS (%s),
counted AS (SELECT tenant, count(*) AS n FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', %s, %s, %s, %s, %s::uuid, coalesce(sum(n), 0), %s FROM counted RETURNING row_count`,
		gone, b.text(s.Kind, "text"), b.text(s.Category, "text"), b.text(s.Relation, "text"), w.partition(b), run, tenants)
}

// first passes over what is redacted already in one go, through a partial index
// where there is one for it.
func (w walk) first() Query {
	b := bind(0)
	start := column(w.start().Name)
	sql := fmt.Sprintf("SELECT min(%s)::text FROM %s AS t WHERE %s AND %s%s",
		start, w.from(), w.early(b, w.category, w.disposition), w.clock(b, w.category).known(), w.inLeaf(b, w.leaf))
	if w.disposition == Redact {
		sql += " AND " + w.undone(b)
	}
	return b.query(sql)
}

func (w walk) next() Query {
	b := bind(3)
	start := column(w.start().Name)
	// The text is made of the one start that is left, not of those that are passed over.
	return b.query(fmt.Sprintf("SELECT start::text FROM (SELECT %[1]s AS start FROM %[2]s AS t WHERE %[3]s AND %[4]s%[5]s ORDER BY %[1]s OFFSET $3 LIMIT 1) s",
		start, w.from(), w.between(), w.early(b, w.category, w.disposition), w.inLeaf(b, w.leaf)))
}

func (w walk) split() Query {
	b := bind(5)
	return b.query(fmt.Sprintf(`SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part FROM %s AS t WHERE %s AND %s%s AND %s) s
GROUP BY part ORDER BY part`, w.from(), w.between(), fmt.Sprintf(places, 4, 5), w.inLeaf(b, w.leaf), w.goes(b, w.disposition)))
}

// places is the range of a row's place in the heap, both ends included.
const places = "t.ctid >= $%d::tid AND t.ctid <= $%d::tid"
