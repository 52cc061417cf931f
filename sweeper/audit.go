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

// LogCheck says how the purge log is to be verified. The zero LogCheck is all of
// it.
type LogCheck struct {
	From     int64             // of the entries before it the stored hashes are believed
	Older    *proof.Checkpoint // one that the log must continue; nil: none
	Progress func(done, total int64)
}

// VerifyLog recomputes the purge log from its rows. A log that has not begun is
// whole, unless something was purged: then it is gone. proof.ErrPruned: what the
// older checkpoint speaks of was pruned, so that nobody can tell.
func VerifyLog(ctx context.Context, cfg Config, c LogCheck) (purgelog.Verification, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return purgelog.Verification{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	check := purgelog.Check{From: c.From, Progress: c.Progress}
	if c.Older != nil {
		check.Sizes = []uint64{c.Older.Size}
	}
	v, err := check.Run(ctx, conn)
	if errors.Is(err, pgx.ErrNoRows) {
		v, err = headless(ctx, conn)
	}
	if err != nil || c.Older == nil {
		return v, err
	}
	return v, checkOlder(ctx, conn, &v, *c.Older)
}

// checkOlder compares the log with an older checkpoint.
func checkOlder(ctx context.Context, conn *pgx.Conn, v *purgelog.Verification, older proof.Checkpoint) error {
	root, known := v.Roots[older.Size]
	if older.Size < uint64(v.First) {
		return fmt.Errorf("compare with a checkpoint of %d entries: %w", older.Size, proof.ErrPruned)
	}
	origin, err := purgelog.OriginAt(ctx, conn, older.Size)
	if err != nil {
		return err
	}
	switch {
	case !known:
		v.Problems = append(v.Problems, proof.Problem{Seq: v.First + v.Entries, Text: fmt.Sprintf("the older checkpoint has %d entries and the log only %d", older.Size, v.First+v.Entries)})
	case root != older.Root || origin != older.Origin:
		v.Problems = append(v.Problems, proof.Problem{Seq: int64(older.Size) - 1, Text: fmt.Sprintf("the log is not the one that the older checkpoint of %d entries speaks of", older.Size)})
	}
	return nil
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
	conn, err := connect(ctx, c.DatabaseURL, "sweeper audit")
	if err != nil {
		return nil, err
	}
	s, err := inspect(ctx, conn)
	if err == nil {
		err = s.installed(roleAuditor)
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}
