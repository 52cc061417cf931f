package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// goes is the whole condition under which a row is due for a disposition,
// without what holds or blocks it: inside the policy's where, due, agreed with
// the other categories, and, for a redaction, not redacted yet and not about
// to be deleted anyway.
func (r rule) goes(b *binder, disposition string) string {
	c := r.category
	if disposition == Delete {
		return strings.Join([]string{r.early(b, *c.Delete), r.due(b, c, *c.Delete), r.where(b, c), r.agreed(b)}, " AND ")
	}
	parts := []string{r.early(b, c.Redact.After), r.due(b, c, c.Redact.After), r.where(b, c), "(" + r.pending(b) + ")"}
	if c.Delete != nil {
		parts = append(parts, fmt.Sprintf("NOT (%s AND %s AND NOT %s)", r.due(b, c, *c.Delete), r.agreed(b), any1(r.references())))
	}
	return strings.Join(parts, " AND ")
}

// full is goes, and neither held nor blocked: what stands in each purging
// statement.
func (r rule) full(b *binder, disposition string) string {
	parts := []string{r.goes(b, disposition), notHeld(r.holds(b))}
	if disposition == Delete && len(r.table.Referencing) > 0 {
		parts = append(parts, notHeld(r.references()))
	}
	return strings.Join(parts, " AND ")
}

func (r rule) from() string {
	if r.table.Kind == catalog.KindPartitioned {
		return r.table.Name.Quoted()
	}
	return "ONLY " + r.table.Name.Quoted()
}

// count sorts the rows of the category into its states, first match wins.
func (r rule) count(disposition string) Query {
	b := bind(0)
	blocked := "false"
	if disposition == Delete {
		blocked = any1(r.references())
	}
	// A held row that is due for both dispositions counts under the deletion.
	heldState := "'held'"
	if disposition == Redact && r.category.Delete != nil {
		heldState = fmt.Sprintf("CASE WHEN %s THEN 'counted with the deletion' ELSE 'held' END", r.due(b, r.category, *r.category.Delete))
	}
	start := column(r.start().Name)
	future := fmt.Sprintf("%s > %s", start, r.wallAsOf(b))
	sql := fmt.Sprintf(`SELECT count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), count(*), min(start) FILTER (WHERE state = 'due')%[8]s, %[9]s
FROM (SELECT %[1]s AS start, CASE
    WHEN %[1]s IS NULL OR %[1]s = '-infinity' THEN 'not_started'
    WHEN %[2]s THEN 'future'
    WHEN (%[3]s) IS NOT TRUE THEN 'scheduled'
    WHEN %[4]s THEN %[10]s
    WHEN %[5]s THEN 'blocked'
    ELSE 'due' END AS state
  FROM %[6]s AS t WHERE %[7]s OFFSET 0) s`, // OFFSET 0: else every FILTER computes the state anew
		start, future, r.goes(b, disposition), held(r.holds(b)), blocked, r.from(), r.where(b, r.category), r.instantOf(b), r.cutoff(b, r.period(disposition)), heldState)
	return b.query(sql)
}

// instantOf turns a start into the instant that it is in the policy's zone.
func (r rule) instantOf(b *binder) string {
	if r.start().Base == "timestamptz" {
		return "::timestamptz"
	}
	return "::timestamp AT TIME ZONE " + b.text(r.category.Timezone, "text")
}

// cutoff is as-of less the period, for people; nothing compares with it.
func (r rule) cutoff(b *binder, period policy.Period) string {
	zone := b.text(r.category.Timezone, "text")
	return fmt.Sprintf("timezone(%[1]s, timezone(%[1]s, %[2]s) - %[3]s)", zone, r.asOf(b), b.text(period.Interval(), "interval"))
}

// wallAsOf is the as-of in the type of the start column.
func (r rule) wallAsOf(b *binder) string {
	if r.start().Base == "timestamptz" {
		return r.asOf(b)
	}
	return fmt.Sprintf("timezone(%s, %s)", b.text(r.category.Timezone, "text"), r.asOf(b))
}

// deleteSteps are the partitions that go whole, and the rest by rows.
func (r rule) deleteSteps() []Step {
	if r.table.Kind != catalog.KindPartitioned {
		return r.rowSteps(Delete)
	}
	var steps []Step
	droppable := r.droppable()
	for _, s := range r.rowSteps(Delete) {
		if leaf, ok := droppable[s.Leaf]; ok {
			s = r.dropStep(leaf, s)
		}
		steps = append(steps, s)
	}
	return steps
}

// droppable are the leaves that may go whole. Whether they do is judged again
// under a lock, row by row, by the installed function.
func (r rule) droppable() map[uint32]catalog.Leaf {
	found := map[uint32]catalog.Leaf{}
	if r.category.Partitions == "rows" || len(r.category.Where) > 0 || len(r.others) > 0 || !ByStart(r.table, r.category) || len(r.table.Referencing) > 0 {
		return found
	}
	ranges := 0
	for _, l := range r.table.Leaves {
		if l.Direct && !l.Default {
			ranges++
		}
	}
	for _, l := range r.table.Leaves {
		upper, ok := r.instant(l.Upper)
		if !ok || !l.Direct || l.Default || l.Kind != catalog.KindTable || l.DeleteTriggers || !l.OwnerMember || ranges < 2 {
			continue
		}
		if r.later(upper, *r.category.Delete).After(r.options.AsOf.Add(Slack)) {
			continue
		}
		found[l.OID] = l
		ranges--
	}
	return found
}

// ByStart tells whether a table is partitioned by RANGE on the start column
// alone: only then does a partition's bound say anything about its rows.
func ByStart(t *catalog.Table, c policy.Category) bool {
	return t.Kind == catalog.KindPartitioned && t.Strategy == "r" && slices.Equal(t.PartitionKey, []string{c.Start.Column})
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
		if lower, ok := r.instant(l.Lower); ok && ByStart(r.table, r.category) && r.later(lower, period).After(r.options.AsOf.Add(Slack)) {
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

func (r rule) rowStep(disposition string, leaf *catalog.Leaf) Step {
	s := Step{
		Category: r.category.Name, Kind: disposition, Relation: r.table.Text, Root: r.table.OID,
		Walk: WalkBlocks, ByTenant: r.category.Tenant != "",
	}
	if disposition == Redact {
		s.Columns = Redacted(r.category)
	}
	// Grants on the root do not reach the leaves, so a leaf is walked through
	// the root, and by its start column: a block has no meaning there.
	if leaf != nil {
		s.Partition, s.Leaf = leaf.Text, leaf.OID
		s.Walk = WalkStart
	} else if r.table.IndexedOn(r.start().Name) {
		s.Walk = WalkStart
	}
	s.Batch = r.batch(disposition, s)
	if s.Walk == WalkStart {
		s.First, s.Next = r.first(disposition, s), r.next(disposition, s)
	}
	return s
}

// within bounds a statement to the range $1 … $2 of its walk, and to its leaf.
func (r rule) within(b *binder, s Step) string {
	start := r.start()
	if s.Walk == WalkBlocks {
		return "t.ctid >= $1::tid AND t.ctid < $2::tid"
	}
	bounds := fmt.Sprintf("%[1]s >= $1::%[2]s AND %[1]s < $2::%[2]s", column(start.Name), start.Type)
	return bounds + r.inLeaf(b, s)
}

func (r rule) inLeaf(b *binder, s Step) string {
	if s.Leaf == 0 {
		return ""
	}
	return " AND t.tableoid = " + b.text(fmt.Sprint(s.Leaf), "oid")
}

// batch is the work and its report in one statement: $3 is the run. The number
// of rows it returns is the one that the report says.
func (r rule) batch(disposition string, s Step) Query {
	b := bind(3)
	var action string
	if disposition == Delete {
		action = fmt.Sprintf("DELETE FROM %s AS t", r.from())
	} else {
		action = fmt.Sprintf("UPDATE %s AS t SET %s", r.from(), r.assignments(b))
	}
	tenant, tenants := "NULL::text", "NULL::jsonb"
	if s.ByTenant {
		tenant = column(r.category.Tenant) + "::text"
		tenants = "jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)"
	}
	partition := "NULL"
	if s.Partition != "" {
		partition = b.text(s.Partition, "text")
	}
	return b.query(fmt.Sprintf(`WITH gone AS (%s WHERE %s AND %s RETURNING %s AS tenant),
counted AS (SELECT tenant, count(*) AS n FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', %s, %s, %s, %s, $3::uuid, coalesce(sum(n), 0), %s FROM counted RETURNING row_count`,
		action, r.within(b, s), r.full(b, disposition), tenant,
		b.text(s.Kind, "text"), b.text(s.Category, "text"), b.text(s.Relation, "text"), partition, tenants))
}

func (r rule) first(disposition string, s Step) Query {
	b := bind(0)
	start := column(r.start().Name)
	return b.query(fmt.Sprintf("SELECT min(%s)::text FROM %s AS t WHERE %s AND %s > '-infinity'%s",
		start, r.from(), r.early(b, r.period(disposition)), start, r.inLeaf(b, s)))
}

func (r rule) next(disposition string, s Step) Query {
	b := bind(2)
	start := r.start()
	col := column(start.Name)
	return b.query(fmt.Sprintf("SELECT %[1]s::text FROM %[2]s AS t WHERE %[1]s >= $1::%[3]s AND %[4]s%[5]s ORDER BY %[1]s OFFSET $2 LIMIT 1",
		col, r.from(), start.Type, r.early(b, r.period(disposition)), r.inLeaf(b, s)))
}

func (r rule) dropStep(leaf catalog.Leaf, rows Step) Step {
	s := rows
	s.Kind, s.Walk = DropPartition, WalkPartition
	s.Batch, s.First, s.Next = Query{}, Query{}, Query{}
	s.Rows = &rows
	c := r.category

	s.Probe = r.probe(leaf, rows)

	d := bind(5)
	nullable := func(v string) string {
		if v == "" {
			return "NULL::name"
		}
		return d.text(v, "name")
	}
	s.Drop = d.query(fmt.Sprintf(`SELECT sweeper.drop_partition(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, $2::text, %s, $3::text, $1::uuid, $4::bytea, $5::timestamptz)`,
		d.text(fmt.Sprint(r.table.OID), "oid::regclass"), d.text(fmt.Sprint(leaf.OID), "oid::regclass"), d.text(c.Start.Column, "name"),
		d.text(c.Timezone, "text"), d.text(c.Delete.Interval(), "interval"), r.asOf(d), d.text(c.Manifest, "text"),
		nullable(c.Subject), nullable(c.Tenant), d.text(c.Name, "text"), d.text(c.Basis, "text")))
	return s
}

// probe asks, without a lock, whether every row of the leaf is due and none is
// held. The installed function asks again under the lock.
func (r rule) probe(leaf catalog.Leaf, rows Step) Query {
	b := bind(0)
	start := r.start()
	bounds := []string{"true"}
	if leaf.Lower != "" {
		bounds = append(bounds, fmt.Sprintf("%s >= %s", column(start.Name), b.text(leaf.Lower, start.Type)))
	}
	if leaf.Upper != "" {
		bounds = append(bounds, fmt.Sprintf("%s < %s", column(start.Name), b.text(leaf.Upper, start.Type)))
	}
	return b.query(fmt.Sprintf("SELECT NOT EXISTS (SELECT FROM %s AS t WHERE %s%s AND (%s IS NOT TRUE OR %s))",
		r.from(), strings.Join(bounds, " AND "), r.inLeaf(b, rows), r.due(b, r.category, *r.category.Delete), held(r.holds(b))))
}

// instant reads a bound as the catalogue prints it, as an instant in the
// policy's zone.
func (r rule) instant(bound string) (time.Time, bool) {
	zone, err := time.LoadLocation(r.category.Timezone)
	if err != nil {
		return time.Time{}, false
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05.999999", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, bound, zone); err == nil {
			return t.In(zone), true
		}
	}
	return time.Time{}, false
}

// later adds a period on the wall clock. Where a month is too short it lands
// later than PostgreSQL would: it only chooses what is tried, and Slack covers
// the rest.
func (r rule) later(t time.Time, p policy.Period) time.Time {
	return t.AddDate(p.Years, p.Months, 7*p.Weeks+p.Days)
}
