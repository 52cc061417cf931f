package purge_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestHelp has an owner at the third of eight steps: a helper takes those behind
// it and no other, each once, for as long as it may.
func TestHelp(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int, at timestamptz, who text, region int, primary key (id, region)) partition by list (region);
		do $$ begin for i in 1 .. 8 loop execute format('create table app.p%s partition of app.events for values in (%s)', i, i); end loop; end $$;
		insert into app.events select i, '2015-01-01', 'u', 1 + i % 8 from generate_series(1, 800) i`, events(byAt))
	p := b.plan(t, in2026)
	c := p.Categories()[0]
	pool, err := pg.Pool(t.Context(), b.db.URL("sweeper_daemon"), "sweeper/helper", 4)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	owner := b.db.Conn(t, "")
	ending := b.db.Conn(t, "")
	exec := func(conn *pgx.Conn, sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(owner, `set application_name = 'sweeper/owner'`)
	id := uuid.New()
	exec(owner, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash) values ($1, $1, 'events', 'running', 'manual', 'owner', now(), '\x00', 'h')`, id)
	of := purge.Shared{ID: id, Owner: "sweeper/owner", Reason: "manual", Actor: "owner"}
	done := map[string]bool{}
	help := func(want int64, why string, change ...func(*purge.Options)) {
		t.Helper()
		change = append(change, func(o *purge.Options) { o.Slots = make(chan struct{}, o.Workers) })
		rows, err := purge.Help(t.Context(), pool, p, c, of, done, b.options(change...))
		if err != nil || rows != want {
			t.Errorf("%s: %d rows, want %d; %v", why, rows, want, err)
		}
	}
	help(0, "an owner who is at no step")
	exec(owner, `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.StepLock(c.Steps[2].Name()))
	help(0, "unhealthy", func(o *purge.Options) { o.Healthy = func() error { return errors.New("unhealthy") } })
	exec(ending, `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.RunLock(id))
	help(0, "somebody ends the run")
	exec(ending, `select pg_advisory_unlock_all()`)
	done = map[string]bool{c.Steps[6].Name(): true}
	help(400, "it was at one of five steps before")
	help(0, "it was at all of them")
	if got := b.text(t, `select string_agg(region || ' ' || n, ', ' order by region) from (select region, count(*) as n from app.events group by 1) e`); got != "1 100, 2 100, 3 100, 7 100" {
		t.Errorf("left are %s", got)
	}
	if got := b.text(t, `select concat_ws(' ', count(*), count(cutoff), min(actor)) from sweeper.batches where fact = 'stamp' and run_id = $1`, id); got != "4 4 owner" {
		t.Errorf("stamps: %s", got)
	}
	exec(owner, `update sweeper.runs set state = 'failed', finished_at = now() where run_id = $1`, id)
	done = map[string]bool{}
	help(0, "the run has an end")
}
