package purge

import (
	"context"
	"log/slog"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// look is how often a run that waits for healthy evidence asks again.
const look = 500 * time.Millisecond

// mayBegin returns when a batch may begin: at once, or when the evidence is
// healthy again. It refuses when the run was asked to stop.
func (s *stepper) mayBegin(ctx context.Context) error {
	waiting := false
	for {
		if s.stopped() {
			return errStopped
		}
		if s.Healthy == nil {
			return nil
		}
		err := s.Healthy()
		switch {
		case err == nil && waiting:
			s.Log.InfoContext(ctx, "purging goes on", slog.String("step", s.step.Name()))
			return nil
		case err == nil:
			return nil
		case s.helping:
			return errStopped // what it holds is the owner's to go on with
		case !waiting:
			waiting = true
			s.Log.WarnContext(ctx, "purging waits for healthy evidence", slog.String("step", s.step.Name()), slog.Any("err", err))
		}
		if err := s.rest(ctx, look); err != nil {
			return err
		}
	}
}

func (o *Options) stopped() bool { return o.Stop != nil && o.Stop.Err() != nil }

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

// paceSQL books rows at the rate that everybody shares, and tells how long to
// wait for what was booked before.
const paceSQL = `
	insert into sweeper.pace as p (singleton, allowed_at) values (true, clock_timestamp() + $1::float8 * interval '1 second')
	on conflict (singleton) do update set allowed_at = greatest(p.allowed_at, clock_timestamp()) + $1::float8 * interval '1 second'
	returning extract(epoch from allowed_at - clock_timestamp())::float8`

// pace waits until the rows of a batch are paid for. Without a limit it asks
// nobody.
func (s *stepper) pace(ctx context.Context, rows int64) error {
	if s.RowsPerSecond == 0 || rows == 0 {
		return nil
	}
	var seconds float64
	err := s.conn.QueryRow(ctx, paceSQL, float64(rows)/float64(s.RowsPerSecond)).Scan(&seconds)
	if err != nil {
		return pg.Wrap("keep to SWEEPER_ROWS_PER_SECOND", err)
	}
	return s.rest(ctx, time.Duration(seconds*float64(time.Second)))
}
