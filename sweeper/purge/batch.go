package purge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/failpoint"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// ErrBusy is a category that another process is running at this moment, and
// ErrStepBusy one of its steps.
var (
	ErrBusy     = errors.New("another process runs this category")
	ErrStepBusy = fmt.Errorf("%w, or a step of it", ErrBusy)
)

// ErrTaken is a run that another process has ended: this one seemed frozen or
// cut off, and its slot was taken over.
var ErrTaken = errors.New("another process has taken the run over")

// ErrPaused is a category that somebody has paused.
var ErrPaused = errors.New("the category is paused")

// licence is what the run's own row and the pauses say to one more batch.
type licence struct {
	runs   int     // 0: another process has taken the run over
	paused *string // by whom, since when, and what ends it; nil: it is not
}

func (l *licence) scan(row pgx.Row) error { return row.Scan(&l.runs, &l.paused) }

func (l *licence) refuses() error {
	switch {
	case l.runs == 0:
		return ErrTaken
	case l.paused != nil:
		return fmt.Errorf("%w %s", ErrPaused, *l.paused)
	}
	return nil
}

// errStopped is a run that was asked to stop between two batches.
var errStopped = fmt.Errorf("stopped between two batches: %w", context.Canceled)

const (
	// To the planner rows that are given by their places, or by their keys, are as
	// many pages from anywhere on a disk, and it would rather read all of a table or
	// of an index; but they lie together, and the batch has just read them.
	//
	// Unless the run is paced a batch does not wait until it is on the disk. After a
	// crash the rows are there again, and due; the log reads only what is on the disk,
	// and what a run reports at its end is committed after them. With a rate the disk
	// has time, and the log should not wait for the server's next round.
	settingsSQL = `select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true), set_config('random_page_cost', '1', true),
       set_config('synchronous_commit', case when $3::bool then current_setting('synchronous_commit') else 'off' end, true), current_setting('transaction_isolation')`
	fenceSQL    = `select pg_advisory_xact_lock_shared($1::int, $2::int)`
	stepLockSQL = `select pg_try_advisory_xact_lock($1::int, $2::int), (` + plan.KeysVersionSQL + `)::text`
	helperSQL   = `select pg_try_advisory_xact_lock_shared($1::int, $2::int)`
	licenceSQL  = `select count(*), (select format('by %s since %s; end that with: select sweeper.set_paused(%L, false, actor, reason)', p.actor, to_char(timezone('UTC', p.paused_at), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), p.category) from sweeper.paused p where p.category = $2)
  from (select from sweeper.runs where run_id = $1 and state = 'running' for share) r`
	stampSQL = `insert into sweeper.batches (fact, kind, reason, category, relation, partition, cutoff, basis, actor, run_id, policy_sha256, columns, evidence)
values ('stamp', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
)

// span is the part of a step that one batch takes: a range of starts or of
// blocks, or of a range of starts what lies between two places.
type span struct {
	lo, hi      string
	first, last string // places; "" the whole range
	from, to    place  // of blocks, lo and hi
	aim         int64  // of blocks: how many rows they should have at most
	large       bool   // more rows than a batch takes: to be cut further
	skip        bool   // rows that others have locked are left
	pieces      bool   // of rows with more below them than fit, some of that may go before
	lock        int32  // second key of the lock that its batch takes
}

// done is what one batch did.
type done struct {
	rows   int64 // of the category's table
	kin    int64 // that went along with them
	own    int64 // of kin, those of the category's table
	locked int64 // that were left because others have locked them
	places int   // rows of the category's table that it looked at
	more   bool  // rows of kin are left that it had no room for
	tried  bool  // it had room for some
}

// batch purges the rows of step in a span in one transaction, and of those that
// go along at most most, by what is known of their families. A span that holds
// none leaves no trace: its transaction is rolled back.
func (r *run) batch(ctx context.Context, conn *pgx.Conn, step *plan.Step, at span, most int, known *known) (d done, err error) {
	op := fmt.Sprintf("%s a batch of %s", step.Kind, step.Relation)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return d, pg.Wrap(op, err)
	}
	defer func() {
		if err != nil || d.rows+d.kin == 0 {
			// Bounded and free of ctx: a cancelled batch must still give its locks back.
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = tx.Rollback(undo)
		}
	}()
	if step.Leaf != 0 {
		if err = avoidDrops(ctx, tx, step.Root, step.Relation, r.LockTimeout); err != nil {
			return d, err
		}
	}
	d, err = r.work(ctx, tx, step, at, most, known)
	if err != nil || d.rows+d.kin == 0 {
		return d, err
	}
	if !r.spend(d.rows + d.own) {
		return d, errOver
	}
	failpoint.Hit("purge.in_batch")
	if r.helping {
		failpoint.Hit("purge.in_help")
	}
	if err = tx.Commit(ctx); err != nil {
		return d, pg.Wrap("commit "+op, err)
	}
	failpoint.Hit("purge.committed")
	return d, nil
}

// work does everything before the commit, in as few round trips as it takes. To leave rows that
// others have locked takes two: the first locks the others, and the second judges
// and purges what it has got, by a snapshot that is younger than the locks. So
// rows that are judged by other tables always go: the server reads the row itself
// again when it has waited for its lock, but no other table.
//
// Last it looks at the table's definition, which cannot change any more until the
// transaction ends.
func (r *run) work(ctx context.Context, tx pgx.Tx, step *plan.Step, at span, most int, known *known) (d done, err error) {
	var same bool
	if !at.skip {
		d.rows, err = r.workRange(ctx, tx, step, at, &same)
		return d, unlessSame(step, same, err)
	}
	var places []string
	d.locked, err = r.begun(ctx, tx, step, at, func(b *pgx.Batch, locked *int64) {
		sql, args := r.lock(at, step)
		b.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&places, locked) })
	})
	if err != nil || len(places) == 0 {
		return d, err
	}
	d.places = len(places)
	f := &family{run: r, tx: tx, step: step, done: &d, known: known}
	if places, err = f.take(ctx, places, most); err != nil || len(places) == 0 {
		return d, err
	}
	if d.more && d.places > 1 && !at.pieces && !f.chained() {
		return d, errMany
	}
	b := &pgx.Batch{}
	b.Queue(stampSQL, r.stamp(step)...)
	late := f.queue(b, r.id)
	late.add(queueWork(b, r.given(step.Taken), step.Report, []any{places}, r.id, nil, func(n int64) { d.rows = n }))
	last := b
	if len(late) > 0 { // what they report is known when the others have been done
		last = &pgx.Batch{}
		err = tx.SendBatch(ctx, b).Close()
	}
	if err == nil {
		late.queue(last)
		isSame(last, step, &same)
		err = tx.SendBatch(ctx, last).Close()
	}
	if err != nil {
		return d, pg.Wrap(fmt.Sprintf("%s a batch of %s%s", step.Kind, step.Relation, f.along()), err)
	}
	return d, unlessSame(step, same, f.sound(places))
}

// workRange purges a range at once, waiting for rows that others have locked.
func (r *run) workRange(ctx context.Context, tx pgx.Tx, step *plan.Step, at span, same *bool) (rows int64, err error) {
	if step.Total.SQL == "" {
		sql, args := r.statement(at, step, r.id)
		return r.begun(ctx, tx, step, at, func(b *pgx.Batch, rows *int64) {
			b.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(rows) })
			isSame(b, step, same)
		})
	}
	sql, args := r.statement(at, step)
	rows, err = r.begun(ctx, tx, step, at, func(b *pgx.Batch, rows *int64) {
		b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
			*rows = tag.RowsAffected()
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	b := &pgx.Batch{}
	if rows > 0 {
		b.Queue(step.Total.SQL, append([]any{rows, r.id}, step.Total.Args...)...)
	}
	isSame(b, step, same)
	return rows, pg.Wrap(fmt.Sprintf("%s a batch of %s", step.Kind, step.Relation), tx.SendBatch(ctx, b).Close())
}

// errChanged is a table that is no longer what the plan was made for.
var errChanged = errors.New("its columns, constraints, triggers, rules or row security have changed since the plan was made, so the step stops; the next sweep plans it anew")

func isSame(b *pgx.Batch, step *plan.Step, same *bool) {
	b.Queue(step.Same.SQL, step.Same.Args...).QueryRow(func(row pgx.Row) error { return row.Scan(same) })
}

func unlessSame(step *plan.Step, same bool, err error) error {
	if err != nil || same {
		return err
	}
	return fmt.Errorf("%s %s: %w", step.Kind, step.Relation, errChanged)
}

// begun sends what every batch begins with and the statement that queue adds,
// whose one number it returns. The fence is a statement of its own, so that the
// snapshot of what follows is younger than the lock. The run's own row is its
// licence: who takes a run over ends that row first, so that a process which
// wakes up later commits nothing more. A helper also gives way to whoever is
// about to end the run.
func (r *run) begun(ctx context.Context, tx pgx.Tx, step *plan.Step, at span, queue func(*pgx.Batch, *int64)) (n int64, err error) {
	var isolation string
	var mine bool
	var version *string
	var l licence
	welcome := true
	b := &pgx.Batch{}
	if r.helping {
		b.Queue(helperSQL, pg.LockSpace, pg.RunLock(r.id)).QueryRow(func(row pgx.Row) error { return row.Scan(&welcome) })
	}
	b.Queue(settingsSQL, milliseconds(r.LockTimeout), milliseconds(r.StatementTimeout), r.paced()).QueryRow(func(row pgx.Row) error {
		return row.Scan(nil, nil, nil, nil, &isolation)
	})
	b.Queue(licenceSQL, r.id, r.category.Policy.Name).QueryRow(l.scan)
	b.Queue(fenceSQL, pg.LockSpace, pg.LockFence)
	b.Queue(stepLockSQL, pg.LockSpace, at.lock).QueryRow(func(row pgx.Row) error {
		return row.Scan(&mine, &version)
	})
	if !at.skip { // else it is known later whether there is anything to be done
		b.Queue(stampSQL, r.stamp(step)...)
	}
	queue(b, &n)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return 0, pg.Wrap(fmt.Sprintf("%s a batch of %s", step.Kind, step.Relation), err)
	}
	r.keys.saw(version)
	if isolation != "read committed" {
		return 0, fmt.Errorf("%s a batch of %s: the transaction is %s; the hold fence needs read committed", step.Kind, step.Relation, isolation)
	}
	switch {
	case !welcome:
		return 0, ErrTaken
	case l.refuses() != nil:
		return 0, l.refuses()
	case !mine:
		return 0, ErrStepBusy
	}
	return n, nil
}

// statement is the work of a step in a span, with all its parameters; run is the
// run's, where the statement reports too.
func (r *run) statement(at span, step *plan.Step, run ...any) (string, []any) {
	args, work := []any{at.lo, at.hi}, step.Batch
	if at.first != "" {
		args, work = append(args, at.first, at.last), step.Part
	}
	return work.SQL, append(append(args, run...), r.given(work).Args...)
}

// lock is the statement that locks the rows of a span.
func (r *run) lock(at span, step *plan.Step) (string, []any) {
	args := []any{at.lo, at.hi}
	if step.Walk == plan.WalkStart {
		first, last := at.places()
		args = append(args, first, last)
	}
	return step.Lock.SQL, append(args, r.given(step.Lock).Args...)
}

// places are the first and the last one of a span.
func (at span) places() (first, last string) {
	if at.first == "" {
		return "(0,0)", "(4294967295,65535)"
	}
	return at.first, at.last
}

// stamp are the parameters of the row that attributes this transaction.
func (r *run) stamp(step *plan.Step) []any {
	var partition any
	if step.Partition != "" {
		partition = step.Partition
	}
	policy := r.category.Policy
	return []any{
		step.Kind, r.Reason, policy.Name, step.Relation, partition, r.cutoffs[step.Kind],
		policy.Basis, r.Actor, r.id, r.plan.PolicySHA256[:], step.Columns, policy.Evidence,
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
