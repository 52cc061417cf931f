package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// An integer is a start when it lies between these instants in its unit. What
// does not is no time that anybody meant: a 0 for "unset", or seconds among
// milliseconds, which would be of 1970 and due at once.
var (
	firstEpoch = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	lastEpoch  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// perSecond is how many of a unit are in a second.
var perSecond = map[string]int64{"s": 1, "ms": 1_000, "us": 1_000_000}

// oneOf is one of a unit as an interval.
var oneOf = map[string]string{"s": "interval '1 second'", "ms": "interval '1 millisecond'", "us": "interval '1 microsecond'"}

// clock is a start as SQL: a column of the governed table, or what is picked of
// the rows of another one.
type clock struct {
	name string // SQL of the value
	base string // timestamptz, timestamp, date, or the integer type of an epoch
	unit string // of an epoch; "" the value is a time

	timezone string // the policy's zone
	b        *binder
}

// zone is the policy's zone as a parameter. One that no statement names must not
// be bound.
func (k clock) zone() string { return k.b.text(k.timezone, "text") }

// clock is the start of a category's rows. With a start in another table its
// name is that of the column which [rule.picked] gives.
func (r rule) clock(b *binder, c policy.Category) clock {
	k := clock{unit: c.Start.Unit, timezone: c.Timezone, b: b}
	if c.Start.From != nil {
		col, _ := r.elsewhere(c).Column(c.Start.Column)
		k.name, k.base = "event.start", col.Base
		return k
	}
	col, _ := r.table.Column(c.Start.Column)
	k.name, k.base = column(col.Name), col.Base
	return k
}

// wall is the start on the wall clock of the zone. A date counts from the end
// of its day. Of an integer that is no time it is NULL; of the others the
// product is exact, since they are far below the 2^53 from which on a double
// has gaps.
func (k clock) wall() string {
	switch {
	case k.unit != "":
		return fmt.Sprintf("CASE WHEN %s THEN timezone(%s, timezone('UTC', timestamp 'epoch' + %s * %s)) END", k.known(), k.zone(), k.name, oneOf[k.unit])
	case k.base == "timestamptz":
		return fmt.Sprintf("timezone(%s, %s)", k.zone(), k.name)
	case k.base == "date":
		return fmt.Sprintf("(%s + 1)::timestamp", k.name)
	}
	return k.name
}

// known is that the value is a start. -infinity is none.
func (k clock) known() string {
	if k.unit != "" {
		return fmt.Sprintf("%[1]s >= %[2]d AND %[1]s < %[3]d", k.name, firstEpoch.Unix()*perSecond[k.unit], lastEpoch.Unix()*perSecond[k.unit])
	}
	return k.name + " > '-infinity'"
}

// of turns an instant into what the start compares with.
func (k clock) of(instant string) string {
	switch {
	case k.unit != "":
		return fmt.Sprintf("(extract(epoch FROM %s) * %d)::int8", instant, perSecond[k.unit])
	case k.base == "timestamptz":
		return instant
	}
	return fmt.Sprintf("timezone(%s, %s)", k.zone(), instant)
}

// instant turns a value of the clock's type into the instant that it is in the
// zone, a date into that of its first moment.
func (k clock) instant(value string) string {
	switch {
	case k.unit != "":
		return fmt.Sprintf("timezone('UTC', timestamp 'epoch' + %s * %s)", value, oneOf[k.unit])
	case k.base == "timestamptz":
		return value + "::timestamptz"
	}
	return fmt.Sprintf("%s::timestamp AT TIME ZONE %s", value, k.zone())
}

// elsewhere is the other table that a category's start is in.
func (r rule) elsewhere(c policy.Category) *catalog.Table {
	return r.catalog.Tables[catalog.Name{Schema: c.Start.From.Schema, Relation: c.Start.From.Relation}]
}

// picked is a subquery of one row and one column, event.start: the start that
// the other table has for the row t. NULL: it has none. Of the latest of several
// events nothing is known while one of them is not known, so a single NULL among
// them, or -infinity, makes it NULL. Of the earliest it is known that it is not
// after any of them: whatever the unknown ones are, the first known one is not
// too early.
func (r rule) picked(c policy.Category) string {
	from, other := c.Start.From, r.elsewhere(c)
	start, _ := other.Column(c.Start.Column)
	k := clock{name: "e." + catalog.Quote(start.Name), base: start.Base, unit: c.Start.Unit}
	match := make([]string, len(from.Match))
	for i, m := range from.Match {
		own, _ := r.table.Column(m.Own)
		theirs, _ := other.Column(m.Other)
		match[i] = fmt.Sprintf("%s %s e.%s", column(own.Name), matching(own, theirs), catalog.Quote(theirs.Name))
	}
	pick := fmt.Sprintf("CASE WHEN bool_and((%s) IS TRUE) THEN max(%s) END", k.known(), k.name)
	if from.Pick == "min" {
		pick = fmt.Sprintf("min(%s) FILTER (WHERE %s)", k.name, k.known())
	}
	return fmt.Sprintf("(SELECT %s AS start FROM %s AS e WHERE %s) AS event", pick, other.Name.Quoted(), strings.Join(match, " AND "))
}

// matching is the equality of two columns of two tables, by its schema where
// the type is not one of PostgreSQL's own.
func matching(a, b catalog.Column) string {
	if operator(a, "=") == "=" {
		return operator(b, "=")
	}
	return operator(a, "=")
}

// locks tells whether the batches of a category lock their rows before they judge
// them: where the start of the category, or of another one over the table, is in
// another table, and where rows of other tables go along. The server reads a row
// again when a statement has waited for its lock, and nothing beside it.
func (r rule) locks() bool {
	return r.category.Start.From != nil || slices.ContainsFunc(r.category.Children, func(c policy.Child) bool { return c.Action != "keep" }) || slices.ContainsFunc(r.others, func(o policy.Category) bool { return o.Start.From != nil })
}

// Tables names the tables that a set's categories read: those that they govern,
// their children, and those that their starts are in.
func Tables(set policy.Set) []catalog.Name {
	var names []catalog.Name
	seen := map[catalog.Name]bool{}
	add := func(n catalog.Name) {
		if !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, c := range set.Categories {
		add(catalog.Name{Schema: c.Schema, Relation: c.Relation})
		if from := c.Start.From; from != nil {
			add(catalog.Name{Schema: from.Schema, Relation: from.Relation})
		}
		descend(c.Children, "", func(child policy.Child, _ string) { add(childName(child)) })
	}
	return names
}
