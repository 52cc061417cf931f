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
// that every run counts anew. A run waits that takes too large a share, or
// anything at all by a window that was longer.
func Approval(ctx context.Context, q Querier, p *plan.Plan, c *plan.Category, due int64, shortened Shortened) (why string, err error) {
	if due == 0 {
		return "", nil
	}
	if why, err = share(ctx, q, c, due); err != nil {
		return "", err
	}
	if shortened != nil {
		shorter, err := shortened(ctx, q, p, c)
		switch {
		case err != nil:
			return "", err
		case shorter != "" && why == "":
			why = fmt.Sprintf("%s: %d rows would go", shorter, due)
		case shorter != "":
			why = shorter + ": " + why
		}
	}
	if why == "" {
		return "", nil
	}
	var approved bool
	err = q.QueryRow(ctx, approvedSQL, c.Policy.Name, c.Hash, due).Scan(&approved)
	if err != nil || approved {
		return "", pg.Wrap("look for an approval", err)
	}
	return why, nil
}

// approvedSQL tells whether an approval has so many rows left: what went by its plan
// since is used up.
const approvedSQL = `
	select exists (select from sweeper.approvals a where a.category = $1 and a.plan_hash = $2 and a.expires_at > now()
	           and a.max_rows >= $3::bigint + (select coalesce(sum(r.deleted + r.redacted), 0) from sweeper.runs r
	                                            where r.category = $1 and r.plan_hash = $2 and r.started_at >= a.approved_at))`

// share tells that the due rows are more than max_share of all. No estimate of
// the table's size lets a run pass: the rows are counted, up to as many as make
// the due ones a small enough share.
func share(ctx context.Context, q Querier, c *plan.Category, due int64) (why string, err error) {
	limit := c.Policy.Limits.MaxShare
	if limit == 0 {
		return "", nil
	}
	total, err := atLeast(ctx, q, c, int64(math.Ceil(float64(due)/limit))+1)
	if err != nil || float64(due) <= limit*float64(total) {
		return "", err
	}
	return fmt.Sprintf("%d of %d rows would go, more than max_share %g allows", due, total, limit), nil
}
