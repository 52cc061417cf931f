package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// The attribution of what the schedule purges.
const (
	cronReason = "retention_cron"
	cronActor  = "sweeper"
)

// runSlot runs one slot until soft ends, and tells whether it is done with: a run that was
// stopped or cut off is not, so that the slot stays due.
func (s *scheduler) runSlot(soft, ctx context.Context, one slot) (settled bool) {
	l := s.policies()
	p, err := s.planSlot(ctx, l, one)
	if err != nil {
		s.hungry(ctx, err)
		return s.refuse(ctx, l, one, err)
	}
	options := s.cfg.purging(s.log, s.instance, s.now)
	options.Reason, options.Actor, options.Stop, options.Healthy, options.Slots = cronReason, cronActor, soft, s.health.healthy, s.slots
	options.Standbys = &s.lag
	options.Batched, options.Waits, options.Waited = s.health.metrics().batched, s.health.metrics().pauses, s.health.metrics().pausedFor
	options.Ended = func(ctx context.Context, tx pgx.Tx, o purge.Outcome) error {
		if !settles(o) {
			return nil
		}
		return moveSlot(ctx, tx, one, l.schedules[one.category].Next(latest(one.due, o.AsOf)))
	}
	began := s.now()
	outcome := purge.Run(ctx, s.pool, p, options)[0]
	s.health.metrics().ran(outcome, s.now().Sub(began))
	s.note(outcome)
	s.hungry(ctx, outcome.Err)
	if outcome.Deleted+outcome.Redacted > 0 || !settles(outcome) {
		s.log.InfoContext(ctx, "run ended", slog.String(KeyPolicy, outcome.Category), slog.String("state", outcome.State),
			slog.String(KeyRun, outcome.RunID.String()), slog.Int64("deleted", outcome.Deleted), slog.Int64("redacted", outcome.Redacted))
	}
	return settles(outcome)
}

// settles tells whether a run that ended so is what the slot asked for. A
// failure of its own is: the next slot tries again.
func settles(o purge.Outcome) bool {
	return o.State != purge.Stopped && !errors.Is(o.Err, purge.ErrStepBusy) && !errors.Is(o.Err, purge.ErrTaken) &&
		!errors.Is(o.Err, errCut) && pg.Classify(o.Err) != pg.Unreachable
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// planSlot plans one category over the catalogue as it is now.
func (s *scheduler) planSlot(ctx context.Context, l loaded, one slot) (*plan.Plan, error) {
	var p *plan.Plan
	err := s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		built, cat, m, err := buildFitting(ctx, c.Conn(), s.cfg, l.set, time.Time{})
		if err != nil {
			return err
		}
		m.add(l.refused, l.set)
		if err := m.why(one.category); err != nil {
			return err
		}
		if err := trusted(ctx, c.Conn(), built.AsOf, s.now()); err != nil {
			return err
		}
		if err := narrow(built, m, SweepOptions{Category: one.category}); err != nil {
			return err
		}
		p = built
		return register(ctx, c.Conn(), l.set, cat, s.cfg.Policies)
	})
	return p, err
}

// refuse records a slot for which there is no plan, such as when the policies
// no longer fit the tables.
func (s *scheduler) refuse(ctx context.Context, l loaded, one slot, cause error) (settled bool) {
	var bad *policy.Error
	var clock *clockError
	if !errors.As(cause, &bad) && transient(cause) || errors.As(cause, &clock) || ctx.Err() != nil {
		return false
	}
	s.log.ErrorContext(ctx, "slot not planned", slog.String(KeyPolicy, one.category), slog.Any(KeyErr, cause))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		o, err := recordRefused(ctx, tx, l.set, one.category, cronReason, cronActor, s.instance, cause)
		if err != nil {
			return err
		}
		return moveSlot(ctx, tx, one, l.schedules[one.category].Next(latest(one.due, o.AsOf)))
	})
	if err != nil {
		s.log.ErrorContext(ctx, "slot not recorded", slog.String(KeyPolicy, one.category), slog.Any(KeyErr, err))
	}
	return err == nil
}
