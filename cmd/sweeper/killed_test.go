package main

import (
	"syscall"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// familyDDL has 300 people who are due, with two kids and a note each. The batch
// with the 250th of them waits at the gate.
const familyDDL = `
	create schema app;
	create table app.people (id bigint primary key, at timestamptz);
	create index on app.people (at);
	create table app.kids (id bigint primary key, person bigint);
	create index on app.kids (person);
	create table app.notes (id bigint primary key, person bigint, what text);
	create index on app.notes (person);
	insert into app.people select i, '2015-01-01'::timestamptz + i * interval '1 hour' from generate_series(1, 300) i;
	insert into app.kids select i, 1 + i % 300 from generate_series(1, 600) i;
	insert into app.notes select i, i, 'x' from generate_series(1, 300) i;
	create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return old; end $$;
	create trigger wait before delete on app.people for each row when (old.id = 250) execute function app.wait()`

const familyPolicy = `version: 1
categories:
  people:
    table: app.people
    start_from: at
    delete: {after: P5Y}
    children:
      - {table: app.kids, match: {person: id}}
      - {table: app.notes, match: {person: id}, action: redact, columns: {what: "null"}}
`

// TestRunWithChildrenIsKilled kills a sweep with batches behind it and one in
// flight. The next one ends its run, which counts the rows of the table and
// those of its children as a run does that ends by itself.
func TestRunWithChildrenIsKilled(t *testing.T) {
	t.Parallel()
	f := &fleet{site: installed(t, familyDDL, familyPolicy)}
	f.env = append(f.env, patient...)
	f.env = append(f.env, "SWEEPER_WORKERS=1", "SWEEPER_APPROVE=auto")
	f.admin, f.gate = f.db.Conn(t, ""), f.db.Conn(t, "")
	f.shut(t)
	p := f.process(t, []string{"sweep"})
	f.until(t, "a batch waits at the gate", `select exists (select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted and database = (select oid from pg_database where datname = current_database()))`)
	f.until(t, "another was committed", `select count(*) > 0 from sweeper.batches where fact = 'report'`)
	// While it is under way a run counts no other rows than in the end.
	under := f.text(t, `select concat_ws(' ', deleted, redacted) from sweeper.run_progress`)
	p.signal(t, syscall.SIGKILL)
	p.end()
	f.until(t, "its sessions end", `select count(pg_terminate_backend(pid)) = 0 from pg_stat_activity where datname = current_database() and usename = 'sweeper_daemon'`)
	f.lift(t)
	f.must(t, "sweep")

	const counts = `select concat_ws(' ', state, deleted, redacted, children, remaining) from sweeper.runs where state `
	gone := f.text(t, `select sum(row_count) from sweeper.batches b join sweeper.runs r using (run_id) where r.state = 'failed' and fact = 'report' and relation = 'app.people'`)
	if got, want := f.text(t, counts+`= 'failed'`), f.text(t, `select concat_ws(' ', 'failed', $1::int, 0, 3 * $1::int, 300 - $1::int)`, gone); got != want {
		t.Errorf("the run that was killed: %s, want %s", got, want)
	}
	if got, want := f.text(t, counts+`<> 'failed'`), f.text(t, `select concat_ws(' ', 'succeeded', 300 - $1::int, 0, 3 * (300 - $1::int), 0)`, gone); got != want {
		t.Errorf("the run that did the rest: %s, want %s", got, want)
	}
	if under != gone+" 0" {
		t.Errorf("the run under way had deleted and redacted %s, and %s in the end", under, gone)
	}
	pgtest.CheckLog(t, f.admin)
}
