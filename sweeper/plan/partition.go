package plan

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// ByStart tells whether a table is partitioned by RANGE on the start column
// alone: only then does a partition's bound say anything about its rows.
func ByStart(t *catalog.Table, c policy.Category) bool {
	return c.Start.From == nil && t.Kind == catalog.KindPartitioned && t.Strategy == "r" && slices.Equal(t.PartitionKey, []string{c.Start.Column})
}

// goesWhole tells whether partitions of a category may go whole at all: its rows
// go by their start alone, and nothing else goes along.
func goesWhole(t *catalog.Table, c policy.Category) bool {
	return c.Partitions != "rows" && len(c.Where) == 0 && c.WhereSQL == "" && len(c.Children) == 0 && ByStart(t, c) && len(t.Referencing) == 0
}

// droppable are the leaves that may go whole: of a category whose rows go by
// their start alone. Whether they do is judged again under a lock, row by row,
// by the installed function.
func (r rule) droppable() map[uint32]catalog.Leaf {
	found := map[uint32]catalog.Leaf{}
	if !goesWhole(r.table, r.category) || len(r.windows(r.category)) > 0 || len(r.others) > 0 || r.dropsPassRule() {
		return found
	}
	ranges, deep := 0, 0
	for _, l := range r.table.Leaves {
		switch {
		case !l.Direct:
			deep = 1 // of a partition that is partitioned itself, and stays
		case !l.Default:
			ranges++
		}
	}
	ranges += deep
	for _, l := range r.table.Leaves {
		upper, ok := r.instant(l.Upper)
		if !ok || !l.Direct || l.Default || l.Kind != catalog.KindTable || l.DeleteTriggers && r.category.Partitions != "detach" || !l.OwnerMember || ranges < 2 {
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

// dropsPassRule tells that a partition which is dropped would pass by a rule of the
// table. One that is detached loses no row.
func (r rule) dropsPassRule() bool {
	return ruled(r.table, Delete) && r.category.Partitions != "detach"
}

func (r rule) dropStep(leaf catalog.Leaf, rows Step) Step {
	s := rows
	s.Kind, s.Walk = DropPartition, WalkPartition
	if r.category.Partitions == "detach" {
		s.Kind = DetachPartition
	}
	s.Batch, s.First, s.Next, s.Split, s.Part, s.Total = Query{}, Query{}, Query{}, Query{}, Query{}, Query{}
	s.Rows = &rows
	s.Probe = r.probe(leaf)
	s.Drop = r.drop(s.Kind, leaf)
	return s
}

func (r rule) drop(function string, leaf catalog.Leaf) Query {
	b := bind(5)
	c := r.category
	nullable := func(v string) string {
		if v == "" {
			return "NULL::name"
		}
		return b.text(v, "name")
	}
	return b.query(fmt.Sprintf(`SELECT sweeper.%s(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, $2::text, %s, $3::text, $1::uuid, $4::bytea, $5::timestamptz)`,
		function, b.text(fmt.Sprint(r.table.OID), "oid::regclass"), b.text(fmt.Sprint(leaf.OID), "oid::regclass"), b.text(c.Start.Column, "name"),
		b.text(c.Timezone, "text"), b.text(c.Delete.Interval(), "interval"), r.asOf(b), b.text(c.Manifest, "text"),
		nullable(c.Subject), nullable(c.Tenant), b.text(c.Name, "text"), b.text(c.Basis, "text")))
}

// probe asks, without a lock, whether every row of the leaf is due and none is
// held. The installed function asks again under the lock.
func (r rule) probe(leaf catalog.Leaf) Query {
	b := bind(0)
	return b.query(fmt.Sprintf("SELECT NOT EXISTS (SELECT FROM %s AS t WHERE true%s AND (%s IS NOT TRUE OR %s))",
		r.from(), r.inLeaf(b, &leaf), r.due(b, r.category, Delete), held(r.holds(b))))
}

// instant reads a bound as the catalogue prints it, as an instant in the
// policy's zone. false for what is no time, or one that only PostgreSQL has.
func (r rule) instant(bound string) (time.Time, bool) {
	zone, err := time.LoadLocation(r.category.Timezone)
	if err != nil {
		return time.Time{}, false
	}
	if per := perSecond[r.category.Start.Unit]; per != 0 {
		n, err := strconv.ParseInt(bound, 10, 64)
		return time.Unix(n/per, n%per*(int64(time.Second)/per)).In(zone), err == nil && n >= firstEpoch.Unix()*per && n < lastEpoch.Unix()*per
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
