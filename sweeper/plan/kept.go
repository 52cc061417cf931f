package plan

import (
	"fmt"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// Kept is a partition that does not go whole, and why.
type Kept struct {
	Partition string
	Leaf      uint32
	Reason    string
	Until     time.Time // when its bound lets it go; zero: not the bound keeps it
}

// Dropped are the partitions that would go whole, dropped or detached, if the rows in them allow it.
func (c *Category) Dropped() []catalog.Leaf {
	whole := c.whole()
	var found []catalog.Leaf
	for _, l := range c.Table.Leaves {
		if whole[l.OID] {
			found = append(found, l)
		}
	}
	return found
}

func (c *Category) whole() map[uint32]bool {
	whole := map[uint32]bool{}
	for _, s := range c.Steps {
		if s.Walk == WalkPartition {
			whole[s.Leaf] = true
		}
	}
	return whole
}

// Kept are the partitions that the catalogue or the policy keeps from going
// whole under the category's deletion, each with the first reason why.
func (c *Category) Kept() []Kept {
	if c.Policy.Delete == nil {
		return nil
	}
	whole, all := c.whole(), c.rule.byRows()
	var found []Kept
	for _, l := range c.Table.Leaves {
		if whole[l.OID] {
			continue
		}
		k := Kept{Partition: l.Text, Leaf: l.OID, Reason: all}
		if all == "" {
			k.Reason, k.Until = c.rule.keeps(l)
		}
		found = append(found, k)
	}
	return found
}

// byRows is why no partition of the category goes whole; "" some may.
func (r rule) byRows() string {
	c := r.category
	switch {
	case c.Partitions == "rows":
		return "the policy says partitions: rows"
	case c.Start.From != nil:
		return fmt.Sprintf("the start is in another table, %s", c.Start.From.Table)
	case !ByStart(r.table, c):
		return fmt.Sprintf("%s is not partitioned by RANGE on %s alone", r.table.Name, catalog.Quote(c.Start.Column))
	case len(c.Where) > 0 || c.WhereSQL != "":
		return "the policy's where picks single rows"
	case len(r.windows(c)) > 0:
		return "tenants have windows of their own"
	case len(r.others) > 0:
		return fmt.Sprintf("category %q governs the table too", r.others[0].Name)
	case len(c.Children) > 0:
		return fmt.Sprintf("rows of %s belong to its rows", c.Children[0].Table)
	case r.dropsPassRule():
		return "a rule fires on DELETE, which a drop does not fire"
	case len(r.table.Referencing) > 0:
		return fmt.Sprintf("foreign key %q of %s points at the table", r.table.Referencing[0].Constraint, r.table.Referencing[0].Table)
	}
	return ""
}

// keeps is why one partition does not go whole.
func (r rule) keeps(l catalog.Leaf) (reason string, until time.Time) {
	upper, ok := r.instant(l.Upper)
	free := r.later(upper, *r.category.Delete)
	switch {
	case l.Default:
		return "it is the default partition", until
	case !l.Direct:
		return "it is a partition of a partition", until
	case l.Kind != catalog.KindTable:
		return "it is not an ordinary table", until
	case !ok:
		return "it has no upper bound that is a time", until
	case free.After(r.options.AsOf.Add(Slack)):
		return "not due by its bound", free
	case l.DeleteTriggers && r.category.Partitions != "detach":
		return "it has DELETE triggers, which a drop does not fire", until
	case !l.OwnerMember:
		return fmt.Sprintf("sweeper_owner is not a member of %q, which owns it", l.Owner), until
	}
	return "it is the last partition", until
}
