package purge

import (
	"cmp"
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
	mostRefused   = 100 // rows that the server refused and a step singles out; further ones keep their neighbours
	attempts      = 5   // at the locks of a partition that goes whole
	firstPause    = 50 * time.Millisecond
)

// tally is what a step did.
type tally struct {
	rows       int64
	kin        int64 // rows of other tables that went along
	partitions int64
	skipped    []string // why ranges were left, without values: locks, time
	refused    []string // why single rows were: constraints, triggers
}

// stepper walks one step.
type stepper struct {
	*run
	conn *pgx.Conn
	step *plan.Step
	size int // rows that the next batch aims at
	note func(rows int64)
	tally
	locks

	known  known
	weight float64 // rows that a batch takes for one of the step's: itself, and those that go along with it
}

// walk purges a step from end to end, each range once. Ranges that stay locked
// and rows that the server refuses are left and named; any other error ends the
// step.
func (r *run) walk(ctx context.Context, conn *pgx.Conn, step *plan.Step, note func(int64)) (tally, error) {
	s := &stepper{run: r, conn: conn, step: step, size: r.BatchRows, note: note, weight: 1}
	s.all = r.remembers(step.Name())
	if len(step.Kin) > 0 {
		s.weight = 2
	}
	var mine bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.StepLock(step.Name())).Scan(&mine); err != nil {
		return s.tally, pg.Wrap("take step "+step.Name(), err)
	}
	if !mine {
		err := s.busy(ctx)
		return s.tally, err
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(undo, `select pg_advisory_unlock($1::int, $2::int), set_config('lock_timeout', reset_val, false) from pg_settings where name = 'lock_timeout'`, pg.LockSpace, pg.StepLock(step.Name()))
	}()
	// To prepare a statement takes the table's lock, and comes before the first
	// statement of a batch could say how long to wait for it.
	if _, err := conn.Exec(ctx, `select set_config('lock_timeout', $1, false)`, milliseconds(r.LockTimeout)); err != nil {
		return s.tally, pg.Wrap("take step "+step.Name(), err)
	}
	if step.Walk == plan.WalkPartition {
		err := s.walkPartition(ctx)
		return s.tally, unlessLeft(err)
	}
	err := s.walkRows(ctx)
	if err == nil {
		err = s.comeBack(ctx)
	}
	if err = unlessLeft(err); pg.Classify(err) == pg.Retry { // not even the first row was to be found
		s.later, err = append(s.later, left{err: err}), nil
	}
	s.sayLocked(ctx)
	return s.tally, s.unlessChanged(ctx, err)
}

// unlessLeft is nil for a step that is left for a reason of its own, which is
// noted elsewhere.
func unlessLeft(err error) error {
	if errors.Is(err, errLocked) || errors.Is(err, errSpent) || errors.Is(err, errVain) {
		return nil
	}
	return err
}

// unlessChanged puts a changed definition in the place of what came of it.
func (s *stepper) unlessChanged(ctx context.Context, err error) error {
	if pg.SQLState(err) == "" {
		return err
	}
	var same bool
	if s.conn.QueryRow(ctx, s.step.Same.SQL, s.step.Same.Args...).Scan(&same) != nil || same {
		return err
	}
	return unlessSame(s.step, false, nil)
}

// walkRows walks by rows. A plan that was made without the key has no statement.
func (s *stepper) walkRows(ctx context.Context) error {
	switch {
	case s.step.Batch.SQL == "" && s.step.Taken.SQL == "":
		return fmt.Errorf("%s %s: the plan was made without SWEEPER_HMAC_KEY, so it cannot run", s.step.Kind, s.step.Relation)
	case s.step.Walk == plan.WalkStart:
		return s.walkStart(ctx)
	}
	return s.walkBlocks(ctx)
}

// walkStart goes through the start column in ranges of about size rows. Equal
// starts that are more than that go by their places.
func (s *stepper) walkStart(ctx context.Context) error {
	var lo *string
	if err := s.conn.QueryRow(ctx, s.step.First.SQL, s.step.First.Args...).Scan(&lo); err != nil {
		return pg.Wrap("find the first due row of "+s.step.Relation, err)
	}
	for lo != nil && ctx.Err() == nil {
		hi, equal, err := s.nextBound(ctx, *lo)
		if err != nil {
			return err
		}
		at := span{lo: *lo, hi: "infinity"} // the condition itself ends the last range
		if hi != nil {
			at.hi = *hi
		}
		again := false
		if equal {
			err = s.walkPlaces(ctx, at)
		} else {
			again, err = s.purge(ctx, at)
		}
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
// equal tells that lo is the start of more rows than a batch takes.
func (s *stepper) nextBound(ctx context.Context, lo string) (hi *string, equal bool, err error) {
	for skip := s.share(); ; skip *= 4 {
		err := s.conn.QueryRow(ctx, s.step.Next.SQL, append([]any{lo, skip}, s.step.Next.Args...)...).Scan(&hi)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, equal, nil
		}
		if err != nil {
			return nil, false, pg.Wrap("find the next range of "+s.step.Relation, err)
		}
		if *hi != lo {
			return hi, equal, nil
		}
		equal = true
	}
}

// walkPlaces goes through a range of starts, or a part of one, in the order in
// which its rows lie, size rows at a time. A part that is too large still is
// walked the same way.
func (s *stepper) walkPlaces(ctx context.Context, at span) error {
	first, last := at.places()
	rows, err := s.conn.Query(ctx, s.step.Split.SQL, append([]any{at.lo, at.hi, s.share(), first, last}, s.step.Split.Args...)...)
	if err != nil {
		return pg.Wrap("split a range of "+s.step.Relation, err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (span, error) {
		part := at
		return part, row.Scan(&part.first, &part.last)
	})
	if err != nil {
		return pg.Wrap("split a range of "+s.step.Relation, err)
	}
	for _, part := range parts {
		again, err := s.purge(ctx, part)
		if err == nil && again {
			err = s.walkPlaces(ctx, part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walkBlocks goes through the heap in ranges of blocks, or of places in one
// block where a batch is smaller, up to its size at the beginning: what is
// written later is young.
func (s *stepper) walkBlocks(ctx context.Context) error {
	var blocks, items int64
	var perBlock float64
	err := s.conn.QueryRow(ctx, `
		select coalesce(pg_relation_size(c.oid), 0) / b.size, b.size / 24,
		       case when c.reltuples > 0 and c.relpages > 0 then greatest(c.reltuples / c.relpages, 60) else 60 end
		  from pg_class c, (select current_setting('block_size')::int) b(size) where c.oid = $1`, cmp.Or(s.step.Leaf, s.step.Root)).Scan(&blocks, &items, &perBlock)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // a leaf that has gone since
	}
	if err != nil {
		return pg.Wrap("measure "+s.step.Relation, err)
	}
	var block, item int64
	for block < blocks && ctx.Err() == nil {
		size := s.share()
		next, place := block+max(1, int64(float64(size)/perBlock)), int64(0)
		if item+int64(size) < items && (item > 0 || float64(size) < perBlock) {
			next, place = block, item+int64(size)
		} else if item > 0 {
			next = block + 1
		}
		before := s.rows
		again, err := s.purge(ctx, span{lo: fmt.Sprintf("(%d,%d)", block, item), hi: fmt.Sprintf("(%d,%d)", next, place)})
		if err != nil {
			return err
		}
		// The server's estimate can be old: a table that was emptied and filled
		// again has many more rows in a block than it says.
		if over := float64(s.rows-before) / float64(size); over > 1 {
			perBlock *= over
		}
		if !again {
			block, item = next, place
		}
	}
	return context.Cause(ctx)
}

// purge does one span. It asks for a smaller one (again) when the statement ran
// out of time or the server refused a row in it, and leaves what is locked, and
// what cannot be made smaller. A table that stays locked as a whole ends the step.
func (s *stepper) purge(ctx context.Context, at span) (again bool, err error) {
	at.skip = s.skips()
	room := s.room()
	for attempt := 1; ; attempt++ {
		if err := s.mayBegin(ctx); err != nil {
			return false, err
		}
		began := s.Now()
		d, err := s.batch(ctx, s.conn, s.step, at, room, &s.known)
		took := s.Now().Sub(began)
		rows := d.rows + d.kin
		switch {
		case err == nil && d.more && rows == 0 && d.places == 1 && d.locked == 0 && room < s.BatchRows:
			room = s.BatchRows // all for one row
		case err == nil && d.more && rows == 0: // no step towards the end, however short it was
			return s.stuck(ctx, at, d), nil
		case err == nil:
			s.adapt(took)
			s.weigh(d)
			s.known.went(d)
			s.rows += d.rows
			s.kin += d.kin
			s.got(at, d.locked)
			if rows > 0 {
				s.note(d.rows)
				s.batched(rows, took)
				s.Log.DebugContext(ctx, "batch committed", slog.String("step", s.step.Name()), slog.Int64("rows", d.rows), slog.Int64("children", d.kin), slog.Duration("elapsed", took))
			}
			return d.more, s.pace(ctx, rows)
		case pg.Classify(err) == pg.Retry && !at.skip && s.maySkip():
			s.Log.DebugContext(ctx, "batch met a lock", slog.String("step", s.step.Name()), slog.Any("err", err))
			s.met()
			at.skip = true
		case pg.Classify(err) == pg.Retry:
			return false, s.leave(at, err)
		case at.skip && s.maySkip() && s.step.Batch.SQL != "" && pg.Classify(err) == pg.Setup:
			s.forbidden = true // a privilege is missing: do without
			at.skip = false
		case errors.Is(err, errMany):
			return s.narrow(ctx, d.places, err), nil
		case errors.Is(err, errOver):
			if again = s.narrow(ctx, d.places, err); !again {
				s.skipped = append(s.skipped, err.Error())
			}
			return again, nil
		case (pg.ForeignKey(err) || errors.Is(err, errTorn)) && attempt == 1:
			// The row that it protects, or a child without a foreign key, may have come
			// between our snapshot and our delete, and the next snapshot sees it.
		case ctx.Err() != nil:
			return false, err
		case pg.Classify(err) == pg.Shrink:
			if again = s.shrink(ctx, smallestBatch, err); !again {
				s.skipped = append(s.skipped, err.Error())
			}
			return again, nil
		case refused(err) && len(s.refused) < mostRefused:
			if again = s.narrow(ctx, d.places, err); !again {
				s.refused = append(s.refused, err.Error())
			}
			return again, nil
		case refused(err):
			return s.shrink(ctx, smallestBatch, err), nil
		default:
			return false, err
		}
	}
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
