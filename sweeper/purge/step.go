package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

const (
	smallestBatch = 100 // rows; adaptive sizing never goes below
	attempts      = 5   // of one range that meets locks, before it is left for the next pass
	firstPause    = 50 * time.Millisecond
)

// tally is what a step did.
type tally struct {
	rows       int64
	partitions int64
	skipped    []string // why ranges were left, without values
}

// stepper walks one step.
type stepper struct {
	*run
	conn *pgx.Conn
	step *plan.Step
	size int // rows that the next batch aims at
	note func(rows int64)
	tally
}

// walk purges a step from end to end, each range once. Ranges that stay locked
// are left and named; any other error ends the step.
func (r *run) walk(ctx context.Context, conn *pgx.Conn, step *plan.Step, note func(int64)) (tally, error) {
	s := &stepper{run: r, conn: conn, step: step, size: r.BatchRows, note: note}
	var mine bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.StepLock(step.Name())).Scan(&mine); err != nil {
		return s.tally, pg.Wrap("take step "+step.Name(), err)
	}
	if !mine {
		return s.tally, ErrStepBusy
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(undo, `select pg_advisory_unlock($1::int, $2::int)`, pg.LockSpace, pg.StepLock(step.Name()))
	}()
	var err error
	switch step.Walk {
	case plan.WalkPartition:
		err = s.walkPartition(ctx)
	case plan.WalkStart:
		err = s.walkStart(ctx)
	default:
		err = s.walkBlocks(ctx)
	}
	return s.tally, err
}

// walkStart goes through the start column in ranges of about size rows. A
// range never splits equal starts, so one can be larger.
func (s *stepper) walkStart(ctx context.Context) error {
	var lo *string
	if err := s.conn.QueryRow(ctx, s.step.First.SQL, s.step.First.Args...).Scan(&lo); err != nil {
		return pg.Wrap("find the first due row of "+s.step.Relation, err)
	}
	for lo != nil && ctx.Err() == nil {
		hi, err := s.nextBound(ctx, *lo)
		if err != nil {
			return err
		}
		bound := "infinity" // the condition itself ends the last range
		if hi != nil {
			bound = *hi
		}
		again, err := s.purge(ctx, *lo, bound)
		if err != nil {
			return err
		}
		if !again {
			lo = hi
		}
	}
	return context.Cause(ctx)
}

// nextBound finds where the range that begins at lo ends; nil: it is the last.
func (s *stepper) nextBound(ctx context.Context, lo string) (*string, error) {
	for skip := s.size; ; skip *= 4 {
		var hi *string
		err := s.conn.QueryRow(ctx, s.step.Next.SQL, append([]any{lo, skip}, s.step.Next.Args...)...).Scan(&hi)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, pg.Wrap("find the next range of "+s.step.Relation, err)
		}
		if *hi != lo {
			return hi, nil
		}
	}
}

// walkBlocks goes through the heap in ranges of blocks, up to its size at the
// beginning: what is written later is young.
func (s *stepper) walkBlocks(ctx context.Context) error {
	var blocks int64
	var perBlock float64
	err := s.conn.QueryRow(ctx, `
		select pg_relation_size(c.oid) / current_setting('block_size')::int,
		       case when c.reltuples > 0 and c.relpages > 0 then greatest(c.reltuples / c.relpages, 1) else 60 end
		  from pg_class c where c.oid = $1`, s.step.Root).Scan(&blocks, &perBlock)
	if err != nil {
		return pg.Wrap("measure "+s.step.Relation, err)
	}
	for lo := int64(0); lo < blocks && ctx.Err() == nil; {
		hi := lo + max(1, int64(float64(s.size)/perBlock))
		again, err := s.purge(ctx, fmt.Sprintf("(%d,0)", lo), fmt.Sprintf("(%d,0)", hi))
		if err != nil {
			return err
		}
		if !again {
			lo = hi
		}
	}
	return context.Cause(ctx)
}

// purge does one range. It retries what can be retried, asks for a smaller
// range (again) when the statement ran out of time, and leaves a range that
// stays locked.
func (s *stepper) purge(ctx context.Context, lo, hi string) (again bool, err error) {
	for attempt := 1; ; attempt++ {
		if err := s.mayBegin(ctx); err != nil {
			return false, err
		}
		began := s.Now()
		rows, err := s.batch(ctx, s.conn, s.step, lo, hi)
		took := s.Now().Sub(began)
		switch {
		case err == nil:
			s.adapt(took)
			s.rows += rows
			if rows > 0 {
				s.note(rows)
				s.batched(rows, took)
				s.Log.DebugContext(ctx, "batch committed", slog.String("step", s.step.Name()), slog.Int64("rows", rows), slog.Duration("elapsed", took))
			}
			return false, s.pace(ctx, rows)
		case retryable(err) && attempt < attempts:
			s.Log.WarnContext(ctx, "batch retried", slog.String("step", s.step.Name()), slog.Int("attempt", attempt), slog.Any("err", err))
			if err := pause(ctx, firstPause<<attempt); err != nil {
				return false, err
			}
		case retryable(err):
			s.skipped = append(s.skipped, err.Error())
			return false, nil
		case pg.Classify(err) == pg.Shrink && s.size > smallestBatch && ctx.Err() == nil:
			s.size = max(smallestBatch, s.size/4)
			s.Log.WarnContext(ctx, "batch ran out of time, smaller ones follow", slog.String("step", s.step.Name()), slog.Int("rows", s.size))
			return true, nil
		case pg.Classify(err) == pg.Shrink && ctx.Err() == nil:
			s.skipped = append(s.skipped, err.Error())
			return false, nil
		default:
			return false, err
		}
	}
}

// retryable also counts a foreign key that was violated: the row it protects
// came between our snapshot and our delete, and the next snapshot sees it.
func retryable(err error) bool {
	return pg.Classify(err) == pg.Retry || pg.SQLState(err) == "23503"
}

// adapt sizes the next batch by the duration of the last.
func (s *stepper) adapt(took time.Duration) {
	next := s.size * 3 / 2
	if took > s.BatchTarget {
		next = int(float64(s.size) * float64(s.BatchTarget) / float64(took))
	}
	s.size = min(s.BatchRows, max(min(smallestBatch, s.BatchRows), next))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (s *stepper) batched(rows int64, took time.Duration) {
	if s.Batched != nil {
		s.Batched(Batch{Category: s.category.Policy.Name, Table: s.step.Relation, Kind: s.step.Kind, Rows: rows, Took: took})
	}
}
