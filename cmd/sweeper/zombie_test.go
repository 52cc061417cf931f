package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// sixLeavesDDL has six partitions, each a step of its own, of 100 rows that are due.
const sixLeavesDDL = `
	create schema app;
	create table app.events (id bigint, at timestamptz, tenant text, who text, primary key (id, at)) partition by range (at);
	create table app.e1 partition of app.events for values from ('2010-01-01') to ('2010-02-01');
	create table app.e2 partition of app.events for values from ('2010-02-01') to ('2010-03-01');
	create table app.e3 partition of app.events for values from ('2010-03-01') to ('2010-04-01');
	create table app.e4 partition of app.events for values from ('2010-04-01') to ('2010-05-01');
	create table app.e5 partition of app.events for values from ('2010-05-01') to ('2010-06-01');
	create table app.e6 partition of app.events for values from ('2010-06-01') to ('2010-07-01');
	insert into app.events select m * 1000 + i, make_date(2010, m, 1) + i * interval '1 hour', 't', 'u' from generate_series(1, 6) m, generate_series(1, 100) i;
	create table app.deeds (who text);
	create function app.wait() returns trigger language plpgsql security definer as $$ begin
		perform pg_advisory_xact_lock_shared(4711); insert into app.deeds values (current_setting('application_name')); return null; end $$;
	create trigger wait before delete on app.events for each statement execute function app.wait()`

// TestZombieWithQueuedSteps freezes a daemon that has one step in flight and
// five that wait for their turn, and wakes it up when another one has taken
// over: none of the five begins.
func TestZombieWithQueuedSteps(t *testing.T) {
	t.Parallel()
	f := &fleet{site: installed(t, sixLeavesDDL, strings.Replace(eventsPolicy, "delete: {after: P30D}", "delete: {after: P30D}\n    partitions: rows", 1))}
	f.env = append(f.env, patient...)
	f.admin, f.gate = f.db.Conn(t, ""), f.db.Conn(t, "")
	p, first := f.holder(t, "SWEEPER_WORKERS=1")
	heir := f.heir(t)
	p.signal(t, syscall.SIGSTOP)
	f.takes(t, heir)
	p.signal(t, syscall.SIGCONT)
	f.until(t, "it stands by", livesSQL, first)
	f.lift(t)
	f.until(t, "the second daemon finishes", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, heir)
	f.until(t, "the log has it", `select count(distinct run_id) = 2 from sweeper.purges`)
	// The second may have helped the first with its run before it took over.
	got := f.text(t, `select concat_ws(' ', (select state from sweeper.runs where instance = $1), (select sum(deleted) from sweeper.runs), count(*) filter (where who like '%' || $1 || '%'), count(*)) from app.deeds`, first)
	if got != "failed 600 0 6" {
		t.Errorf("the run of the frozen daemon, rows of both, its own batches, all batches: %s", got)
	}
	got = f.text(t, `select concat_ws(' ', sum(row_count), count(*) = count(distinct xid), count(distinct partition)) from sweeper.purge_log where kind = 'delete'`)
	if got != "600 t 6" {
		t.Errorf("rows in the log, each once, leaves: %s", got)
	}
	pgtest.CheckLog(t, f.admin)
}

// TestSignalWhilePaused ends a daemon whose run waits for the evidence to be
// healthy again: it goes at once, and the slot stays due.
func TestSignalWhilePaused(t *testing.T) {
	t.Parallel()
	const later = `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, finished_at)
		select gen_random_uuid(), gen_random_uuid(), 'events', 'succeeded', 'manual', 'later', now() + interval '1 hour', '\x00', '', now()`
	for name, breakIt := range map[string]string{
		"the log is not written": `drop publication sweeper_redact`,
		"the log is written":     later, // only the clock is wrong
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			const grace = 20 * time.Second
			p, first := f.holder(t, fmt.Sprint("SWEEPER_SHUTDOWN_GRACE=", grace))
			f.db.Exec(t, breakIt)
			pgtest.Eventually(t, "purging is paused", func() bool { return strings.Contains(p.said(), "purging is paused") })
			f.lift(t)
			f.until(t, "the batch in flight is committed", `select count(*) = 900 from app.events`)
			f.until(t, "nothing of it goes on", `select count(*) = 0 from pg_stat_activity where application_name = 'sweeper/' || $1 and datname = current_database() and state <> 'idle'`, first)
			began := time.Now()
			p.signal(t, syscall.SIGTERM)
			if status := p.end(); status.ExitStatus() != exitDone {
				t.Errorf("it ended with %v", status)
			}
			took := time.Since(began)
			t.Logf("ended after %s", took.Round(time.Millisecond))
			if took > grace {
				t.Errorf("it took %s", took)
			}
			got := f.text(t, `select concat_ws(' ', state, deleted, (select count(*) from app.events), (select bool_and(next_due < now()) from sweeper.schedules)) from sweeper.runs where instance = $1`, first)
			if got != "stopped 100 900 t" {
				t.Errorf("run, rows purged and left, slot due: %s", got)
			}
		})
	}
}
