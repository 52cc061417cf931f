package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// passes over a category: a range left because of a lock, or a row that moved
// ahead of the walk, is met by the next one. Of rows that point at rows of their
// own table a pass takes those that no other points at, and uncovers the next.
const (
	passes = 3
	layers = 100
)

// purge runs one category: count, guard, walk its steps, count again. Its
// errors stay in the outcome: one failure is one failure.
func (r *run) purge(ctx context.Context, pool *pgxpool.Pool, slots chan struct{}, m *meter) Outcome {
	o := Outcome{RunID: r.id, Category: r.category.Policy.Name, State: Running, AsOf: r.plan.AsOf, PlanHash: r.category.Hash}
	before, err := r.count(ctx, pool)
	if err != nil {
		return r.finish(ctx, pool, o, cmp.Or(r.begin(ctx, pool, o, 0), err)) // a failure leaves its row too
	}
	r.cutoffs = map[string]time.Time{}
	r.found(before)
	var due int64
	for _, s := range before {
		r.cutoffs[s.Disposition] = s.Cutoff
		due += s.Due
	}
	r.cutoffs[plan.DropPartition], r.cutoffs[plan.DetachPartition] = r.cutoffs[plan.Delete], r.cutoffs[plan.Delete]
	o.add(before)
	if err := r.begin(ctx, pool, o, due); err != nil {
		return r.finish(ctx, pool, o, err)
	}
	if r.Claim != nil {
		if err := r.Claim(o.Category); err != nil {
			return r.finish(ctx, pool, o, err)
		}
	}
	state, reason, err := r.guard(ctx, pool, due)
	if state != "" || err != nil {
		o.State, o.StopReason = state, reason
		return r.finish(ctx, pool, o, err)
	}
	m.expect(o.Category, due)
	defer r.watch(ctx, pool)()
	limit := passes
	if r.category.SelfReferencing() {
		limit = layers
	}
	var t tally
	stayed := false
	for pass := 0; pass < limit && o.due() > 0; pass++ {
		remaining, done := o.Remaining, o.Deleted+o.Redacted
		t, err = r.steps(ctx, pool, slots, m.note(o.Category), &o)
		cerr := r.recount(ctx, pool, &o, o.Deleted+o.Redacted-done, err != nil)
		if err = cmp.Or(err, cerr); err != nil {
			return r.finish(ctx, pool, o, err)
		}
		stayed = o.Remaining >= remaining
		if r.left() == 0 || r.gaveUp() {
			break
		}
		if pass > 0 && stayed && (len(t.skipped) == 0 || pass+1 >= passes) {
			break // they stay: another pass would find the same
		}
	}
	if due := o.due(); due > 0 && len(t.skipped) == 0 && len(t.refused) == 0 && stayed && r.triggers() != "" {
		o.kept, o.Blocked = due, o.Blocked+due
	}
	o.State, o.StopReason = r.verdict(o, t)
	return r.finish(ctx, pool, o, nil)
}

// recountTimeout bounds the count after a pass that ended early.
const recountTimeout = 5 * time.Second

// recount counts what a pass over done rows has left. When the pass ended early
// it does so if the database still answers, and else goes by what was done.
func (r *run) recount(ctx context.Context, pool *pgxpool.Pool, o *Outcome, done int64, early bool) error {
	if early {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), recountTimeout)
		defer cancel()
		ctx = bounded
	}
	after, err := r.count(ctx, pool)
	if err != nil {
		o.Remaining = max(o.Blocked, o.Remaining-done)
		return err
	}
	o.add(after)
	r.found(after)
	return nil
}

// found takes over where the due rows are.
func (r *run) found(all []States) {
	r.due = map[string]map[uint32]int64{}
	for _, s := range all {
		r.due[s.Disposition] = map[uint32]int64{}
		for leaf, t := range s.Leaves {
			r.due[s.Disposition][leaf] = t.Due
		}
	}
}

// verdict says how a run ended, and of rows that are left why.
func (r *run) verdict(o Outcome, last tally) (state, reason string) {
	switch {
	case o.due() > 0 && r.left() == 0:
		return Partial, fmt.Sprintf("limits.max_rows_per_run of %d rows is reached: %d due rows remain for the runs after this one", r.category.Policy.Limits.MaxRowsPerRun, o.due())
	case o.due() > 0 && len(last.skipped) > 0:
		return Partial, fmt.Sprintf("%d due rows remain: %s", o.due(), some(last.skipped))
	case o.due() > 0 && len(last.refused) > 0:
		return Partial, fmt.Sprintf("%d due rows remain: %s", o.due(), last.refused[0])
	case o.due() > 0:
		return Partial, fmt.Sprintf("%d due rows remain: they moved while the sweep ran", o.due())
	case o.kept > 0:
		return Partial, fmt.Sprintf("%d due rows stay, though nothing refuses: %s of %s keeps them", o.kept, r.triggers(), r.category.Table.Text)
	case o.Blocked > 0:
		return Partial, o.blocked(r.category)
	}
	return Succeeded, ""
}

// some are the first of several reasons.
func some(reasons []string) string {
	const most = 3
	if len(reasons) > most {
		return fmt.Sprintf("%s; and %d more like these", strings.Join(reasons[:most], "; "), len(reasons)-most)
	}
	return strings.Join(reasons, "; ")
}

// add takes over the states of a count.
func (o *Outcome) add(all []States) {
	o.Held, o.Blocked, o.NotStarted, o.Remaining, o.oldest, o.counted, o.keepers = 0, 0, 0, 0, nil, true, nil
	for _, s := range all {
		if s.Oldest != nil && (o.oldest == nil || s.Oldest.Before(*o.oldest)) {
			o.oldest = s.Oldest
		}
		for _, k := range s.Keepers {
			if k.Rows > 0 && !slices.Contains(o.keepers, k.Name) {
				o.keepers = append(o.keepers, k.Name)
			}
		}
		o.Held += s.Held
		o.Blocked += s.Blocked
		o.NotStarted = max(o.NotStarted, s.NotStarted)
		o.Remaining += s.Due + s.Blocked
	}
}

func (o *Outcome) due() int64 { return o.Remaining - o.Blocked }

// blocked says what keeps rows that are due.
func (o *Outcome) blocked(c *plan.Category) string {
	names := c.Blockers()
	if len(o.keepers) == 0 {
		return fmt.Sprintf("%d due rows are still referenced: %s", o.Blocked, strings.Join(names, ", "))
	}
	return fmt.Sprintf("%d due rows are blocked by rows that would go along: %s", o.Blocked, strings.Join(append(slices.Clone(o.keepers), names...), ", "))
}

// triggers are those of the application that see the rows go.
func (r *run) triggers() string {
	c := r.category
	var names []string
	add := func(all []catalog.Trigger) {
		for _, g := range all {
			if name := fmt.Sprintf("trigger %q", g.Name); (g.OnDelete && c.Policy.Delete != nil || g.OnUpdate && c.Policy.Redact != nil) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	add(c.Table.Triggers)
	for i := range c.Table.Leaves {
		add(c.Table.Leaves[i].Triggers)
	}
	return strings.Join(names, " or ")
}

// guard tells whether the run may purge at all; a state other than "" ends it.
func (r *run) guard(ctx context.Context, pool *pgxpool.Pool, due int64) (state, reason string, err error) {
	var l licence
	if err := l.scan(pool.QueryRow(ctx, licenceSQL, r.id, r.category.Policy.Name)); err != nil {
		return "", "", pg.Wrap("look for a pause", err)
	}
	if err := l.refuses(); err != nil {
		return "", "", err
	}
	if !r.category.Covered {
		return Failed, "awaiting coverage: nothing of the table is in the publication yet, so a purge would leave no evidence; its owner runs: " + r.category.Publish, nil
	}
	var why string
	if !r.AutoApprove {
		err = r.inTurn(ctx, func() (err error) {
			why, err = Approval(ctx, pool, r.plan, r.category, due, r.Shortened)
			return err
		})
	}
	if r.category.Policy.Mode == "observe" {
		return Observed, r.observed(due, why, err), nil
	}
	if err != nil || why == "" {
		return "", "", err
	}
	return AwaitingApproval, fmt.Sprintf("%s; approve with: sweeper approve %s --plan %s --actor … --reason …", why, r.category.Policy.Name, r.category.Hash), nil
}

// observed says what the run would have done.
func (r *run) observed(due int64, approval string, err error) string {
	text := fmt.Sprintf("mode is observe: %d rows would go", due)
	if most := r.category.Policy.Limits.MaxRowsPerRun; most > 0 && due > most {
		text += fmt.Sprintf(", %d of them by this run (limits.max_rows_per_run)", most)
	}
	switch {
	case err != nil:
		text += "; whether it would wait for approval is not known: " + err.Error()
	case approval != "":
		text += "; it would wait for approval first: " + approval
	}
	return text
}

// begin writes the run down before anything is purged.
func (r *run) begin(ctx context.Context, pool *pgxpool.Pool, o Outcome, planned int64) error {
	_, err := pool.Exec(ctx, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, planned, instance)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nullif($11, ''))`,
		r.id, r.sweep, o.Category, Running, r.Reason, r.Actor, o.AsOf, r.plan.PolicySHA256[:], o.PlanHash, planned, r.Instance)
	return pg.Wrap("record the run of category "+o.Category, err)
}

// finish writes down how the run ended, and the end itself as a fact for the
// purge log, in one transaction.
func (r *run) finish(ctx context.Context, pool *pgxpool.Pool, o Outcome, err error) Outcome {
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // why the run was cut off, and not what that broke
		}
		o.State, o.StopReason, o.Err = Failed, err.Error(), err
		level := slog.LevelError
		switch {
		case errors.Is(err, context.Canceled):
			o.State, o.StopReason, level = Stopped, r.stopReason(), slog.LevelInfo
		case errors.Is(err, ErrBusy):
			o.State, level = Stopped, slog.LevelInfo
		case errors.Is(err, ErrPaused):
			o.State, o.Err, level = Paused, nil, slog.LevelInfo
		}
		r.Log.Log(ctx, level, "run ended early", slog.String("policy", o.Category), slog.Any("err", err))
	}
	r.leaves(ctx, pool)
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	werr := pgx.BeginFunc(record, pool, func(tx pgx.Tx) error { return r.record(record, tx, &o) })
	if werr != nil && o.Err == nil {
		o.State, o.Err = Failed, pg.Wrap("record the end of the run of category "+o.Category, werr)
		o.StopReason = o.Err.Error()
	}
	return o
}

// purgedSQL are the rows that a run reported, whoever did it; of partitions that
// were detached they are still there.
const purgedSQL = `select coalesce(sum(row_count) filter (where kind in ('delete', 'drop_partition') and relation = $2), 0)::bigint, coalesce(sum(row_count) filter (where kind = 'redact' and relation = $2), 0)::bigint,
	coalesce(sum(row_count) filter (where relation <> $2), 0)::bigint
	from sweeper.batches where run_id = $1 and fact = 'report'`

// record writes the end of a run that is still this process's own. First it
// waits for the batches of those who help, and lets no further one begin: what
// they did counts too. Each process has noted its pauses: those that overlap count
// once.
func (r *run) record(ctx context.Context, tx pgx.Tx, o *Outcome) error {
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1::int, $2::int)`, pg.LockSpace, pg.RunLock(o.RunID)); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, purgedSQL, o.RunID, r.category.Table.Text).Scan(&o.Deleted, &o.Redacted, &o.Children); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `
		with done as (
		  update sweeper.runs set state = $2, deleted = $3, redacted = $4, partitions_dropped = $5, held = $6, blocked = $7,
		         not_started = $8, remaining = $9, stop_reason = nullif($10, ''), children = $21, finished_at = clock_timestamp(),
		         waited = coalesce((select sum(upper(u) - lower(u)) from (
		           select unnest(range_agg(tstzrange(w.began_at, greatest(w.began_at, coalesce(w.ended_at, clock_timestamp()))))) as u
		             from sweeper.run_waits w where w.run_id = $1) all_of_it), interval '0')
		   where run_id = $1 and state = 'running' returning started_at),
		counts as (
		  insert into sweeper.policy_counts as c (category, due_rows, held_rows, blocked_rows, oldest_overdue, coverage, computed_at)
		  select $12, $9::bigint - $7::bigint, $6, $7, $18, $19, clock_timestamp() from done where $20
		  on conflict (category) do update set due_rows = excluded.due_rows, held_rows = excluded.held_rows, blocked_rows = excluded.blocked_rows,
		         oldest_overdue = excluded.oldest_overdue, coverage = excluded.coverage, computed_at = excluded.computed_at)
		insert into sweeper.batches (fact, reason, category, relation, cutoff, basis, actor, run_id, policy_sha256, started_at)
		select 'run_end', $11, $12, $13, $14, $15, $16, $1, $17, started_at from done`,
		o.RunID, o.State, o.Deleted, o.Redacted, o.PartitionsDropped, o.Held, o.Blocked, o.NotStarted, o.Remaining, o.StopReason,
		r.Reason, o.Category, r.category.Table.Text, r.cutoff(), r.category.Policy.Basis, r.Actor, r.plan.PolicySHA256[:], o.oldest, map[bool]string{true: "covered", false: "awaiting"}[r.category.Covered], o.counted, o.Children)
	if err != nil || tag.RowsAffected() == 0 || r.Ended == nil {
		return err
	}
	return r.Ended(ctx, tx, *o)
}

// cutoff is what the run's summary prints: that of the deletion, else of the
// redaction.
func (r *run) cutoff() *time.Time {
	for _, d := range []string{plan.Delete, plan.Redact} {
		if t, ok := r.cutoffs[d]; ok && !t.IsZero() {
			return &t
		}
	}
	return nil
}

func newRun(p *plan.Plan, c *plan.Category, sweep uuid.UUID, o Options) *run {
	return &run{Options: o, id: uuid.New(), sweep: sweep, plan: p, category: c, even: o.evenly(c.Policy.Limits.RowsPerSecond), halt: halt{vain: make(chan struct{})}, dropped: map[uint32]bool{}, strange: map[string]time.Time{}, locked: map[string]bool{}}
}
