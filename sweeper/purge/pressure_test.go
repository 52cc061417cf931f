package purge_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestNothingIsSeenYet has a run that cannot see whether others suffer: until it
// can, it purges nothing; it hears of a pause and of a stop, and does not wait for
// ever.
func TestNothingIsSeenYet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		then  string
		state string
		rows  int64
		why   string
	}{
		{"seen", purge.Succeeded, 6000, ""},
		{"paused", purge.Paused, 0, "the category is paused"},
		{"stopped", purge.Stopped, 0, "stopped by signal"},
		{"never", purge.Failed, 0, "whether others suffer was not to be seen for 10m0s: look at standbys, the slot and lock waits: "},
	} {
		t.Run(test.then, func(t *testing.T) {
			t.Parallel()
			b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
			b.db.Exec(t, `revoke execute on function pg_blocking_pids(int) from public`)
			stop, cancel := context.WithCancel(t.Context())
			defer cancel()
			log, clock, health := &buffer{}, &clock{}, &ill{}
			o := b.options(logTo(log), func(o *purge.Options) { o.Stop, o.Now, o.Healthy = stop, clock.now, health.healthy })
			pool := b.pool(t, 4)
			defer pool.Close()
			plan, done := b.plan(t, in2026), make(chan purge.Outcome, 1)
			go func() { done <- purge.Run(t.Context(), pool, plan, o)[0] }()
			health.looks(t, 3)
			if got := b.text(t, `select count(*) from app.events`); got != "6000" {
				t.Errorf("%s rows are left", got)
			}
			if !strings.Contains(log.String(), "pressure not seen") {
				t.Errorf("it says %s", log)
			}
			switch test.then {
			case "seen":
				b.db.Exec(t, `grant execute on function pg_blocking_pids(int) to public`)
			case "paused":
				b.db.Exec(t, `insert into sweeper.paused (category, actor, reason) values ('events', 'ops', 'test')`)
			case "stopped":
				cancel()
			default:
				clock.forward(10 * time.Minute)
			}
			select {
			case got := <-done:
				if got.State != test.state || got.Deleted != test.rows || !strings.HasPrefix(got.StopReason, test.why) {
					t.Errorf("got %+v", got)
				}
			case <-time.After(time.Minute):
				t.Fatal("the sweep does not end")
			}
			if got := b.text(t, `select count(*) from sweeper.run_waits`); got != "0" {
				t.Errorf("%s pauses are noted", got)
			}
		})
	}
}

// TestStandbyThatStandsStill has a standby replay nothing: the run that sees it first
// has time until the limit, and those after it have none, until it moves.
func TestStandbyThatStandsStill(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	config, err := pgconn.ParseConfig(b.db.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["replication"] = "true"
	standby, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = standby.Close(context.WithoutCancel(t.Context())) }()
	system, err := pglogrepl.IdentifySystem(t.Context(), standby)
	if err == nil {
		_, err = pglogrepl.CreateReplicationSlot(t.Context(), standby, b.db.Slot()+"_still", "", pglogrepl.CreateReplicationSlotOptions{Temporary: true, Mode: pglogrepl.PhysicalReplication})
	}
	if err == nil {
		err = pglogrepl.StartReplication(t.Context(), standby, b.db.Slot()+"_still", system.XLogPos, pglogrepl.StartReplicationOptions{Mode: pglogrepl.PhysicalReplication, Timeline: system.Timeline})
	}
	if err != nil {
		t.Fatal(err)
	}
	replay := func(at pglogrepl.LSN) {
		t.Helper()
		if err := pglogrepl.SendStandbyStatusUpdate(t.Context(), standby, pglogrepl.StandbyStatusUpdate{WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at}); err != nil {
			t.Fatal(err)
		}
		b.until(t, "the server knows of it", `select count(*) = 1 from pg_stat_replication where state in ('streaming', 'catchup') and replay_lsn = '`+at.String()+`'`)
	}
	replay(system.XLogPos)
	clock, standbys := &clock{}, &purge.Standbys{}
	begin := func() func() purge.Outcome {
		return b.begin(t, func(o *purge.Options) { o.MaxReplicaLag, o.Now, o.Standbys = time.Minute, clock.now, standbys })
	}
	if o := begin()(); o.State != purge.Succeeded || o.Deleted != 6000 {
		t.Errorf("the first: %+v", o)
	}
	b.db.Exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 100) i`)
	clock.forward(time.Minute)
	end := begin()
	b.until(t, "the second waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'replica_lag'`)
	if got := b.text(t, `select count(*) from app.events`); got != "100" {
		t.Errorf("%s rows are left", got)
	}
	replay(system.XLogPos + 1)
	if o := end(); o.State != purge.Succeeded || o.Deleted != 100 {
		t.Errorf("the second: %+v", o)
	}
}
