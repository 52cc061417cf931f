package sweeper

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// clockSlack is how far the server's clock may be off ours.
const clockSlack = 5 * time.Minute

// lastAsOfSQL is the latest instant that the last run of any category judged by,
// where the clock has not reached it; NULL: it has. The clock is read by the
// statement that sees the runs: one that was read before is behind the runs that
// others have begun meanwhile.
const lastAsOfSQL = `select max(r.as_of) from sweeper.governed g cross join lateral
	(select as_of from sweeper.runs where category = g.category order by started_at desc limit 1) r where r.as_of > clock_timestamp()`

// judgeClock tells why the server's clock cannot be judged by, with what mends
// it; "" when it can.
func judgeClock(f serverFacts, l logFacts, now time.Time) string {
	off := f.Clock.Sub(now)
	switch {
	case off.Abs() > clockSlack:
		return fmt.Sprintf("the server's clock is %s off the one of this machine; correct the wrong one", off.Round(time.Second))
	case l.LastAsOf != nil:
		return fmt.Sprintf("the server's clock is behind the last sweep, which judged by %s; correct it", l.LastAsOf.UTC().Format(time.RFC3339))
	}
	return ""
}

// trusted refuses an as-of that cannot be judged by. The monitor looks at the
// clocks too, and pauses what runs; but a clock that jumped since its last look
// must not be what the next plan is made by.
func trusted(ctx context.Context, conn *pgx.Conn, asOf, now time.Time) error {
	l := logFacts{}
	if err := conn.QueryRow(ctx, lastAsOfSQL).Scan(&l.LastAsOf); err != nil {
		return pg.Wrap("read by what the last sweep judged", err)
	}
	if why := judgeClock(serverFacts{Clock: asOf}, l, now); why != "" {
		problem, remedy, _ := strings.Cut(why, "; ")
		return &clockError{SetupError{problem, remedy}}
	}
	return nil
}

// clockError is a clock that cannot be judged by. What was to be planned stays
// due.
type clockError struct{ cause SetupError }

func (e *clockError) Error() string { return e.cause.Error() }
func (e *clockError) Unwrap() error { return &e.cause }
