package sweeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// LogTail reads the last n entries of the purge log, oldest first.
func LogTail(ctx context.Context, cfg Config, n int) ([]proof.Entry, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return purgelog.Tail(ctx, conn, n)
}

// VerifyLog recomputes the whole purge log from its rows. A log that has not
// begun is whole, unless something was purged: then it is gone.
func VerifyLog(ctx context.Context, cfg Config, progress func(done, total int64)) (purgelog.Verification, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return purgelog.Verification{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	v, err := purgelog.Verify(ctx, conn, progress)
	if errors.Is(err, pgx.ErrNoRows) {
		return headless(ctx, conn)
	}
	return v, err
}

// headless judges a log without a head, which is written along with the first
// entry and before the first purge.
func headless(ctx context.Context, conn *pgx.Conn) (purgelog.Verification, error) {
	v := purgelog.Verification{Root: (&proof.Tree{}).Root()}
	var stamps int64
	err := conn.QueryRow(ctx, `
		select (select count(*) from sweeper.purge_log),
		       (select count(*) from sweeper.batches where fact in ('stamp', 'run_end'))`).Scan(&v.Entries, &stamps)
	if err != nil {
		return v, pg.Wrap("look for entries of the purge log", err)
	}
	if v.Entries > 0 || stamps > 0 {
		v.Problems = []proof.Problem{{Text: fmt.Sprintf("log_head has no row, beside %d entries and %d stamps of purges", v.Entries, stamps)}}
	}
	return v, nil
}

// audit connects to read the purge log, for which a standby or a server that
// writes no more WAL for us will do.
func (c Config) audit(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pg.Connect(ctx, c.DatabaseURL.Reveal(), "sweeper audit")
	if err != nil {
		return nil, err
	}
	s, err := inspect(ctx, conn)
	if err == nil {
		err = s.installed()
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}
