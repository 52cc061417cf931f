package sweeper_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestClocks has the clocks of daemon and server differ, and the server's lie
// behind the last sweep: purging is paused until that heals.
func TestClocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt, mendIt func(t *testing.T, w *watched)
		reason          string
	}{
		"ours is ahead": {
			func(_ *testing.T, w *watched) { w.ahead.Store(int64(5*time.Minute + 10*time.Second)) },
			func(_ *testing.T, w *watched) { w.ahead.Store(int64(4 * time.Minute)) },
			"off the one of this machine",
		},
		"ours is behind": {
			func(_ *testing.T, w *watched) { w.ahead.Store(-int64(24 * time.Hour)) },
			func(_ *testing.T, w *watched) { w.ahead.Store(0) },
			"off the one of this machine",
		},
		"behind the last sweep": {
			func(t *testing.T, w *watched) {
				w.exec(t, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, finished_at)
					select gen_random_uuid(), gen_random_uuid(), 'events', 'succeeded', 'manual', 'later', now() + interval '1 hour', '\x00', '', now()`)
			},
			func(t *testing.T, w *watched) { w.exec(t, `delete from sweeper.runs where actor = 'later'`) },
			"the server's clock is behind the last sweep",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			w := watch(t, db.URL, db.Slot())
			c.breakIt(t, w)
			w.red(t, "clock", c.reason)
			w.status(t, c.reason)
			w.paused(t)
			w.refuses(t, c.reason)
			c.mendIt(t, w)
			w.green(t)
			w.gone(t)
			w.whole(t)
		})
	}
}

// refuses looks whether one sweep is refused, and leaves no run.
func (w *watched) refuses(t *testing.T, reason string) {
	t.Helper()
	runs := w.text(t, `select count(*) from sweeper.runs`)
	var setup *sweeper.SetupError
	_, err := sweeper.Sweep(t.Context(), w.cfg, logTo(&buffer{}), w.set, sweeper.SweepOptions{Actor: "test", Now: w.now})
	if !errors.As(err, &setup) || !strings.Contains(err.Error(), reason) {
		t.Errorf("the sweep: %v, want %q", err, reason)
	}
	if now := w.text(t, `select count(*) from sweeper.runs`); now != runs {
		t.Errorf("%s runs instead of %s", now, runs)
	}
}

// TestClockJumpsBetweenLooks has the clock go wrong after the monitor's last
// look: no plan is made by it, and the slot stays due.
func TestClockJumpsBetweenLooks(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, db.URL, db.Slot())
	w.exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 10) i`)
	// The clock of the run that ended last, an instant before the slot is due.
	w.exec(t, `update sweeper.runs set as_of = now() + interval '1 hour';
		update sweeper.schedules set next_due = date_trunc('second', now()) - interval '1 second'`)
	w.red(t, "clock", "behind the last sweep")
	if got := w.text(t, `select concat_ws(' ', (select count(*) from app.events), (select count(*) from sweeper.runs where state <> 'succeeded'), (select bool_and(next_due < now()) from sweeper.schedules))`); got != "10 0 t" {
		t.Errorf("rows, runs, slot due: %s", got)
	}
	w.exec(t, `update sweeper.runs set as_of = now()`)
	w.green(t)
	w.gone(t)
}

// TestClocksOfSweepsAtOnce has another sweep begin between the moment that one
// judges by and its look at the clocks: no clock is wrong.
func TestClocksOfSweepsAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, db.URL, db.Slot())
	w.gone(t)
	conn := db.Conn(t, "sweeper_daemon")
	asOf := pgtest.QueryOne[time.Time](t, conn, `select now()`)
	w.exec(t, `update sweeper.runs set as_of = clock_timestamp()`)
	if err := sweeper.Trusted(t.Context(), conn, asOf, time.Now()); err != nil {
		t.Errorf("a sweep beside another one: %v", err)
	}
	w.exec(t, `update sweeper.runs set as_of = clock_timestamp() + interval '1 minute'`)
	if err := sweeper.Trusted(t.Context(), conn, asOf, time.Now()); err == nil || !strings.Contains(err.Error(), "behind the last sweep") {
		t.Errorf("a sweep behind the last one: %v", err)
	}
}
