package purge

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/failpoint"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// manifestTimeout bounds the function that takes a partition away. While it
// writes the leaf's manifest the leaf's writers wait, so it is short: a leaf that
// takes longer goes by rows.
const manifestTimeout = 5 * time.Second

// While a drop waits for the parent's lock, every statement on the table queues
// behind it. Somebody who keeps the lock for long would make that a pause for
// each leaf, so after a few vain waits the rest of the
// run's leaves go by rows, which needs no such lock.
const (
	dropAttempts  = 2 // of one leaf
	mostLockedOut = 2 // leaves
)

// walkPartition drops or detaches the leaf whole. It stays, to go by rows, when a row in it
// is not due or held, which is found out before anything is locked, when it
// cannot go whole, or when its locks are not to be had in time.
func (s *stepper) walkPartition(ctx context.Context) error {
	if !s.fits() {
		return nil
	}
	var whole bool
	if err := s.conn.QueryRow(ctx, s.step.Probe.SQL, s.step.Probe.Args...).Scan(&whole); err != nil {
		return pg.Wrap("probe partition "+s.step.Partition, err)
	}
	for attempt := 1; whole && attempt <= dropAttempts && s.lockedOut < mostLockedOut; attempt++ {
		if err := s.mayBegin(ctx); err != nil {
			return err
		}
		began := s.Now()
		rows, err := s.drop(ctx)
		if err == nil {
			s.batched(rows, s.Now().Sub(began))
			s.partitions++
			if s.step.Kind == plan.DropPartition {
				s.rows += rows // of a leaf that is detached they are still there
			}
			s.note(rows)
			s.Log.DebugContext(ctx, "partition gone", slog.String("step", s.step.Name()), slog.Int64("rows", rows))
			return nil
		}
		s.Log.WarnContext(ctx, "partition stays", slog.String("step", s.step.Name()), slog.Int("attempt", attempt), slog.Any("err", err))
		switch {
		case pg.Classify(err) == pg.Retry:
		case byRows(err), errors.Is(err, errOver):
			return nil
		default:
			return err
		}
		if attempt == dropAttempts {
			s.lockedOut++
		}
		if err := pause(ctx, firstPause<<attempt); err != nil {
			return err
		}
	}
	return nil
}

// fits tells whether the leaf's rows are few enough for what the run may still
// purge, as they were counted when it began. Those that nobody counts never are.
func (s *stepper) fits() bool {
	left := s.left()
	return left < 0 || s.category.Policy.Manifest != "none" && s.due[plan.Delete][s.step.Leaf] <= left
}

// byRows are the answers after which a leaf goes by rows: a row in it is young
// or held, it may not be dropped, another object depends on it, or counting it
// took too long.
func byRows(err error) bool {
	switch pg.SQLState(err) {
	case "SW001", "SW002", "SW003", "42501", "2BP01", "57014":
		return true
	}
	return false
}

// drop calls the installed function in a transaction of its own. Of a manifest
// that does not count, rows is 0.
func (s *stepper) drop(ctx context.Context) (rows int64, err error) {
	op := strings.ReplaceAll(s.step.Kind, "_", " ") + " " + s.step.Partition
	err = pgx.BeginTxFunc(ctx, s.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, rootSQL, rootArgs(s.step.Root)...); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`,
			milliseconds(s.LockTimeout), milliseconds(min(manifestTimeout, s.StatementTimeout))); err != nil {
			return err
		}
		var l licence
		if err := l.scan(tx.QueryRow(ctx, licenceSQL, s.id, s.category.Policy.Name)); err != nil {
			return err
		}
		if err := l.refuses(); err != nil {
			return err
		}
		var mine bool
		if err := tx.QueryRow(ctx, stepLockSQL, pg.LockSpace, pg.StepLock(s.step.Name())).Scan(&mine, nil); err != nil {
			return err
		}
		if !mine {
			return ErrStepBusy
		}
		args := append([]any{s.id, s.Reason, s.Actor, s.plan.PolicySHA256[:], s.cutoffs[s.step.Kind]}, s.step.Drop.Args...)
		var counted *int64
		if err := tx.QueryRow(ctx, s.step.Drop.SQL, args...).Scan(&counted); err != nil {
			return err
		}
		if counted != nil {
			rows = *counted
		}
		if !s.spend(rows) || counted == nil && s.left() >= 0 {
			return errOver
		}
		failpoint.Hit("purge.in_drop")
		return nil
	})
	if err != nil {
		return 0, pg.Wrap(op, err)
	}
	s.dropped[s.step.Leaf] = true
	return rows, nil
}
