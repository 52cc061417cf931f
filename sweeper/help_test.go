package sweeper_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// mixed is a table of which three leaves go whole, and four by rows because of
// their triggers, which are a gate too.
const mixed = `
	create schema app;
	do $$ begin create role mixed_owner nologin; exception when duplicate_object or unique_violation then null; end $$;
	create table app.events (id bigint, at timestamptz, who text, primary key (id, at)) partition by range (at);
	create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return old; end $$;
	do $$ begin for i in 1 .. 7 loop
		execute format('create table app.e%s partition of app.events for values from (%L) to (%L)', i, '2010-01-01'::date + i, '2010-01-02'::date + i);
		execute format('insert into app.events select g, %L::timestamptz + g * interval ''1 minute'', ''u'' from generate_series(1, 300) g', '2010-01-01'::date + i);
		if i > 3 then execute format('create trigger wait before delete on app.e%s for each row execute function app.wait()', i); end if;
		execute format('alter table app.e%s owner to mixed_owner', i);
	end loop; end $$;
	create table app.young partition of app.events for values from ('2030-01-01') to ('2040-01-01');
	alter table app.young owner to mixed_owner;
	alter table app.events owner to mixed_owner`

// TestHelpAfterDrops has a run that dropped partitions before another daemon
// comes to help: that one's plan no longer has them, and is still the same.
func TestHelpAfterDrops(t *testing.T) {
	t.Parallel()
	b := daemon(t, mixed, "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}}\n", patient...)
	b.db.Exec(t, `grant mixed_owner to sweeper_owner`)
	keeper := b.db.Conn(t, "")
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	b.atGate(t)
	b.start(t, b.cfg)
	b.until(t, "two processes have batches in flight", `select count(distinct a.application_name) = 2 from pg_locks l join pg_stat_activity a using (pid)
		where l.locktype = 'advisory' and l.objid = 4711 and not l.granted and a.datname = current_database()`)
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4711)::text`)
	b.until(t, "the run has an end", `select count(*) = 1 from sweeper.runs where state = 'succeeded'`)
	if got := b.text(t, `select concat_ws(' ', count(*), sum(deleted), sum(partitions_dropped), (select count(*) from app.events)) from sweeper.runs`); got != "1 2100 3 0" {
		t.Errorf("runs, rows, partitions, rows left: %s", got)
	}
	b.until(t, "the log has all", `select sum(row_count) = 2100 and count(*) = count(distinct (xid, partition)) from sweeper.purge_log where kind in ('delete', 'drop_partition')`)
	b.checkLog(t)
}
