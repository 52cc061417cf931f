package plan

import (
	"fmt"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// MostHolds is how many holds HeldBy names.
const MostHolds = 20

// HeldBy tells which legal holds keep rows of the part, those with the most
// rows first: hold_id, rows. A row under two holds counts for both. One that is
// held by rows which would go along counts for their holds; of rows that point at
// their own table those next to it are seen.
func (p *Part) HeldBy() Query {
	r, b := p.rule, bind(0)
	var shapes []string
	for _, hold := range r.holds(b) {
		shapes = append(shapes, fmt.Sprintf("SELECT sweeper_hold, count(*) AS n FROM %s AS t CROSS JOIN LATERAL (%s) AS h(sweeper_hold) WHERE %s GROUP BY 1",
			r.from(), hold.ids(), and(p.rows(b), p.counted(b))))
	}
	// Of rows that no hold is on, those on what would go along.
	var along []string
	for _, k := range top(r.kin(p.disposition)) {
		along = append(along, k.heldBy(b, 1, column)...)
	}
	if len(along) > 0 {
		shapes = append(shapes, fmt.Sprintf("SELECT sweeper_hold, count(*) AS n FROM %s AS t CROSS JOIN LATERAL (%s) AS h(sweeper_hold) WHERE %s GROUP BY 1",
			r.from(), strings.Join(along, " UNION "), and(p.rows(b), p.counted(b), notHeld(r.holds(b)))))
	}
	return b.query(fmt.Sprintf("SELECT sweeper_hold, sum(n)::bigint FROM (%s) s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d", strings.Join(shapes, "\nUNION ALL "), MostHolds))
}

// rows are those that would go if nothing held or blocked them.
func (p *Part) rows(b *binder) string {
	return and(p.rule.inside(b, p.span), p.rule.goes(b, p.disposition))
}

// counted leaves out what is held under the deletion already.
func (p *Part) counted(b *binder) string {
	if p.disposition != Redact || p.rule.category.Delete == nil {
		return "true"
	}
	return fmt.Sprintf("(%s) IS NOT TRUE", p.rule.leaves(b))
}

// Blockers are what may keep a due row of the category from being deleted, in
// the order of the columns of [Part.BlockedBy].
func (c *Category) Blockers() []string {
	var found []string
	for _, fk := range c.rule.blocking() {
		found = append(found, keyName(fk))
	}
	return found
}

// BlockedBy counts the rows of the part that each of the Blockers keeps, in one
// row. A row that two of them keep counts for both.
func (p *Part) BlockedBy() Query {
	r, b := p.rule, bind(0)
	references := r.references(b)
	counts := make([]string, len(references))
	for i, sub := range references {
		counts[i] = fmt.Sprintf("count(*) FILTER (WHERE EXISTS (%s))", sub)
	}
	return b.query(fmt.Sprintf("SELECT ARRAY[%s]::bigint[] FROM %s AS t WHERE %s", strings.Join(counts, ", "), r.from(), and(p.rows(b), notHeld(r.holds(b)), any1(references))))
}

// ChildCount counts the rows of a child table that go along with due rows.
type ChildCount struct {
	Relation string // as the policy writes it
	Action   string // delete, nullify or redact
	Query
}

// Children counts the child rows that go along with the rows of the part, for
// each table that the policy declares. Children that are kept are none of them.
func (p *Part) Children() []ChildCount {
	return p.children(p.rule.category.Children, func(b *binder, inner string) string {
		return fmt.Sprintf("EXISTS (SELECT FROM %s AS t WHERE %s)", p.rule.from(), and(p.rule.inside(b, p.span), p.rule.full(b, p.disposition), inner))
	}, "t", 1)
}

// children counts those whose parents, called parent, are the ones of exists.
func (p *Part) children(declared []policy.Child, exists func(b *binder, inner string) string, parent string, depth int) []ChildCount {
	var found []ChildCount
	for _, child := range declared {
		if depth == 1 && child.On != p.disposition || child.Action == "keep" {
			continue
		}
		alias := fmt.Sprintf("c%d", depth)
		var match []string
		for _, m := range child.Match {
			match = append(match, fmt.Sprintf("%s.%s = %s.%s", alias, catalog.Quote(m.Other), parent, catalog.Quote(m.Own)))
		}
		table := catalog.Name{Schema: child.Schema, Relation: child.Relation}.Quoted()
		b := bind(0)
		found = append(found, ChildCount{child.Table, child.Action, b.query(fmt.Sprintf("SELECT count(*) FROM %s AS %s WHERE %s", table, alias, exists(b, strings.Join(match, " AND "))))})
		below := func(b *binder, inner string) string {
			return fmt.Sprintf("EXISTS (SELECT FROM %s AS %s WHERE %s)", table, alias, and(inner, exists(b, strings.Join(match, " AND "))))
		}
		if child.Action != "nullify" {
			found = append(found, p.children(child.Children, below, alias, depth+1)...)
		}
	}
	return found
}

// WalkReason says why the steps of a disposition go as they do; "" when there
// is none.
func (c *Category) WalkReason(disposition string) string {
	var why []string
	seen := map[string]bool{}
	for _, s := range c.Steps {
		if s.Kind != disposition && (s.Walk != WalkPartition || disposition != Delete) || seen[s.Walk] {
			continue
		}
		seen[s.Walk] = true
		why = append(why, s.Walk+": "+c.walkReason(s.Walk))
	}
	return strings.Join(why, "; ")
}

func (c *Category) walkReason(walk string) string {
	start := c.Policy.Start.Column
	if from := c.Policy.Start.From; from != nil && walk == WalkBlocks {
		return fmt.Sprintf("the start is in another table, %s", from.Table)
	}
	switch walk {
	case WalkPartition:
		return "by its bound a whole partition is due"
	case WalkStart:
		for _, i := range c.Table.Indexes {
			if i.Method == "btree" && len(i.Columns) > 0 && i.Columns[0] == start {
				return fmt.Sprintf("index %s is in the order of %s", catalog.Quote(i.Name), catalog.Quote(start))
			}
		}
	case WalkBlocks:
		for _, i := range c.Table.Indexes {
			if len(i.Columns) > 0 && i.Columns[0] == start {
				return fmt.Sprintf("no usable index on %s (%s is %s, which has no order)", catalog.Quote(start), catalog.Quote(i.Name), i.Method)
			}
		}
		return fmt.Sprintf("no usable index on %s", catalog.Quote(start))
	}
	return "its rows are not found by their starts"
}
