package sweeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// ErrMismatch is a run that reported something else than the write-ahead log
// showed.
var ErrMismatch = errors.New("what was reported and what the write-ahead log showed differ")

// logSize is the number of entries in the purge log; 0 while it has not begun.
func logSize(ctx context.Context, conn *pgx.Conn) (size int64, err error) {
	err = conn.QueryRow(ctx, `select coalesce((select size from sweeper.log_head), 0)`).Scan(&size)
	return size, pg.Wrap("read the head of the purge log", err)
}

// lookBack reads what the log got since it had size entries: it warns of gaps,
// and fails when a run of ours has a mismatch.
func lookBack(ctx context.Context, conn *pgx.Conn, size int64, outcomes []purge.Outcome, warn func(string)) error {
	var gaps []string
	var mismatches int
	var first *int64
	err := conn.QueryRow(ctx, `
		select coalesce(array_agg(coalesce(reference, '') order by seq) filter (where kind = 'gap'), '{}'),
		       count(*) filter (where kind = 'mismatch' and run_id = any ($2)), min(seq) filter (where kind = 'mismatch' and run_id = any ($2))
		  from sweeper.purge_log where seq >= $1 and kind in ('gap', 'mismatch')`, size, runIDs(outcomes)).Scan(&gaps, &mismatches, &first)
	if err != nil {
		return pg.Wrap("look for gaps and mismatches in the purge log", err)
	}
	for _, gap := range gaps {
		if warn != nil {
			warn("the purge log has a gap: " + gap)
		}
	}
	if mismatches > 0 {
		return fmt.Errorf("the purge log has %d mismatch entries of this sweep, from entry %d on: %w", mismatches, *first, ErrMismatch)
	}
	return nil
}
