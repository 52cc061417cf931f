package purge_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestChildStatementsUseTheIndex looks at what the server does with the
// statements of a batch over large tables: it finds children by the index on
// their match, locked rows by their places, and reads no table as a whole.
func TestChildStatementsUseTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);
		create table app.kids (id int primary key, event int references app.events, at timestamptz, who text); create index kids_event on app.kids (event);
		insert into app.events select i, case when i <= 1000 then '2015-01-01'::timestamptz else '2025-01-01' end + i * interval '1 minute', 'u' from generate_series(1, 20000) i;
		insert into app.kids select i, 1 + i % 20000, '2010-01-01', 'k' from generate_series(1, 200000) i; analyze app.events; analyze app.kids`, `
version: 1
categories:
  events:
    table: app.events
    subject: who
    start_from: at
    delete: {after: P5Y}
    children: [{table: app.kids, match: {event: id}}]
  kids: {table: app.kids, subject: who, start_from: at, delete: {after: P5Y}, mode: observe}
`)
	b.db.Exec(t, `select sweeper.apply_hold('h' || i, 'case', 'test') from generate_series(1, 200) i; analyze sweeper.legal_holds; analyze sweeper.hold_keys`)
	var places, leaves []string
	for _, c := range b.plan(t, in2026).Categories() {
		if c.Policy.Name != "events" {
			continue
		}
		step := c.Steps[0]
		daemon := b.db.Conn(t, "sweeper_daemon")
		if err := daemon.QueryRow(t.Context(), `set plan_cache_mode = force_custom_plan`).Scan(); err != nil && err != pgx.ErrNoRows {
			t.Fatal(err)
		}
		rows, err := daemon.Query(t.Context(), `select ctid::text, '0' from app.events where id <= 100`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var place, leaf string
			if err := rows.Scan(&place, &leaf); err != nil {
				t.Fatal(err)
			}
			places, leaves = append(places, place), append(leaves, leaf)
		}
		kin := step.Kin[0]
		tenants := make([]*string, len(places))
		for what, q := range map[string]struct {
			sql  string
			args []any
		}{
			"judge": {step.Judge.SQL, append([]any{places}, step.Judge.Args...)},
			"lock":  {kin.Lock.SQL, append([]any{places, leaves, tenants, 1000, false}, kin.Lock.Args...)},
			"batch": {kin.Batch.SQL, append([]any{places, leaves, tenants, "00000000-0000-0000-0000-000000000000"}, kin.Batch.Args...)},
			"last":  {step.Taken.SQL, append([]any{places, "00000000-0000-0000-0000-000000000000"}, step.Taken.Args...)},
		} {
			plan, err := explained(t, daemon, q.sql, q.args)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if strings.Contains(plan, "Seq Scan on kids") || strings.Contains(plan, "Seq Scan on events") || what != "batch" && !strings.Contains(plan, "kids_event") {
				t.Errorf("%s:\n%s", what, plan)
			}
		}
	}
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 1000 || o.Children != 10000 {
		t.Errorf("%+v", o)
	}
}

// TestLongChainIsWalkedByTheIndex looks at what the server does with rows that
// hang together in one long chain of their own table: it finds the next by the
// index, and does not read the table once for each of them. All of them go.
func TestLongChainIsWalkedByTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text, up int references app.events); create index on app.events (at); create index events_up on app.events (up);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', 'u', nullif(i - 1, 0) from generate_series(1, 10000) i;
		insert into app.events select i, '2025-01-01', 'u' from generate_series(20000, 120000) i; analyze app.events`,
		"version: 1\ncategories:\n  events:\n    table: app.events\n    subject: who\n    start_from: at\n    delete: {after: P5Y}\n    children: [{table: app.events, match: {up: id}}]\n")
	step := b.plan(t, in2026).Categories()[0].Steps[0]
	daemon := b.db.Conn(t, "sweeper_daemon")
	if _, err := daemon.Exec(t.Context(), `set plan_cache_mode = force_custom_plan`); err != nil {
		t.Fatal(err)
	}
	rows, err := daemon.Query(t.Context(), `select ctid::text from app.events where id <= 300`)
	if err != nil {
		t.Fatal(err)
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	nothing := make([]*string, len(places))
	for what, q := range map[string]struct {
		sql  string
		args []any
	}{
		"again": {step.Again.SQL, append([]any{places}, step.Again.Args...)},
		"lock":  {step.Kin[0].Lock.SQL, append([]any{places, nothing, nothing, 1000, false}, step.Kin[0].Lock.Args...)},
	} {
		plan, err := explained(t, daemon, q.sql, q.args)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if strings.Contains(plan, "Seq Scan on events") || what != "again" && !strings.Contains(plan, "events_up") {
			t.Errorf("%s:\n%s", what, plan)
		}
	}
	var log buffer
	if o := b.run(t, in2026, func(o *purge.Options) { o.BatchRows = 10000 }, logTo(&log))["events"]; o.State != purge.Succeeded || o.Deleted != 10000 {
		t.Errorf("%+v", o)
	}
	if strings.Contains(log.String(), "smaller batches follow") {
		t.Error("a statement took longer than it may")
	}
}

// TestNewHoldInsideOfALargeFamily has a family that takes many batches, and a hold
// on one of the last rows of it that comes when a few have been committed: no batch
// after it takes anything of the family, which has been judged before.
func TestNewHoldInsideOfALargeFamily(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);
		create table app.kids (id int primary key, event int references app.events, at timestamptz, who text); create index kids_event on app.kids (event);
		insert into app.events values (1, '2015-01-01', 'p'), (2, '2015-01-02', 'q'); insert into app.kids select i, 1, '2010-01-01', 'k' || i from generate_series(1, 20000) i; insert into app.kids values (20001, 2, '2010-01-01', 'other')`, `
version: 1
categories:
  events:
    table: app.events
    subject: who
    start_from: at
    delete: {after: P5Y}
    children: [{table: app.kids, match: {event: id}}]
  kids: {table: app.kids, subject: who, start_from: at, delete: {after: P5Y}, mode: observe}
`)
	left := ""
	n := 0
	o := b.run(t, in2026, func(o *purge.Options) {
		o.BatchRows = 1000
		o.Batched = func(purge.Batch) {
			if n++; n == 5 {
				left = b.text(t, `select count(*) from app.kids`)
				b.db.Exec(t, `select sweeper.apply_hold('k20000', 'case', 'test')`)
			}
		}
	})["events"]
	if left == "" || left == "20001" || o.State != purge.Succeeded || o.Held != 1 || o.Deleted != 1 || n != 6 {
		t.Errorf("after %d batches, the hold beside %s rows: %+v", n, left, o)
	}
	if got := b.text(t, `select (select string_agg(id::text, ' ') from app.events) || ': ' || (select count(*) + 1 from app.kids)`); got != "1: "+left {
		t.Errorf("left are %s, and there were %s when the hold came", got, left)
	}
	b.db.Exec(t, `select sweeper.release_hold(hold_id, 'over', 'test') from sweeper.legal_holds`)
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 1 || b.text(t, `select count(*) from app.kids`) != "0" {
		t.Errorf("afterwards: %+v", o)
	}
}

// TestHeldChildWithoutACategory holds a child's table, whose category then is not
// among those that are planned: its parents stay held.
func TestHeldChildWithoutACategory(t *testing.T) {
	t.Parallel()
	const events = "version: 1\ncategories:\n  events:\n    table: app.events\n    subject: who\n    start_from: at\n    delete: {after: P5Y}\n    children: [{table: app.kids, match: {event: id}}]\n"
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);
		create table app.kids (id int primary key, event int, at timestamptz); create index on app.kids (event);
		insert into app.events select i, '2015-01-01', 'u' from generate_series(1, 20) i; insert into app.kids select i, i, '2010-01-01' from generate_series(1, 5) i`,
		events+"  kids: {table: app.kids, start_from: at, delete: {after: P9Y}, mode: observe}\n")
	b.db.Exec(t, `select sweeper.apply_hold(null, 'case', 'test', relation => 'app.kids')`)
	b.policies(t, events)
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 15 || o.Children != 0 || o.Held != 5 {
		t.Errorf("%+v", o)
	}
	b.db.Exec(t, `select sweeper.release_hold(hold_id, 'over', 'test') from sweeper.legal_holds`)
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 5 || o.Children != 5 {
		t.Errorf("afterwards: %+v", o)
	}
}

func explained(t *testing.T, conn *pgx.Conn, sql string, args []any) (string, error) {
	rows, err := conn.Query(t.Context(), "explain (costs off) "+sql, append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return strings.Join(lines, "\n"), err
}
