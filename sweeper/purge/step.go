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

	lock     int32   // second key of the lock that its batches take
	perBlock float64 // WalkBlocks: rows of a block
	items    int64   // WalkBlocks: places of a block
}

// newStepper walks a step, or goes along as its lane of that number.
func (r *run) newStepper(conn *pgx.Conn, step *plan.Step, lane int, note func(int64)) *stepper {
	s := &stepper{run: r, conn: conn, step: step, size: r.even, note: note, weight: 1, lock: pg.StepLock(step.Name())}
	if lane > 0 {
		s.lock = pg.StepLock(fmt.Sprintf("%s#%d", step.Name(), lane))
	}
	s.all = r.remembers(step.Name())
	if len(step.Kin) > 0 {
		s.weight = 2
	}
	return s
}

// walk purges a step from end to end, each range once. Ranges that stay locked
// and rows that the server refuses are left and named; any other error ends the
// step.
func (r *run) walk(ctx context.Context, conn *pgx.Conn, step *plan.Step, spare *spare, note func(int64)) (tally, error) {
	s := r.newStepper(conn, step, 0, note)
	var mine bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1::int, $2::int)`, pg.LockSpace, s.lock).Scan(&mine); err != nil {
		return s.tally, pg.Wrap("take step "+step.Name(), err)
	}
	if !mine {
		err := s.busy(ctx)
		return s.tally, err
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(undo, `select pg_advisory_unlock($1::int, $2::int)`, pg.LockSpace, s.lock)
	}()
	calm, err := s.patience(ctx)
	if err != nil {
		return s.tally, err
	}
	defer calm()
	if step.Walk == plan.WalkPartition {
		err := s.walkPartition(ctx)
		return s.tally, unlessLeft(err)
	}
	err = s.walkRows(ctx, spare)
	if err == nil {
		err = s.comeBack(ctx)
	}
	if err = unlessLeft(err); pg.Classify(err) == pg.Retry { // not even the first row was to be found
		s.later, err = append(s.later, left{err: err}), nil
	}
	s.sayLocked(ctx)
	return s.tally, s.unlessChanged(ctx, err)
}

// patience bounds how long the session waits for a lock, until calm. To prepare a
// statement takes the table's lock, and comes before the first statement of a
// batch could say how long to wait for it.
func (s *stepper) patience(ctx context.Context) (calm func(), err error) {
	if _, err := s.conn.Exec(ctx, `select set_config('lock_timeout', $1, false)`, milliseconds(s.LockTimeout)); err != nil {
		return nil, pg.Wrap("take step "+s.step.Name(), err)
	}
	s.keep(ctx)
	return func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = s.conn.Exec(undo, `select set_config('lock_timeout', reset_val, false) from pg_settings where name = 'lock_timeout'`)
	}, nil
}

// keep prepares what each batch asks beside its work, whatever its range. What
// cannot be prepared now, say since a table of ours is locked, the batch asks
// without, and tells what it meets.
func (s *stepper) keep(ctx context.Context) {
	if s.step.Walk == plan.WalkPartition {
		return
	}
	statements := []string{settingsSQL, licenceSQL, fenceSQL, stepLockSQL, stampSQL}
	for _, q := range []plan.Query{s.step.Total, s.step.Same} {
		if q.SQL != "" {
			statements = append(statements, q.SQL)
		}
	}
	_ = pg.Keep(ctx, s.conn, statements...)
}

// walkRows walks by rows. A plan that was made without the key has no statement.
func (s *stepper) walkRows(ctx context.Context, spare *spare) error {
	if s.step.Batch.SQL == "" && s.step.Taken.SQL == "" {
		return fmt.Errorf("%s %s: the plan was made without SWEEPER_HMAC_KEY, so it cannot run", s.step.Kind, s.step.Relation)
	}
	if err := s.choose(ctx); err != nil {
		return err
	}
	c, err := s.spans(ctx)
	if err != nil {
		return err
	}
	if spare == nil || !s.step.Lanes || s.Workers < 2 || s.left() >= 0 {
		return s.follow(ctx, c)
	}
	return (&crew{first: s, spare: spare, all: c, lanes: make([]bool, s.Workers-1)}).walk(ctx)
}

// join takes over what a lane did.
func (s *stepper) join(o *stepper) {
	s.rows += o.rows
	s.kin += o.kin
	s.skipped = append(s.skipped, o.skipped...)
	s.refused = append(s.refused, o.refused...)
	s.later = append(s.later, o.later...)
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

// purge does one span. It asks for a smaller one (again) when the statement ran
// out of time or the server refused a row in it, and leaves what is locked, and
// what cannot be made smaller. A table that stays locked as a whole ends the step.
func (s *stepper) purge(ctx context.Context, at span) (again bool, err error) {
	at.skip, at.lock = s.skips(), s.lock
	room := s.room()
	for attempt := 1; ; attempt++ {
		if err := s.mayBegin(ctx); err != nil {
			return false, err
		}
		s.readKeys(ctx, s.conn)
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
			return d.more, s.pace(ctx, rows, took)
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
