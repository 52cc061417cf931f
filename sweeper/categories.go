package sweeper

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// CategoryFacts is how one category stands, for probes and metrics.
type CategoryFacts struct {
	Category       string
	Table          string
	Enabled        bool
	Mode           string
	LastState      *string
	LastSweep      *time.Time // end of the last run
	LastSuccess    *time.Time // end of the last run that left nothing due
	NextSweep      *time.Time
	Due            *int64 // as of the last run, as are the next two
	Held           *int64
	Blocked        *int64
	OverdueSeconds float64 // of the oldest row still due then; 0: none
	StopReason     *string
}

// categoriesSQL: the oldest start that is still due may wait for its deletion
// or, where that is not due yet, for its redaction.
const categoriesSQL = `
select s.category, g.relation_name, s.enabled, s.mode, r.state, r.finished_at, ok.finished_at, s.next_run_at, s.due_rows, s.held_rows, s.blocked_rows,
       coalesce(greatest(0, extract(epoch from case
           when s.oldest_overdue + g.retention <= now() then now() - (s.oldest_overdue + g.retention)
           else now() - (s.oldest_overdue + g.redact_after) end)), 0)::float8,
       r.stop_reason
  from sweeper.policy_status s join sweeper.governed g using (category)
  left join lateral (select * from sweeper.runs r where r.category = s.category order by r.started_at desc limit 1) r on true
  left join lateral (select finished_at from sweeper.runs r where r.category = s.category and r.state = 'succeeded'
                      order by r.started_at desc limit 1) ok on true
 order by s.category`

func readCategories(ctx context.Context, conn *pgx.Conn) ([]CategoryFacts, error) {
	rows, err := conn.Query(ctx, categoriesSQL)
	if err != nil {
		return nil, pg.Wrap("read how the categories stand", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CategoryFacts])
	return all, pg.Wrap("read how the categories stand", err)
}
