package purge

import (
	"context"
	"errors"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// look is how often a run that waits asks again.
const look = 500 * time.Millisecond

// mayBegin returns when a batch may begin: at once, or when the evidence is
// healthy again and nobody suffers any more. It refuses when the run was asked to
// stop, or has done what it may.
func (s *stepper) mayBegin(ctx context.Context) error {
	cause := ""
	for {
		switch {
		case s.stopped(), s.helping && s.sick() != nil: // what a helper holds is the owner's to go on with
			return errStopped
		case s.left() == 0:
			return errSpent
		case s.gaveUp():
			return errVain
		}
		p := s.halted(ctx)
		if p == nil {
			return nil
		}
		if p.Cause == LockWaits && cause != LockWaits {
			s.size = max(min(smallestBatch, s.even), s.size/2)
		}
		cause = p.Cause
		if err := s.rest(ctx, look); err != nil {
			return err
		}
		if err := s.licensed(ctx); err != nil {
			return err
		}
		if err := s.blind(); err != nil {
			return err
		}
		if why := s.inVain(); why != "" {
			s.skipped = append(s.skipped, why)
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
	if err := r.sick(); err != nil {
		return &Pause{Cause: Evidence, Why: err.Error()}
	}
	return r.pressure.Load()
}

// sick is why what is purged now would not be proved.
func (o *Options) sick() error {
	if o.Healthy == nil {
		return nil
	}
	return o.Healthy()
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
// tells how long to wait. What lies further ahead than anybody books is no booking:
// the server's clock was ahead when it was written, and has been put right since.
const paceSQL = `
	insert into sweeper.pace as p (category, allowed_at) values ($2, clock_timestamp() + ($1::float8 - $3::float8) * interval '1 second')
	on conflict (category) do update set allowed_at = $1::float8 * interval '1 second'
	       + greatest(case when p.allowed_at <= clock_timestamp() + $4::float8 * interval '1 second' then p.allowed_at end, clock_timestamp() - $3::float8 * interval '1 second')
	returning extract(epoch from allowed_at - clock_timestamp())::float8`

// mostBooked is how many seconds ahead bookings at a rate may lie. Whoever has booked
// waits until it is paid for before he books again, so that each worker of each
// process has one booking at most. A batch under a rate is a second's worth, or a
// quarter: in ten minutes there is room for hundreds of them. Only families make it
// larger, up to BatchRows, and ten such at once have room beside that. Were there
// more after all, what they have booked would be forgotten once, and the rate
// exceeded by that; a clock that was ahead by less than this holds everybody up for
// as long.
func (o *Options) mostBooked(rows int64, limit int) float64 {
	const small, large = 10 * time.Minute, 10
	return small.Seconds() + large*float64(max(rows, int64(o.BatchRows)))/float64(limit)
}

// pace waits until the rows of a batch that took so long are paid for, at the rate
// of all and at that of the category. Without a limit it asks nobody.
func (s *stepper) pace(ctx context.Context, rows int64, took time.Duration) error {
	var longest float64
	for key, limit := range map[string]int{"": s.RowsPerSecond, s.category.Policy.Name: s.category.Policy.Limits.RowsPerSecond} {
		if limit == 0 || rows == 0 {
			continue
		}
		var seconds float64
		err := s.conn.QueryRow(ctx, paceSQL, float64(rows)/float64(limit), key, took.Seconds(), s.mostBooked(rows, limit)).Scan(&seconds)
		if err != nil {
			return pg.Wrap("keep to the limit of rows a second", err)
		}
		longest = max(longest, seconds)
	}
	if longest <= 0 {
		return nil
	}
	return s.restAsked(ctx, time.Duration(longest*float64(time.Second)))
}

// restAsked is a rest in which a step hears what it hears while it waits. A short one
// asks nobody.
func (s *stepper) restAsked(ctx context.Context, d time.Duration) error {
	for end := s.Now().Add(d); d > look; d = end.Sub(s.Now()) {
		if err := s.rest(ctx, look); err != nil {
			return err
		}
		if err := s.licensed(ctx); err != nil {
			return err
		}
		if s.gaveUp() {
			return errVain
		}
	}
	return s.rest(ctx, d)
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
