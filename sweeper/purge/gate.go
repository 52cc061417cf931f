package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// look is how often a run that waits asks again.
const look = 500 * time.Millisecond

// mayBegin returns when a batch may begin: at once, or when the evidence is
// healthy again and nobody suffers any more. It refuses when the run was asked to
// stop, or has done what it may.
func (s *stepper) mayBegin(ctx context.Context) error {
	var waits *Pause
	for {
		if s.stopped() {
			s.goesOn(ctx, waits)
			return errStopped
		}
		if s.left() == 0 {
			return errSpent
		}
		p := s.pause()
		switch {
		case p == nil:
			s.goesOn(ctx, waits)
			return nil
		case s.helping && p.Cause == Evidence:
			return errStopped // what it holds is the owner's to go on with
		case waits == nil:
			waits = p
			s.waits(ctx, p)
			if p.Cause == LockWaits {
				s.size = max(min(smallestBatch, s.even), s.size/2)
			}
		case p.Cause != waits.Cause:
			s.goesOn(ctx, waits)
			waits = nil
			continue
		}
		err := s.rest(ctx, look)
		if err == nil {
			err = s.licensed(ctx)
		}
		if err != nil {
			s.goesOn(ctx, waits)
			return err
		}
		if s.inVain(waits) {
			s.goesOn(ctx, waits)
			s.skipped = append(s.skipped, fmt.Sprintf("no VACUUM came for %s: %s", mostDead, waits.Why))
			return errVain
		}
	}
}

// licensed asks outside of any batch what each batch asks.
func (s *stepper) licensed(ctx context.Context) error {
	var l licence
	if err := l.scan(s.conn.QueryRow(ctx, licenceSQL, s.id, s.category.Policy.Name)); err != nil {
		return pg.Wrap("look for a pause", err)
	}
	return l.refuses()
}

// pause is why no batch may begin now; nil: one may.
func (r *run) pause() *Pause {
	if r.Healthy != nil {
		if err := r.Healthy(); err != nil {
			return &Pause{Cause: Evidence, Why: err.Error()}
		}
	}
	return r.pressure.Load()
}

func (o *Options) stopped() bool { return o.Stop != nil && o.Stop.Err() != nil }

// stopReason is why a run was asked to stop.
func (o *Options) stopReason() string {
	if o.Stop != nil {
		if cause := context.Cause(o.Stop); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause.Error()
		}
	}
	return "stopped by signal"
}

// rest is a pause that a stop ends too.
func (r *run) rest(ctx context.Context, d time.Duration) error {
	var stop <-chan struct{}
	if r.Stop != nil {
		stop = r.Stop.Done()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-stop:
		return errStopped
	case <-timer.C:
		return nil
	}
}

// paceSQL books what the rows of a batch cost at a rate that everybody shares, from
// when the batch began or from when all that was booked before is paid for, and
// tells how long to wait.
const paceSQL = `
	insert into sweeper.pace as p (category, allowed_at) values ($2, clock_timestamp() + ($1::float8 - $3::float8) * interval '1 second')
	on conflict (category) do update set allowed_at = greatest(p.allowed_at, clock_timestamp() - $3::float8 * interval '1 second') + $1::float8 * interval '1 second'
	returning extract(epoch from allowed_at - clock_timestamp())::float8`

// pace waits until the rows of a batch that took so long are paid for, at the rate
// of all and at that of the category. Without a limit it asks nobody.
func (s *stepper) pace(ctx context.Context, rows int64, took time.Duration) error {
	var longest float64
	for key, limit := range map[string]int{"": s.RowsPerSecond, s.category.Policy.Name: s.category.Policy.Limits.RowsPerSecond} {
		if limit == 0 || rows == 0 {
			continue
		}
		var seconds float64
		err := s.conn.QueryRow(ctx, paceSQL, float64(rows)/float64(limit), key, took.Seconds()).Scan(&seconds)
		if err != nil {
			return pg.Wrap("keep to the limit of rows a second", err)
		}
		longest = max(longest, seconds)
	}
	if longest <= 0 {
		return nil
	}
	return s.rest(ctx, time.Duration(longest*float64(time.Second)))
}

// errSpent is a run that has purged as many rows as it may.
var errSpent = errors.New("limits.max_rows_per_run is reached")

// errOver is a batch with more rows than the run may still purge.
var errOver = errors.New("the batch has more rows than limits.max_rows_per_run leaves")

// spend takes rows of the category's table from what the run may purge. false:
// they are more than that, and nothing is taken.
func (r *run) spend(rows int64) bool {
	most := r.category.Policy.Limits.MaxRowsPerRun
	r.mu.Lock()
	defer r.mu.Unlock()
	if most > 0 && r.spent+rows > most {
		return false
	}
	r.spent += rows
	return true
}

// left is how many rows the run may still purge; negative: as many as there are.
func (r *run) left() int64 {
	most := r.category.Policy.Limits.MaxRowsPerRun
	if most == 0 {
		return -1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return most - r.spent
}

// waits notes that a step waits, once for all steps of the run.
func (s *stepper) waits(ctx context.Context, p *Pause) {
	s.mu.Lock()
	s.waiting++
	first := s.waiting == 1
	if first {
		s.waitingSince = s.Now()
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.Log.WarnContext(ctx, "purging waits", slog.String("step", s.step.Name()), slog.String("cause", p.Cause), slog.String("why", p.Why))
	var id int64
	if err := s.conn.QueryRow(ctx, `insert into sweeper.run_waits (run_id, cause, why) values ($1, $2, $3) returning wait_id`, s.id, p.Cause, p.Why).Scan(&id); err != nil {
		s.Log.WarnContext(ctx, "pause not recorded", slog.Any("err", pg.Wrap("record a pause", err)))
	}
	s.wait.Store(id)
}

// goesOn notes the end of a wait, if there was one.
func (s *stepper) goesOn(ctx context.Context, p *Pause) {
	if p == nil {
		return
	}
	s.mu.Lock()
	s.waiting--
	last, took := s.waiting == 0, s.Now().Sub(s.waitingSince)
	s.mu.Unlock()
	if !last {
		return
	}
	if s.Waited != nil {
		s.Waited(s.category.Policy.Name, p.Cause, took)
	}
	s.Log.InfoContext(ctx, "purging waits no longer", slog.String("step", s.step.Name()), slog.Duration("waited", took))
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if _, err := s.conn.Exec(bounded, `update sweeper.run_waits set ended_at = clock_timestamp() where wait_id = $1`, s.wait.Load()); err != nil {
		s.Log.WarnContext(ctx, "end of a pause not recorded", slog.Any("err", pg.Wrap("record the end of a pause", err)))
	}
}

// noteTimeout bounds the note of a pause's end, which a stop does not cut off.
const noteTimeout = 2 * time.Second
