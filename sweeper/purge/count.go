package purge

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// Querier is a connection, a pool or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Count sorts the rows of a category into their states, one entry for each
// disposition. It changes nothing.
func Count(ctx context.Context, q Querier, c *plan.Category) ([]States, error) {
	all := make([]States, 0, len(c.Counts))
	for _, count := range c.Counts {
		s := States{Disposition: count.Disposition}
		err := q.QueryRow(ctx, count.SQL, count.Args...).Scan(&s.NotStarted, &s.Future, &s.Scheduled, &s.Held, &s.Blocked, &s.Due, &s.Total, &s.Oldest, &s.Cutoff)
		if err != nil {
			return nil, pg.Wrap("count the rows of category "+c.Policy.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}
