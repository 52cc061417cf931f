package plan

import (
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Bound tells whether c must stay still while other cannot be judged: a row
// under both goes only when both let it go, and a child's own category may keep
// it longer than the parent that would take it along. A disabled category has no
// say. Tables that merely reference each other are safe: a row that another one
// points at stays, whoever judges that one.
func Bound(c, other policy.Category) bool {
	if !other.Enabled || c.Name == other.Name {
		return false
	}
	return c.Schema == other.Schema && c.Relation == other.Relation || takes(c.Children, other)
}

// takes tells whether rows of other's table go along with their parents.
func takes(children []policy.Child, other policy.Category) bool {
	return slices.ContainsFunc(children, func(c policy.Child) bool {
		return c.Schema == other.Schema && c.Relation == other.Relation || takes(c.Children, other)
	})
}
