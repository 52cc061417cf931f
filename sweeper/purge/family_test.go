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

func explained(t *testing.T, conn *pgx.Conn, sql string, args []any) (string, error) {
	rows, err := conn.Query(t.Context(), "explain (costs off) "+sql, append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return strings.Join(lines, "\n"), err
}
