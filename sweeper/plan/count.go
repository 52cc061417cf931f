package plan

import (
	"fmt"

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
		return and(r.early(b, *c.Delete), r.due(b, c, *c.Delete), r.where(b, c), r.agreed(b))
	}
	parts := []string{r.early(b, c.Redact.After), r.due(b, c, c.Redact.After), r.where(b, c), "(" + r.pending(b) + ")"}
	if c.Delete != nil {
		// IS NOT TRUE: another category's start may be NULL, and then the row is not about to go.
		parts = append(parts, fmt.Sprintf("(%s AND NOT %s) IS NOT TRUE", r.leaves(b), any1(r.references(b))))
	}
	return and(parts...)
}

// leaves is that the category, and every other one over the table, would let
// the row go.
func (r rule) leaves(b *binder) string {
	return and(r.due(b, r.category, *r.category.Delete), r.agreed(b))
}

// full is goes, and neither held nor blocked: what stands in each purging
// statement.
func (r rule) full(b *binder, disposition string) string {
	parts := []string{r.goes(b, disposition), notHeld(r.holds(b))}
	if disposition == Delete && len(r.table.Referencing) > 0 {
		parts = append(parts, notHeld(r.references(b)))
	}
	return and(parts...)
}

func (r rule) from() string {
	if r.table.Kind == catalog.KindPartitioned {
		return r.table.Name.Quoted()
	}
	return "ONLY " + r.table.Name.Quoted()
}

// count is how the rows of the category are sorted into their states, first
// match wins.
func (r rule) count(disposition string) Count {
	c := Count{Disposition: disposition, Estimate: r.table.Rows}
	b := bind(0)
	c.Cutoff = b.query("SELECT " + r.cutoff(b, r.period(disposition)))
	var spans []span
	spans, c.Whole = r.spans(disposition)
	for _, s := range spans {
		c.Parts = append(c.Parts, Part{Query: r.sort(disposition, s), rule: r, disposition: disposition, span: s})
	}
	if !c.Whole && len(r.category.Where) > 0 {
		c.Middle = r.middle(disposition)
	}
	return c
}

// sort counts the rows of a span by their states.
func (r rule) sort(disposition string, s span) Query {
	b := bind(0)
	switch s.kind {
	case spanWaiting:
		return b.query(fmt.Sprintf("SELECT 0::oid, count(*), 0, 0, 0, 0, 0, NULL::timestamptz FROM %s AS t WHERE %s", r.from(), and(r.inside(b, s), r.where(b, r.category))))
	case spanAhead:
		return b.query(fmt.Sprintf("SELECT 0::oid, 0, count(*), 0, 0, 0, 0, NULL::timestamptz FROM %s AS t WHERE %s", r.from(), and(r.inside(b, s), r.where(b, r.category))))
	}
	blocked := "false"
	if disposition == Delete {
		blocked = any1(r.references(b))
	}
	// A held row that is due for both dispositions counts under the deletion.
	heldState := "'held'"
	if disposition == Redact && r.category.Delete != nil {
		heldState = fmt.Sprintf("CASE WHEN %s THEN 'counted with the deletion' ELSE 'held' END", r.leaves(b))
	}
	start := column(r.start().Name)
	future := fmt.Sprintf("%s > %s", start, r.wallAsOf(b))
	leaf, group, grouped := "0::oid", "0::oid", ""
	if r.table.Kind == catalog.KindPartitioned {
		leaf, group, grouped = "t.tableoid", "leaf", " GROUP BY leaf"
	}
	sql := fmt.Sprintf(`SELECT %[12]s, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')%[8]s
FROM (SELECT %[11]s AS leaf, %[1]s AS start, CASE
    WHEN %[1]s IS NULL OR %[1]s = '-infinity' THEN 'not_started'
    WHEN %[2]s THEN 'future'
    WHEN (%[3]s) IS NOT TRUE THEN 'scheduled'
    WHEN %[4]s THEN %[9]s
    WHEN %[5]s THEN 'blocked'
    ELSE 'due' END AS state
  FROM %[6]s AS t WHERE %[7]s OFFSET 0) s%[10]s`, // OFFSET 0: else every FILTER computes the state anew
		start, future, r.goes(b, disposition), held(r.holds(b)), blocked, r.from(), and(r.inside(b, s), r.where(b, r.category)), r.instantOf(b), heldState, grouped, leaf, group)
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
