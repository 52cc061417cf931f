package plan

import (
	"fmt"
	"strings"

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
		return and(r.within(b, c, Delete), r.where(b, c), r.agreed(b))
	}
	if disposition == Restrict {
		return and(r.within(b, c, Restrict), r.where(b, c))
	}
	parts := []string{r.within(b, c, Redact), r.where(b, c)}
	parts = append(parts, r.undone(b))
	if c.Delete != nil {
		// IS NOT TRUE: another category's start may be NULL, and then the row is not about to go.
		blocked := r.references(b)
		for _, k := range top(r.kin(Delete)) {
			blocked = append(blocked, k.keeps(b, 1, column)...)
		}
		parts = append(parts, fmt.Sprintf("(%s AND NOT %s) IS NOT TRUE", r.leaves(b), any1(blocked)))
	}
	return and(parts...)
}

// undone is that something is left to redact: in the row, or in those that belong
// to it.
func (r rule) undone(b *binder) string {
	parts := []string{r.pending(b)}
	for _, k := range top(r.kin(Redact)) {
		parts = append(parts, "EXISTS ("+k.left(b)+")")
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// leaves is that the category, and every other one over the table, would let
// the row go.
func (r rule) leaves(b *binder) string {
	return and(r.due(b, r.category, Delete), r.agreed(b))
}

// full is goes, and neither held nor blocked: what stands in each purging
// statement.
func (r rule) full(b *binder, disposition string) string {
	parts := []string{r.goes(b, disposition), notHeld(r.holds(b))}
	if disposition == Delete && len(r.blocking()) > 0 {
		parts = append(parts, none(r.references(b)))
	}
	return and(parts...)
}

// alone is that nothing is left that has to go along with the row first.
func (r rule) alone(b *binder, disposition string) string {
	parts := []string{}
	for _, k := range top(r.kin(disposition)) {
		parts = append(parts, "NOT EXISTS ("+k.left(b)+")")
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
	c.Cutoff = r.cutoffOf(disposition)
	var spans []span
	spans, c.Whole = r.spans(disposition)
	for _, s := range spans {
		c.Parts = append(c.Parts, Part{Query: r.sort(disposition, s), Family: r.sortFamily(disposition, s), rule: r, disposition: disposition, span: s})
	}
	if !c.Whole && (len(r.category.Where) > 0 || r.category.WhereSQL != "") {
		c.Middle = r.middle(disposition)
	}
	return c
}

// sort counts the rows of a span by their states.
func (r rule) sort(disposition string, s span) Query {
	b := bind(0)
	inside := and(r.inside(b, s), r.where(b, r.category))
	b.once = true
	switch {
	case s.kind == spanWaiting: // none of them has begun
		return b.query(fmt.Sprintf("SELECT 0::oid, count(*), 0, 0, 0, 0, 0, NULL::timestamptz FROM %s AS t WHERE %s", r.from(), inside))
	case s.kind == spanAhead && r.category.Start.Unit == "": // an integer can be no time
		return b.query(fmt.Sprintf("SELECT 0::oid, 0, count(*), 0, 0, 0, 0, NULL::timestamptz FROM %s AS t WHERE %s", r.from(), inside))
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
	k := r.clock(b, r.category)
	from := r.from() + " AS t"
	if r.category.Start.From != nil {
		// A name of its own: raw SQL of the policy names columns without their table.
		from += " CROSS JOIN LATERAL " + r.picked(r.category) + "(sweeper_start)"
		k.name = "event.sweeper_start"
	}
	leaf, group, grouped := "0::oid", "0::oid", ""
	if r.table.Kind == catalog.KindPartitioned {
		leaf, group, grouped = "t.tableoid", "leaf", " GROUP BY leaf"
	}
	sql := fmt.Sprintf(`SELECT %[12]s, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), %[8]s
FROM (SELECT %[11]s AS leaf, %[1]s AS start, CASE
    WHEN (%[13]s) IS NOT TRUE THEN 'not_started'
    WHEN %[1]s > %[2]s THEN 'future'
    WHEN (%[3]s) IS NOT TRUE THEN 'scheduled'
    WHEN %[4]s THEN %[9]s
    WHEN %[5]s THEN 'blocked'
    ELSE 'due' END AS state
  FROM %[6]s WHERE %[7]s OFFSET 0) s%[10]s`, // OFFSET 0: else every FILTER computes the state anew
		k.name, k.of(r.asOf(b)), r.goes(b, disposition), r.heldUnder(b, disposition), blocked, from, inside,
		k.instant("min(start) FILTER (WHERE state = 'due')"), heldState, grouped, leaf, group, k.known())
	return b.query(sql)
}

// heldUnder is that a hold keeps the row from a disposition. None keeps it from
// being hidden.
func (r rule) heldUnder(b *binder, disposition string) string {
	if disposition == Restrict {
		return "false"
	}
	return held(r.holds(b))
}

// sortFamily sorts the due rows of a span anew, by the rows that would go along
// with them.
func (r rule) sortFamily(disposition string, s span) Query {
	all := r.kin(disposition)
	if len(all) == 0 || s.kind == spanWaiting || s.kind == spanAhead && r.category.Start.Unit == "" {
		return Query{}
	}
	b := bind(0)
	leaf := "0::oid"
	if r.table.Kind == catalog.KindPartitioned {
		leaf = "t.tableoid"
	}
	k := r.clock(b, r.category)
	start := r.ofStart(r.category, k.instant(k.name))
	with, keepers := r.family(b, all, fmt.Sprintf(", %s AS sweeper_leaf, %s AS sweeper_start", leaf, start), and(r.inside(b, s), r.full(b, disposition)))
	names := make([]string, len(keepers))
	for i, k := range keepers {
		names[i] = b.text(k.name, "text")
	}
	return b.query(fmt.Sprintf(`%s
SELECT sweeper_leaf, count(*) FILTER (WHERE why = 0), count(*) FILTER (WHERE why > 0), count(*) FILTER (WHERE why IS NULL), min(sweeper_start) FILTER (WHERE why IS NULL),
  ARRAY[%s]::text[], ARRAY(SELECT count(DISTINCT sweeper_n) FILTER (WHERE sweeper_why = keeper) FROM generate_series(1, %d) keeper LEFT JOIN sweeper_bad ON true GROUP BY keeper ORDER BY keeper)
FROM sweeper_rows LEFT JOIN (SELECT sweeper_n, min(sweeper_why) AS why FROM sweeper_bad GROUP BY 1) AS bad USING (sweeper_n) GROUP BY 1`,
		with, strings.Join(names, ", "), len(names)))
}

// cutoff is as-of less the period, for people; nothing compares with it.
func (r rule) cutoff(b *binder, period policy.Period) string {
	zone := b.text(r.category.Timezone, "text")
	return fmt.Sprintf("timezone(%[1]s, timezone(%[1]s, %[2]s) - %[3]s)", zone, r.asOf(b), b.text(period.Interval(), "interval"))
}

func (r rule) cutoffOf(disposition string) Query {
	b := bind(0)
	return b.query("SELECT " + r.cutoff(b, r.period(disposition)))
}
