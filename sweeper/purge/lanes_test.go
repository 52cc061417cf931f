package purge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// laned is a sweep of 20 batches of 100 due rows that waits for its application
// for as long as it takes.
func (b *bundle) laned(t *testing.T, change ...func(*purge.Options)) (end func() purge.Outcome) {
	t.Helper()
	return b.begin(t, append(change, func(o *purge.Options) { o.BatchRows, o.LockTimeout, o.StatementTimeout = 100, time.Minute, time.Minute })...)
}

const laneRows = 2000

func laneTable(more string) string {
	return fmt.Sprintf(`create schema app; create table app.events (id int primary key, at timestamptz, who text, org text); %s
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', 'u', 'o' || i %% 3 from generate_series(0, %d) i`, more, laneRows-1)
}

// TestLanes has the first batch wait for the application, in which time a second
// connection purges everything else. Each row is purged once and counted once.
func TestLanes(t *testing.T) {
	t.Parallel()
	const index = `create index on app.events (at);`
	deletes, redacts := one("UTC", "    delete: {after: P5Y}\n"), one("UTC", "    redact: {after: P5Y, columns: {who: \"null\"}}\n")
	for name, k := range map[string]struct {
		more, policies string
		change         func(*policy.Category)
	}{
		"starts":       {index, deletes, nil},
		"blocks":       {"", deletes, nil},
		"tenants":      {index, deletes, tenants},
		"redaction":    {index, redacts, nil},
		"equal starts": {index + `create function app.equal() returns trigger language plpgsql as $$ begin new.at := '2015-01-01'; return new; end $$; create trigger equal before insert on app.events for each row execute function app.equal();`, deletes, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, laneTable(k.more), k.policies, k.change)
			tx := b.locker(t, `select from app.events where id = 7 for update`)
			end := b.laned(t)
			pgtest.Eventually(t, "a batch waits for its row", func() bool { return b.waits(t, "transactionid") })
			left := `select count(*) from app.events where who is not null`
			if name != "equal starts" { // of which all are one span
				pgtest.Eventually(t, "all other batches are done", func() bool { return pgtest.QueryOne[int](t, b.admin, left) <= 200 })
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := end(); o.State != purge.Succeeded || o.Deleted+o.Redacted != laneRows {
				t.Errorf("got %+v", o)
			}
			if got := b.text(t, `select concat_ws(' ', sum(row_count), count(*) = (select count(*) from sweeper.batches where fact = 'stamp')) from sweeper.batches where fact = 'report'`); got != fmt.Sprintf("%d t", laneRows) {
				t.Errorf("reports say %s", got)
			}
			if got := b.text(t, left); got != "0" {
				t.Errorf("%s rows are left", got)
			}
		})
	}
}

// TestNoLanes has a trigger of the application count the rows that go, all in one
// row, which two batches would wait for in turn. They go one after the other.
func TestNoLanes(t *testing.T) {
	t.Parallel()
	b := setup(t, laneTable(`create table app.counts (n int); insert into app.counts values (0); create index on app.events (at);
		create table app.modes (mode text unique);
		create function app.count() returns trigger language plpgsql security definer as $$ begin
			update app.counts set n = n + 1;
			insert into app.modes values (current_setting('plan_cache_mode')) on conflict do nothing;
			return null; end $$;
		create trigger count after delete on app.events for each row execute function app.count();`), one("UTC", "    delete: {after: P5Y}\n"))
	for _, s := range b.plan(t, in2026).Categories()[0].Steps {
		if s.Lanes {
			t.Errorf("step %s goes in several lanes", s.Name())
		}
	}
	tx := b.locker(t, `select from app.counts for update`)
	end := b.laned(t)
	pgtest.Eventually(t, "a batch waits for the counter", func() bool { return b.waits(t, "transactionid") })
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := end(); o.State != purge.Succeeded || o.Deleted != laneRows || b.text(t, `select n from app.counts`) != fmt.Sprint(laneRows) {
		t.Errorf("got %+v", o)
	}
	// What a batch asks of the planner for itself is not for the triggers: each row's
	// statements would be planned anew.
	if got := b.text(t, `select string_agg(mode, ' ') from app.modes`); got != "auto" {
		t.Errorf("the trigger ran with plan_cache_mode %s", got)
	}
}

// TestLaneGivesWay has both lanes of a step wait, and a step of another category
// that wants a slot: the second lane has it as soon as its batch is done.
func TestLaneGivesWay(t *testing.T) {
	t.Parallel()
	b := setup(t, laneTable(`create index on app.events (at);`), one("UTC", "    delete: {after: P5Y}\n"))
	first := b.locker(t, `select from app.events where id = 7 for update`)
	second := b.locker(t, `select from app.events where id = 507 for update`)
	slots := make(chan struct{}, 2)
	end := b.laned(t, func(o *purge.Options) { o.Slots = slots })
	pgtest.Eventually(t, "both lanes wait", func() bool {
		return b.text(t, `select count(*) from pg_locks where not granted and locktype = 'transactionid' and database is null and pid in (select pid from pg_stat_activity where datname = current_database())`) == "2"
	})
	began := make(chan struct{})
	got := make(chan struct{})
	go func() {
		close(began)
		slots <- struct{}{}
		close(got)
	}()
	<-began
	if err := second.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-got
	if left := pgtest.QueryOne[int](t, b.admin, `select count(*) from app.events`); left < 100 {
		t.Errorf("%d rows are left, so the lane went to its end", left)
	}
	if err := first.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := end(); o.State != purge.Succeeded || o.Deleted != laneRows {
		t.Errorf("got %+v", o)
	}
}

// TestLaneIsTaken has the session of a process that has died hold the lock of the
// second lane still: what that lane would have done is done nevertheless, and in
// batches that are no larger, though each start has more rows than one takes.
func TestLaneIsTaken(t *testing.T) {
	t.Parallel()
	for name, per := range map[string]int{"starts of their own": 1, "equal starts": 250} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, laneTable(fmt.Sprintf(`create index on app.events (at);
				create function app.equal() returns trigger language plpgsql as $$ begin new.at := '2015-01-01'::timestamptz + (new.id / %d) * interval '1 minute'; return new; end $$;
				create trigger equal before insert on app.events for each row execute function app.equal();`, per)), one("UTC", "    delete: {after: P5Y}\n"))
			dead := b.db.Conn(t, "")
			if _, err := dead.Exec(context.WithoutCancel(t.Context()), `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.StepLock("events/delete/app.events/#1")); err != nil {
				t.Fatal(err)
			}
			var log buffer
			if o := b.run(t, in2026, func(o *purge.Options) { o.BatchRows = 100 }, logTo(&log))["events"]; o.State != purge.Succeeded || o.Deleted != laneRows {
				t.Errorf("got %+v", o)
			}
			if !strings.Contains(log.String(), "lane left") {
				t.Error("no lane found its lock taken")
			}
			if got := b.text(t, `select concat_ws(' ', sum(row_count), max(row_count)) from sweeper.batches where fact = 'report'`); got != fmt.Sprintf("%d 100", laneRows) {
				t.Errorf("reports say %s rows, and the most in one", got)
			}
		})
	}
}
