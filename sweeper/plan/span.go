package plan

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// What makes a table small: one statement then reads all of it. Of a larger one
// only what an index, or the bounds of its partitions, lead to.
const (
	smallBytes  = 32 << 20
	smallLeaves = 32
)

// leavesAtOnce bounds the partitions of one statement. It locks each of them
// with its indexes, and the server's table of locks holds some thousands.
const leavesAtOnce = 100

// kinds of spans.
const (
	spanAll     = ""        // whatever the state
	spanReach   = "reach"   // has started, and may be due
	spanWaiting = "waiting" // no start
	spanAhead   = "ahead"   // starts after the as-of
)

// span is some of a table's rows, by their starts. Its bounds are those of
// partitions.
type span struct {
	kind         string
	lower, upper string // "" none
	bySlack      bool   // reach: up to what the prefilter lets through
	disposition  string // whose prefilter that is
}

// inside is the condition for the rows of a span. Its bounds, the as-of and
// latest are constants to the planner, which leaves out the partitions that
// they exclude.
func (r rule) inside(b *binder, s span) string {
	start := column(r.start().Name)
	var parts []string
	switch s.kind {
	case spanAll:
	case spanWaiting:
		return start + " IS NULL"
	case spanReach:
		parts = append(parts, fmt.Sprintf("%s <= %s", start, r.clock(b, r.category).of(r.asOf(b))))
		if s.bySlack {
			latest, _ := r.constant(r.latest(s.disposition))
			parts = append(parts, r.early(b, r.category, s.disposition), fmt.Sprintf("%s < %s", start, b.text(latest, r.start().Plain)))
		}
	case spanAhead:
		parts = append(parts, fmt.Sprintf("%s > %s", start, r.clock(b, r.category).of(r.asOf(b))))
	}
	if s.lower != "" {
		parts = append(parts, fmt.Sprintf("%s >= %s", start, b.text(s.lower, r.start().Plain)))
	}
	if s.upper != "" {
		parts = append(parts, fmt.Sprintf("%s < %s", start, b.text(s.upper, r.start().Plain)))
	}
	return and(parts...)
}

// latest is later than any start that is due, and than the prefilter: a month
// that is too short for the day makes it later here than on the server.
func (r rule) latest(disposition string) time.Time {
	now := r.options.AsOf
	if zone, err := time.LoadLocation(r.category.Timezone); err == nil {
		now = now.In(zone)
	}
	var latest time.Time
	for _, p := range r.periods(r.category, disposition) {
		if t := now.AddDate(-p.Years, -p.Months, -7*p.Weeks-p.Days); t.After(latest) {
			latest = t
		}
	}
	return latest.Add(Slack + 24*time.Hour)
}

// constant writes an instant in the type of the start column; false where that
// is no time, or in another table: a column of its name here is not it.
func (r rule) constant(t time.Time) (string, bool) {
	if r.category.Start.From != nil {
		return "", false
	}
	if per := perSecond[r.category.Start.Unit]; per != 0 {
		return strconv.FormatInt(t.Unix()*per, 10), true
	}
	switch r.start().Base {
	case "timestamptz":
		return t.UTC().Format("2006-01-02 15:04:05.999999Z07:00"), true
	case "timestamp":
		return t.Format("2006-01-02 15:04:05.999999"), true
	case "date":
		return t.AddDate(0, 0, 1).Format("2006-01-02"), true
	}
	return "", false
}

// spans are those in which the rows of a category are counted, and whether
// every row is in one of them.
func (r rule) spans(disposition string) (found []span, whole bool) {
	byBounds := ByStart(r.table, r.category)
	_, isTime := r.constant(r.latest(disposition))
	small := r.table.Bytes <= smallBytes && len(r.table.Leaves) <= smallLeaves
	if small || !isTime || !byBounds && !r.table.SortedBy(r.start().Name) {
		return []span{{}}, true
	}
	if !r.start().NotNull {
		found = append(found, span{kind: spanWaiting})
	}
	leaves, ok := r.ordered()
	if !byBounds || !ok {
		return append(found, span{kind: spanReach, disposition: disposition, bySlack: true}, span{kind: spanAhead}), false
	}
	n := 0
	for n < len(leaves) && (leaves[n].Lower == "" || r.isDue(leaves[n].Lower, disposition)) {
		n++
	}
	for i := 0; i < max(n, 1); {
		s := span{kind: spanReach, disposition: disposition, bySlack: n == 0 || !r.isDue(leaves[i].Upper, disposition)}
		j := i
		for j < n && j-i < leavesAtOnce && s.bySlack != r.isDue(leaves[j].Upper, disposition) {
			j++
		}
		if i > 0 {
			s.lower = leaves[i].Lower
		}
		if j < len(leaves) {
			s.upper = leaves[j].Lower
		}
		found, i = append(found, s), max(j, 1)
	}
	return append(found, r.future(leaves)...), false
}

// isDue tells whether a start at a bound could be due; false for none.
func (r rule) isDue(bound, disposition string) bool {
	t, ok := r.instant(bound)
	return ok && slices.ContainsFunc(r.periods(r.category, disposition), func(p policy.Period) bool { return !r.later(t, p).After(r.options.AsOf.Add(Slack)) })
}

// future are the spans of the starts after the as-of.
func (r rule) future(leaves []catalog.Leaf) []span {
	i := slices.IndexFunc(leaves, func(l catalog.Leaf) bool {
		upper, ok := r.instant(l.Upper)
		return !ok || upper.After(r.options.AsOf)
	})
	if i < 0 {
		return []span{{kind: spanAhead}}
	}
	var found []span
	for _, g := range grouped(leaves[i:]) {
		g.kind = spanAhead
		found = append(found, g.span)
	}
	return found
}

// group is a span with the partitions in it.
type group struct {
	span
	leaves []catalog.Leaf
}

// grouped cuts all starts there are into spans of at most leavesAtOnce
// partitions.
func grouped(leaves []catalog.Leaf) []group {
	found := []group{{}}
	for i, part := range slices.Collect(slices.Chunk(leaves, leavesAtOnce)) {
		if i > 0 {
			found[i-1].upper = part[0].Lower
			found = append(found, group{span: span{lower: part[0].Lower}})
		}
		found[i].leaves = part
	}
	return found
}

// everything is all rows with a start, in spans that one statement can read
// each.
func (r rule) everything() []group {
	leaves, ok := r.ordered()
	if !ByStart(r.table, r.category) || !ok {
		leaves = nil
	}
	return grouped(leaves)
}

// ordered are the range partitions of the table by their bounds, the default
// one left out; false where the bounds do not tell: of partitions below
// partitions, or of bounds that only PostgreSQL has.
func (r rule) ordered() ([]catalog.Leaf, bool) {
	type at struct {
		leaf  catalog.Leaf
		lower time.Time
	}
	var found []at
	for _, l := range r.table.Leaves {
		if l.Default && l.Direct {
			continue
		}
		lower, ok := r.instant(l.Lower)
		_, upperOK := r.instant(l.Upper)
		if !l.Direct || !ok && l.Lower != "" || !upperOK && l.Upper != "" {
			return nil, false
		}
		found = append(found, at{l, lower})
	}
	slices.SortFunc(found, func(x, y at) int { return x.lower.Compare(y.lower) })
	leaves := make([]catalog.Leaf, len(found))
	for i, f := range found {
		leaves[i] = f.leaf
	}
	return leaves, true
}

// middle selects the rows that spans leaves out.
func (r rule) middle(disposition string) []Query {
	var found []Query
	for _, g := range r.everything() {
		b := bind(0)
		start := column(r.start().Name)
		found = append(found, b.query(fmt.Sprintf("SELECT FROM %s AS t WHERE %s AND %s <= %s AND NOT (%s)",
			r.from(), and(r.inside(b, g.span), r.where(b, r.category)), start, r.clock(b, r.category).of(r.asOf(b)), r.early(b, r.category, disposition))))
	}
	return found
}

// atLeast counts rows of the category up to a number.
func (r rule) atLeast() []Query {
	var found []Query
	for _, g := range r.everything() {
		b := bind(1)
		found = append(found, b.query(fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s AS t WHERE %s LIMIT $1::bigint) s",
			r.from(), and(r.inside(b, g.span), r.where(b, r.category)))))
	}
	return found
}
