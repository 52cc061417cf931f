package purge

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

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
	approved, err := approved(ctx, q, p, c, due)
	if err != nil || approved {
		return "", err
	}
	return why, nil
}

// approvalsSQL are the approvals of a category that count, each with the rows that it
// has left and the partitions that went since.
const approvalsSQL = `
	select a.plan_hash, a.max_rows - coalesce(since.rows, 0)::bigint, coalesce(since.dropped, '{}')
	  from sweeper.approvals a,
	       lateral (select sum(r.deleted + r.redacted) as rows,
	                       array(select b.partition from sweeper.batches b where b.run_id = any (array_agg(r.run_id)) and b.fact = 'report' and b.kind in ('drop_partition', 'detach_partition')) as dropped
	                  from sweeper.runs r where r.category = a.category and r.started_at >= a.approved_at) since
	 where a.category = $1 and a.expires_at > now()`

// approved tells whether somebody has approved that so many rows go by the plan, or
// by one of which partitions have gone since.
func approved(ctx context.Context, q Querier, p *plan.Plan, c *plan.Category, due int64) (bool, error) {
	rows, err := q.Query(ctx, approvalsSQL, c.Policy.Name)
	if err != nil {
		return false, pg.Wrap("look for an approval", err)
	}
	var hash string
	var left int64
	var dropped []string
	found := false
	_, err = pgx.ForEachRow(rows, []any{&hash, &left, &dropped}, func() error {
		found = found || left >= due && (hash == c.Hash || hash == p.HashAfter(c, dropped))
		return nil
	})
	return found, pg.Wrap("look for an approval", err)
}

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
