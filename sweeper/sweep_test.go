package sweeper_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestSweepEndsWhatWasLeft has a run of a process that is gone: the next sweep
// ends it, and the log sums it up from what its batches reported.
func TestSweepEndsWhatWasLeft(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.fill(t, 0, 100)
	const left = "00000000-0000-0000-0000-00000000dead"
	b.db.Exec(t, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, planned, instance)
		values ($1, $1, 'events', 'running', 'manual', 'a', now(), '\x00', '', 100, 'deadbeef')`, left)
	b.db.Exec(t, `insert into sweeper.policy_versions (policy_sha256, files, loaded_from) values ('\x00', '{}', 'test')`)
	b.db.Exec(t, `begin; insert into sweeper.batches (fact, kind, reason, category, relation, run_id, actor, policy_sha256) values ('stamp', 'delete', 'manual', 'events', 'app.events', '`+left+`', 'a', '\x00');
		delete from app.events where id < 30;
		insert into sweeper.batches (fact, kind, category, relation, run_id, row_count) values ('report', 'delete', 'events', 'app.events', '`+left+`', 30); commit`)
	if o := b.sweep(t)["events"]; o.State != purge.Succeeded || o.Deleted != 70 {
		t.Errorf("the sweep: %+v", o)
	}
	if got := b.text(t, `select concat_ws(' ', state, stop_reason, deleted, remaining, finished_at is not null) from sweeper.runs where run_id = $1`, left); got != "failed the process ended 30 70 t" {
		t.Errorf("the run is %s", got)
	}
	if got := b.text(t, `select string_agg(concat_ws(' ', reason, rows_deleted), ', ' order by rows_deleted) from sweeper.purges`); got != "manual 30, manual 70" {
		t.Errorf("purges are %s", got)
	}
}

// TestSweepBesideAnother has a category, and then a step, held by another
// session: the sweep leaves that alone and says who has it.
func TestSweepBesideAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.sweep(t)
	b.fill(t, 0, 10)
	step := b.stepName(t)
	for name, key := range map[string]int32{"category": pg.CategoryLock("events"), "step": pg.StepLock(step)} {
		other := b.db.Conn(t, "")
		if _, err := other.Exec(t.Context(), `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, key); err != nil {
			t.Fatal(err)
		}
		log := &buffer{}
		o, err := sweeper.Sweep(t.Context(), b.cfg, logTo(log), b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
		if err != nil || len(o) != 1 {
			t.Fatalf("%s: %+v, %v", name, o, err)
		}
		pid := pgtest.QueryOne[string](t, other, `select 'pid ' || pg_backend_pid()`)
		state, why := purge.Stopped, "another process runs this category"
		if name == "step" {
			state, why = purge.Partial, "10 due rows remain: step "+step+": another process runs this category, or a step of it"
		}
		if o[0].State != state || !strings.HasPrefix(o[0].StopReason, why) || !strings.Contains(o[0].StopReason, pid+" (") || o[0].Remaining != 10 {
			t.Errorf("%s: %+v", name, o[0])
		}
		if got := b.text(t, `select state || ' ' || stop_reason from sweeper.runs where run_id = $1`, o[0].RunID); got != state+" "+o[0].StopReason {
			t.Errorf("%s: the run is %s", name, got)
		}
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%s: logged %s", name, log)
		}
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.until(t, "the lock is free", `select count(*) = 0 from pg_locks where locktype = 'advisory' and objid = $1::int::oid and classid = $2::int::oid`, key, pg.LockSpace)
	}
	if o := b.sweep(t)["events"]; o.Deleted != 10 {
		t.Errorf("with nobody beside it: %+v", o)
	}
}

// stepName is the name of the only step of the bundle's plan.
func (b *bundle) stepName(t *testing.T) string {
	t.Helper()
	p, err := sweeper.Plan(t.Context(), b.cfg, b.set, time.Time{}, "")
	if err != nil {
		t.Fatal(err)
	}
	return p.Plan.Categories()[0].Steps[0].Name()
}

// TestStoppedSweepCounts has a sweep end by force in mid-course: what it says
// remains is what is there.
func TestStoppedSweepCounts(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear, "SWEEPER_BATCH_ROWS=100")
	b.cfg.ShutdownGrace = 0
	b.fill(t, 0, 20_000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log := &buffer{}
	o, _ := sweeper.Sweep(ctx, b.cfg, logTo(log), b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now, Progress: func(p purge.Progress) {
		if p.Done >= 1000 {
			stop()
		}
	}})
	if len(o) != 1 || o[0].State != purge.Stopped {
		t.Fatalf("got %+v", o)
	}
	left := pgtest.QueryOne[int64](t, b.admin, `select count(*) from app.events`)
	if o[0].Remaining != left || left == 0 || left == 20_000 {
		t.Errorf("%d rows are said to remain, %d do", o[0].Remaining, left)
	}
	if got := b.text(t, `select remaining || ' ' || due_rows from sweeper.runs join sweeper.policy_counts using (category)`); got != pgtest.QueryOne[string](t, b.admin, `select count(*) || ' ' || count(*) from app.events`) {
		t.Errorf("recorded are %s", got)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("logged %s", log)
	}
}

// TestSweepEndsWithItsLog has the log of a sweep end for good in the sweep's midst:
// what would not be proved is not purged.
func TestSweepEndsWithItsLog(t *testing.T) {
	t.Parallel()
	b := setup(t, events, "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}, limits: {rows_per_second: 200}}\n", "SWEEPER_BATCH_ROWS=100")
	b.fill(t, 0, 10_000)
	type result struct {
		outcomes []purge.Outcome
		err      error
	}
	done := make(chan result, 1)
	go func() {
		o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
		done <- result{o, err}
	}()
	b.until(t, "the log is being written", `select count(*) > 0 from sweeper.purge_log where kind = 'delete'`)
	pgtest.Eventually(t, "the slot is gone", func() bool {
		b.db.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, b.db.Slot())
		_, err := b.admin.Exec(t.Context(), `select pg_drop_replication_slot($1)`, b.db.Slot())
		return err == nil
	})
	r := <-done
	if r.err == nil || len(r.outcomes) != 1 || r.outcomes[0].State != purge.Failed || !strings.Contains(r.outcomes[0].StopReason, "the purge log is not written any more, so nothing is purged: ") {
		t.Errorf("got %v, %+v", r.err, r.outcomes)
	}
	if left := b.text(t, `select count(*) > 5000 from app.events`); left != "true" {
		t.Error("it went on to purge without a log")
	}
}
