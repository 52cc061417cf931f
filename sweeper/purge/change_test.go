package purge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestDefinitionChangesInMidRun alters a table between two batches. The step stops
// with a sentence and takes no row more, another category of the run goes on, and
// the next sweep goes by the new shape. What purging does not depend on stops
// nothing.
func TestDefinitionChangesInMidRun(t *testing.T) {
	t.Parallel()
	const changed = "have changed since the plan was made"
	for name, c := range map[string]struct{ ddl, state, reason string }{
		"a column comes":         {`alter table app.events add column note text`, purge.Failed, changed},
		"a column goes":          {`alter table app.events drop column other`, purge.Failed, changed},
		"a column is renamed":    {`alter table app.events rename column other to another`, purge.Failed, changed},
		"the start gets a type":  {`alter table app.events alter column at type date`, purge.Failed, changed},
		"the start goes":         {`alter table app.events rename column at to since`, purge.Failed, changed},
		"a trigger":              {`create trigger f before delete on app.events for each row execute function app.f()`, purge.Failed, changed},
		"a foreign key":          {`create table app.child (id int references app.events on delete cascade)`, purge.Failed, changed},
		"a rule":                 {`create rule f as on delete to app.events do also select 1`, purge.Failed, changed},
		"row security":           {`alter table app.events enable row level security`, purge.Failed, changed},
		"its name goes":          {`alter table app.events rename to gone`, purge.Failed, changed},
		"an index":               {`create index on app.events (other)`, purge.Succeeded, ""},
		"statistics, privileges": {`analyze app.events; grant select on app.events to sweeper_auditor`, purge.Succeeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, rows(true, 3000)+`alter table app.events add column other text; create function app.f() returns trigger language plpgsql as $$ begin return old; end $$;
				create table app.others (id int primary key, at timestamptz); insert into app.others values (1, '2015-01-01')`,
				events(byAt)+"  others: {table: app.others, start_from: at, delete: {after: P5Y}}\n")
			batches := 0
			pool := b.pool(t, 4)
			defer pool.Close()
			all := map[string]purge.Outcome{}
			for _, o := range purge.Run(t.Context(), pool, b.plan(t, in2026), b.options(func(o *purge.Options) {
				o.Log = quiet
				o.Batched = func(batch purge.Batch) {
					if batches++; batch.Category == "events" && b.text(t, `select to_regclass('app.done') is null`) == "true" {
						b.db.Exec(t, c.ddl+`; create table app.done ()`)
					}
				}
				o.Workers = 1
			})) {
				all[o.Category] = o
			}
			deleted := map[string]int64{purge.Failed: 1000, purge.Succeeded: 3000}[c.state]
			if o := all["events"]; o.State != c.state || o.Deleted != deleted || !strings.Contains(o.StopReason, c.reason) {
				t.Errorf("got %+v", o)
			}
			if o := all["others"]; o.State != purge.Succeeded {
				t.Errorf("the other category: %+v", o)
			}
			if left := b.text(t, fmt.Sprintf(`select count(*) from app.%s`, map[bool]string{true: "gone", false: "events"}[name == "its name goes"])); left != fmt.Sprint(3000-deleted) {
				t.Errorf("%s rows are left", left)
			}
			if name != "a column goes" {
				return
			}
			if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 2000 {
				t.Errorf("the next sweep: %+v", o)
			}
		})
	}
}

// TestOneFailingStep has a partition changed under the sweep: its step ends and
// those of the others go on.
func TestOneFailingStep(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int, at timestamptz, who text, region int, primary key (id, region)) partition by list (region);
		do $$ begin for i in 1 .. 4 loop execute format('create table app.p%s partition of app.events for values in (%s)', i, i); end loop; end $$;
		insert into app.events select i, '2015-01-01', 'u', 1 + i % 4 from generate_series(1, 400) i;
		create function app.f() returns trigger language plpgsql as $$ begin return old; end $$;`, events(byAt))
	p := b.plan(t, in2026)
	b.db.Exec(t, `create trigger f before delete on app.p2 for each row execute function app.f()`)
	pool := b.pool(t, 4)
	defer pool.Close()
	o := purge.Run(t.Context(), pool, p, b.options(func(o *purge.Options) { o.Log = quiet }))[0]
	if left := b.text(t, `select string_agg(distinct tableoid::regclass::text, ' ') from app.events`); left != "app.p2" || o.State != purge.Failed || o.Deleted != 300 || o.Remaining != 100 || !strings.Contains(o.StopReason, "have changed") {
		t.Errorf("left are rows of %q; got %+v", left, o)
	}
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 100 {
		t.Errorf("the next sweep: %+v", o)
	}
}

// TestPartitionsThatGoMeanwhile has partitions dropped and detached by others
// between plan and sweep: they are nobody's concern, and nothing fails.
func TestPartitionsThatGoMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int, at timestamptz, who text, region int, primary key (id, region)) partition by list (region);
		do $$ begin for i in 1 .. 4 loop execute format('create table app.p%s partition of app.events for values in (%s)', i, i); end loop; end $$;
		insert into app.events select i, '2015-01-01', 'u', 1 + i % 4 from generate_series(1, 400) i;`, events(byAt))
	p := b.plan(t, in2026)
	b.db.Exec(t, `drop table app.p2; alter table app.events detach partition app.p3`)
	pool := b.pool(t, 4)
	defer pool.Close()
	o := purge.Run(t.Context(), pool, p, b.options())[0]
	if o.State != purge.Succeeded || o.Deleted != 200 || b.text(t, `select count(*) from app.p3`) != "100" {
		t.Errorf("got %+v", o)
	}
}

// TestManySwallowedRows has a trigger that keeps ten thousand rows: each is tried
// twice at most, and the run names the trigger.
func TestManySwallowedRows(t *testing.T) {
	t.Parallel()
	for _, index := range []bool{true, false} {
		t.Run(fmt.Sprintf("index %t", index), func(t *testing.T) {
			t.Parallel()
			b := setup(t, rows(index, 11000)+`create sequence app.tries; create function app.f() returns trigger language plpgsql security definer as $f$ begin
				perform nextval('app.tries'); if old.id <= 10000 then return null; end if; return old; end $f$;
				create trigger keeper before delete on app.events for each row execute function app.f();`, events(byAt))
			o := b.run(t, in2026, func(o *purge.Options) { o.Log = quiet })["events"]
			if o.State != purge.Partial || o.Deleted != 1000 || o.Blocked != 10000 || o.Remaining != 10000 || !strings.Contains(o.StopReason, `trigger "keeper" of app.events keeps them`) {
				t.Errorf("got %+v", o)
			}
			if tries := b.text(t, `select last_value <= 21000 from app.tries`); tries != "true" {
				t.Errorf("the trigger ran %s times", b.text(t, `select last_value from app.tries`))
			}
		})
	}
}

// TestRowSecurityThatHidesNothing sweeps a table with row security whose policies
// let the daemon see everything: nothing is kept in silence, locked rows included.
func TestRowSecurityThatHidesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policies string
		deleted  int64
	}{
		"all commands":     {`create policy p on app.events to sweeper_daemon using (true);`, 999},
		"delete, not lock": {`create policy r on app.events for select to sweeper_daemon using (true); create policy d on app.events for delete to sweeper_daemon using (true);`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bundle{}
			*b = *setup(t, rows(true, 1000), events(byAt))
			b.db.Exec(t, `alter table app.events enable row level security; alter table app.events force row level security;`+c.policies)
			tx := b.locker(t, `select from app.events where id = 500 for update`)
			o := b.run(t, in2026, func(o *purge.Options) { o.Log, o.LockTimeout = quiet, 1e8 })["events"]
			if o.State != purge.Partial || o.Deleted != c.deleted || o.Remaining != 1000-c.deleted {
				t.Errorf("beside a lock: %+v", o)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Remaining != 0 || b.text(t, `select count(*) from app.events`) != "0" {
				t.Errorf("afterwards: %+v", o)
			}
		})
	}
}

// TestLockPrivilegeIsMissing sweeps with the privileges of an older install: a
// locked row keeps its batch, the others go, and the next install mends it.
func TestLockPrivilegeIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t, rows(true, 3000), events(byAt))
	b.db.Exec(t, `revoke update (id) on app.events from sweeper_daemon`)
	tx := b.locker(t, `select from app.events where id = 500 for update`)
	o := b.run(t, in2026, func(o *purge.Options) { o.Log, o.LockTimeout = quiet, 1e8 })["events"]
	if o.State != purge.Partial || o.Deleted != 2000 || o.Remaining != 1000 || !strings.Contains(o.StopReason, "55P03") {
		t.Errorf("without: %+v", o)
	}
	b.install(t)
	if o := b.run(t, in2026, func(o *purge.Options) { o.Log, o.LockTimeout = quiet, 1e8 })["events"]; o.State != purge.Partial || o.Deleted != 999 {
		t.Errorf("with it: %+v", o)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}
