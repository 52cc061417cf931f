package purge

import (
	"context"
	"fmt"
	"math"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// Approval tells why a run over due rows of a category would wait for approval;
// "" it would not. It judges as a run does that is not approved by itself, and
// that every run counts anew.
func Approval(ctx context.Context, q Querier, c *plan.Category, due int64) (why string, err error) {
	share := c.Policy.Limits.MaxShare
	if share == 0 || due == 0 {
		return "", nil
	}
	total, err := atLeast(ctx, q, c, int64(math.Ceil(float64(due)/share))+1)
	if err != nil || float64(due) <= share*float64(total) {
		return "", err
	}
	var approved bool
	err = q.QueryRow(ctx, `select exists (select from sweeper.approvals where category = $1 and plan_hash = $2 and expires_at > now() and max_rows >= $3)`,
		c.Policy.Name, c.Hash, due).Scan(&approved)
	if err != nil || approved {
		return "", pg.Wrap("look for an approval", err)
	}
	return fmt.Sprintf("%d of %d rows would go, more than max_share %g allows", due, total, share), nil
}
