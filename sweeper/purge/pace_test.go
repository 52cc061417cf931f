package purge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// paced is a table of rows that are due, of which each delete that begins takes
// the lock 4711 when the test holds it, and has its rows by then.
const paced = `create schema app;
	create table app.events (id int primary key, at timestamptz not null, who text) with (autovacuum_enabled = false);
	create index on app.events (at);
	insert into app.events select i, '2010-01-01'::timestamptz + i * interval '1 minute', 'u' || i from generate_series(1, 6000) i;
	create function app.wait() returns trigger language plpgsql security definer as $$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$;
	create trigger wait after delete on app.events for each statement execute function app.wait();`

// begin sweeps in the background; end waits for it.
func (b *bundle) begin(t *testing.T, change ...func(*purge.Options)) (end func() purge.Outcome) {
	t.Helper()
	done := make(chan purge.Outcome, 1)
	go func() { done <- b.run(t, in2026, append(change, logTo(&buffer{}))...)["events"] }()
	return func() purge.Outcome {
		t.Helper()
		select {
		case o := <-done:
			return o
		case <-time.After(time.Minute):
			t.Fatal("the sweep does not end")
			return purge.Outcome{}
		}
	}
}

func (b *bundle) until(t *testing.T, what, sql string) {
	t.Helper()
	pgtest.Eventually(t, what, func() bool { return b.text(t, sql) == "true" })
}

// TestPausedCategory pauses a category while a batch is under way: that one is
// the last. Until the pause ends no run of it purges anything.
func TestPausedCategory(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	b.db.Exec(t, `select sweeper.govern(jsonb_build_array(jsonb_build_object('category', 'events', 'relation', 'app.events'::regclass::oid, 'relation_name', 'app.events', 'mode', 'enforce', 'enabled', true)), '\x00')`)
	keeper := b.db.Conn(t, "")
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	end := b.begin(t, func(o *purge.Options) { o.Workers = 1 })
	b.until(t, "a batch is under way", `select count(*) = 1 from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`)
	b.db.Exec(t, `select sweeper.set_paused('events', true, 'ops', 'peak hours')`)
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4711)::text`)
	o := end()
	if o.State != purge.Paused || o.Deleted != 1000 || o.Remaining != 5000 || o.Err != nil || !strings.Contains(o.StopReason, "paused by ops since 20") || !strings.HasSuffix(o.StopReason, "; end that with: select sweeper.set_paused('events', false, actor, reason)") {
		t.Errorf("got %+v", o)
	}
	if again := b.run(t, in2026)["events"]; again.State != purge.Paused || again.Deleted != 0 || again.Remaining != 5000 {
		t.Errorf("under the pause: %+v", again)
	}
	b.db.Exec(t, `select sweeper.set_paused('events', false, 'ops', 'night')`)
	if o = b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 5000 {
		t.Errorf("after it: %+v", o)
	}
	if got := b.text(t, `select string_agg(concat_ws(' ', function, actor, object), ', ' order by call_id) from sweeper.operator_log`); got != "set_paused ops events paused: peak hours, set_paused ops events goes on: night" {
		t.Errorf("the operator log has %s", got)
	}
}

// TestPausedCategoryKeepsItsPartitions has nothing dropped under a pause.
func TestPausedCategoryKeepsItsPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t, shots, "version: 1\ncategories:\n  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P5Y}}\n")
	b.mayDrop(t)
	b.db.Exec(t, `insert into sweeper.paused (category, actor, reason) values ('shots', 'ops', 'test')`)
	before := b.text(t, `select count(*) from app.shots`)
	if o := b.run(t, in2026)["shots"]; o.State != purge.Paused || o.PartitionsDropped != 0 || b.text(t, `select count(*) from app.shots`) != before {
		t.Errorf("got %+v", o)
	}
}

// TestMostRowsOfARun has runs that may purge so many rows and not one more,
// whether the rows go in time order, by blocks, as partitions, or two steps at a
// time; what is left goes in the runs after it.
func TestMostRowsOfARun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ ddl, body string }{
		"by start":  {paced, "    delete: {after: P5Y}\n"},
		"by blocks": {strings.Replace(paced, "create index on app.events (at);", "", 1), "    delete: {after: P5Y}\n"},
		"of leaves, by two workers": {`create schema app; create table app.events (id int, at timestamptz not null, who text, primary key (id, at)) partition by range (at);
			create table app.e1 partition of app.events for values from ('2010-01-01') to ('2010-01-03'); create table app.e2 partition of app.events for values from ('2010-01-03') to ('2010-02-01');
			create table app.e3 partition of app.events for values from ('2030-01-01') to ('2030-02-01');
			insert into app.events select i, '2010-01-01'::timestamptz + i * interval '1 minute', 'u' || i from generate_series(1, 6000) i;`, "    delete: {after: P5Y}\n    partitions: rows\n"},
		"redacted": {paced, "    redact: {after: P5Y, columns: {who: \"null\"}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.ddl, one("UTC", test.body+"    limits: {max_rows_per_run: 2345}\n"))
			for _, want := range []struct {
				state      string
				rows, left int64
			}{{purge.Partial, 2345, 3655}, {purge.Partial, 2345, 1310}, {purge.Succeeded, 1310, 0}} {
				o := b.run(t, in2026, func(o *purge.Options) { o.BatchRows = 700 })["events"]
				if o.State != want.state || o.Deleted+o.Redacted != want.rows || o.Remaining != want.left {
					t.Errorf("got %+v, want %+v", o, want)
				}
				if (o.State == purge.Partial) != strings.Contains(o.StopReason, "limits.max_rows_per_run of 2345 rows is reached") {
					t.Errorf("stop reason %q", o.StopReason)
				}
			}
		})
	}
}

// TestMostRowsOfARunCountsTrees has rows that go along with others of their own
// table, one tree of them larger than a run may be: all of them count.
func TestMostRowsOfARunCountsTrees(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz not null, who text, up int references app.events);
		create index on app.events (up); create index on app.events (at);
		insert into app.events select i, '2010-01-01', 'u', nullif(i / 10 * 10, i) from generate_series(0, 99) i;
		insert into app.events select i, '2010-01-01', 'u', nullif(200, i) from generate_series(200, 260) i;`,
		one("UTC", "    delete: {after: P5Y}\n    limits: {max_rows_per_run: 45, max_share: 0}\n    children:\n      - {table: app.events, match: {up: id}, action: delete}\n"))
	var gone int64
	for runs := 1; ; runs++ {
		o := b.run(t, in2026, logTo(&buffer{}))["events"]
		gone += o.Deleted
		if o.Deleted > 45 || o.Deleted == 0 {
			t.Fatalf("got %+v", o)
		}
		if got := b.text(t, `select 161 - count(*) from app.events`); got != fmt.Sprint(gone) {
			t.Errorf("%s rows are gone, %d are reported", got, gone)
		}
		if o.State == purge.Succeeded {
			if gone != 161 || runs < 4 {
				t.Errorf("%d rows in %d runs", gone, runs)
			}
			return
		}
	}
}

// TestMostRowsOfARunAndPartitions has leaves of 4000 and of 20 rows that could be
// dropped, and runs of 1500 rows: the large one goes by rows.
func TestMostRowsOfARunAndPartitions(t *testing.T) {
	t.Parallel()
	for _, manifest := range []string{"count", "none"} {
		t.Run(manifest, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `create schema app; create table app.shots (id int, at timestamptz not null, who text, primary key (id, at)) partition by range (at);
				create table app.p1 partition of app.shots for values from ('2010-01-01') to ('2010-01-02'); create table app.p2 partition of app.shots for values from ('2010-01-02') to ('2010-01-10');
				create table app.p3 partition of app.shots for values from ('2030-01-01') to ('2030-02-01');
				insert into app.shots select i, '2010-01-01 12:00+00', 'u' || i from generate_series(1, 20) i;
				insert into app.shots select i, '2010-01-03'::timestamptz + i * interval '1 minute', 'u' || i from generate_series(1, 4000) i;
				`+owned,
				"version: 1\ncategories:\n  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P5Y}, manifest: "+manifest+", limits: {max_rows_per_run: 1500, max_share: 0}}\n")
			b.mayDrop(t)
			dropped := map[string]int64{"count": 1, "none": 0}[manifest]
			if o := b.run(t, in2026)["shots"]; o.State != purge.Partial || o.PartitionsDropped != dropped || o.Deleted != 1500 || o.Remaining != 2520 {
				t.Errorf("got %+v", o)
			}
			b.run(t, in2026)
			if o := b.run(t, in2026)["shots"]; o.State != purge.Succeeded || o.Deleted != 1020 || b.text(t, `select count(*) from app.shots`) != "0" {
				t.Errorf("the third: %+v", o)
			}
		})
	}
}

// TestRowsPerSecondOfACategory has two categories with a rate for one: it keeps to
// it, and the other need not.
func TestRowsPerSecondOfACategory(t *testing.T) {
	t.Parallel()
	b := setup(t, paced+`create table app.notes (id int primary key, at timestamptz not null); insert into app.notes select i, '2010-01-01' from generate_series(1, 6000) i`,
		one("UTC", "    delete: {after: P5Y}\n    limits: {rows_per_second: 2000}\n")+"  notes: {table: app.notes, start_from: at, delete: {after: P5Y}}\n")
	for name, o := range b.run(t, in2026) {
		if o.State != purge.Succeeded || o.Deleted != 6000 {
			t.Errorf("%s: %+v", name, o)
		}
	}
	// The last batch is paid for by whoever comes next, so that 6000 rows take 2 s at least.
	if got := b.text(t, `select finished_at - started_at >= interval '2 s' from sweeper.runs where category = 'events'`); got != "true" {
		t.Error("the one with a rate took less than 2 s")
	}
	if got := b.text(t, `select string_agg(category, ' ') from sweeper.pace`); got != "events" {
		t.Errorf("rates are kept for %q", got)
	}
	// What the rate gives in 250 ms, and not a second's worth at once.
	if got := b.text(t, largestBatch); got != "500" {
		t.Errorf("the largest batch has %s rows", got)
	}
}

const largestBatch = `select max(row_count) from sweeper.batches where fact = 'report' and category = 'events'`

// TestRowsPerSecondOfAll has rates of which a batch is no smaller than is worth
// one, unless that were more than a second's worth; the lower of two rates counts.
func TestRowsPerSecondOfAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		all  int
		own  string
		rows string
	}{{300, "", "100"}, {60, "", "60"}, {100000, "", "1000"}, {100000, "600", "150"}, {600, "100000", "150"}} {
		t.Run(fmt.Sprint(c.all, " and ", c.own), func(t *testing.T) {
			t.Parallel()
			limits := ""
			if c.own != "" {
				limits = "    limits: {rows_per_second: " + c.own + "}\n"
			}
			b := setup(t, strings.ReplaceAll(paced, "6000", map[bool]string{true: "80", false: "1200"}[c.rows == "60"]), one("UTC", "    delete: {after: P5Y}\n"+limits))
			if o := b.run(t, in2026, func(o *purge.Options) { o.RowsPerSecond = c.all })["events"]; o.State != purge.Succeeded || o.Remaining != 0 {
				t.Errorf("got %+v", o)
			}
			if got := b.text(t, largestBatch); got != c.rows {
				t.Errorf("the largest batch has %s rows", got)
			}
		})
	}
}

// TestLockWaits has the application wait for a row that a batch deletes: the
// next batch waits until it has got its lock, and those after it are smaller.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	keeper, app := b.db.Conn(t, ""), b.db.Conn(t, "")
	if _, err := app.Exec(t.Context(), `set application_name = 'the application'`); err != nil {
		t.Fatal(err)
	}
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	waited := make(chan string, 100)
	end := b.begin(t, func(o *purge.Options) {
		o.Workers, o.LockTimeout, o.BatchTarget = 1, time.Minute, time.Minute
		o.Waits = func(category, cause string) { waited <- category + " begins " + cause }
		o.Waited = func(category, cause string, _ time.Duration) { waited <- category + " " + cause }
	})
	b.until(t, "a batch is under way", `select count(*) = 1 from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`)
	updated := make(chan error, 1)
	go func() {
		_, err := app.Exec(t.Context(), `update app.events set who = 'x' where id = 1`)
		updated <- err
	}()
	b.until(t, "the application waits and was seen", `select count(*) = 1 from pg_stat_activity where datname = current_database() and application_name = 'the application' and wait_event_type = 'Lock' and clock_timestamp() - state_change > interval '2 s'`)
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4711)::text`)
	if err := <-updated; err != nil {
		t.Error(err)
	}
	if o := end(); o.State != purge.Succeeded || o.Deleted != 6000 {
		t.Errorf("got %+v", o)
	}
	for _, want := range []string{"events begins lock_waits", "events lock_waits"} {
		select {
		case got := <-waited:
			if got != want {
				t.Errorf("heard of %s, want %s", got, want)
			}
		default:
			t.Fatalf("did not hear of %s", want)
		}
	}
	if got := b.text(t, `select concat_ws(' ', cause, why, ended_at > began_at) from sweeper.run_waits`); got != "lock_waits 1 sessions wait for locks of the purge t" {
		t.Errorf("the wait is noted as %q", got)
	}
	if got := b.text(t, `select waited > interval '0' and waited < finished_at - started_at from sweeper.runs`); got != "true" {
		t.Error("the run does not say how long it waited")
	}
	if got := b.text(t, `select row_count from sweeper.batches where fact = 'report' order by batch_id offset 2 limit 1`); got != "750" { // half of it, and half as much again
		t.Errorf("the second batch after the wait has %s rows", got)
	}
}

// TestSlotLag has the log fall behind, as nobody reads the slot: nothing is
// purged until it has caught up.
func TestSlotLag(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	b.db.Exec(t, `create table app.busy (v text); insert into app.busy select repeat(md5(i::text), 30) from generate_series(1, 3000) i`)
	end := b.begin(t, func(o *purge.Options) { o.Slot, o.MaxSlotLag = b.db.Slot(), 1<<20 })
	b.until(t, "the run waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'slot_lag' and why like 'the purge log is % MiB of WAL behind, more than SWEEPER_MAX_SLOT_LAG allows'`)
	if got := b.text(t, `select count(*) from app.events`); got != "6000" {
		t.Errorf("%s rows are left", got)
	}
	// What it then purges is behind again, as nobody reads the slot still, and so is
	// what other tests write.
	pgtest.Eventually(t, "it has ended", func() bool {
		b.db.Exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, b.db.Slot())
		return b.text(t, `select count(*) from sweeper.runs where finished_at is not null`) == "1"
	})
	if o := end(); o.State != purge.Succeeded || o.Deleted != 6000 {
		t.Errorf("got %+v", o)
	}
}

// TestStopUnderPressure stops a run that waits.
func TestStopUnderPressure(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	b.db.Exec(t, `create table app.busy (v text); insert into app.busy select repeat(md5(i::text), 30) from generate_series(1, 3000) i`)
	stop, cancel := context.WithCancelCause(t.Context())
	o := b.options(logTo(&buffer{}), func(o *purge.Options) { o.Slot, o.MaxSlotLag, o.Stop = b.db.Slot(), 1<<20, stop })
	pool := b.pool(t, 4)
	defer pool.Close()
	plan, done := b.plan(t, in2026), make(chan purge.Outcome, 1)
	go func() { done <- purge.Run(t.Context(), pool, plan, o)[0] }()
	b.until(t, "the run waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'slot_lag'`)
	cancel(errors.New("its hours are over"))
	if got := <-done; got.State != purge.Stopped || got.StopReason != "its hours are over" || got.Deleted != 0 || got.Remaining != 6000 {
		t.Errorf("got %+v", got)
	}
	if got := b.text(t, `select count(*) from sweeper.run_waits where ended_at is not null`); got != "1" {
		t.Error("the end of the wait is not noted")
	}
}

// TestPauseUnderPressure pauses a category whose run waits.
func TestPauseUnderPressure(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	b.db.Exec(t, `create table app.busy (v text); insert into app.busy select repeat(md5(i::text), 30) from generate_series(1, 3000) i`)
	end := b.begin(t, func(o *purge.Options) { o.Slot, o.MaxSlotLag = b.db.Slot(), 1<<20 })
	b.until(t, "the run waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'slot_lag'`)
	b.db.Exec(t, `insert into sweeper.paused (category, actor, reason) values ('events', 'ops', 'test')`)
	if o := end(); o.State != purge.Paused || o.Deleted != 0 || o.Remaining != 6000 {
		t.Errorf("got %+v", o)
	}
}

// TestDeadRows has a table that nobody vacuums: a run with max_dead_share waits
// for a VACUUM, and where it may vacuum itself does so in its midst.
func TestDeadRows(t *testing.T) {
	t.Parallel()
	for name, owned := range map[string]bool{"vacuumed by the owner": false, "vacuumed by the daemon": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, strings.Replace(paced, "6000", "60000", 1), one("UTC", "    delete: {after: P5Y}\n    limits: {rows_per_second: 10000, max_dead_share: 0.2, max_share: 0}\n"))
			// A session tells of its rows late: after an ANALYZE they would count twice.
			pgtest.Eventually(t, "the statistics know of the rows", func() bool {
				b.db.Exec(t, `select`)
				return b.text(t, `select n_tup_ins from pg_stat_user_tables where relid = 'app.events'::regclass`) == "60000"
			})
			b.db.Exec(t, `analyze app.events`)
			if got := b.text(t, `select n_live_tup from pg_stat_user_tables where relid = 'app.events'::regclass`); got != "60000" {
				t.Fatalf("the statistics count %s rows", got)
			}
			if owned {
				b.db.Exec(t, `alter table app.events owner to sweeper_daemon; grant usage on schema app to sweeper_daemon`)
			}
			end := b.begin(t, func(o *purge.Options) { o.Workers = 1 })
			b.until(t, "the run has waited", `select count(*) >= 1 from sweeper.run_waits where cause = 'dead_rows' and why like '% of % rows of app.events are dead and wait for a VACUUM, more than max_dead_share 0.2 allows'`)
			if left := b.text(t, `select count(*) from app.events`); left == "0" {
				t.Error("it waited when nothing was left to purge")
			}
			if !owned {
				pgtest.Eventually(t, "it has ended", func() bool {
					b.db.Exec(t, `vacuum app.events`)
					return b.text(t, `select count(*) from sweeper.runs where finished_at is not null`) == "1"
				})
			}
			if o := end(); o.State != purge.Succeeded || o.Deleted != 60000 {
				t.Errorf("got %+v", o)
			}
			if got := b.text(t, `select vacuum_count > 0 from pg_stat_user_tables where relid = 'app.events'::regclass`); got != "true" {
				t.Error("nobody vacuumed")
			}
		})
	}
}

// TestWaitsForTheDisk has batches of a run under a rate wait for the disk, and
// those of another not.
func TestWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	for rate, want := range map[int]string{0: "off", 100_000: "on"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz not null, who text); create index on app.events (at);
				create table app.said (what text);
				insert into app.events select i, '2010-01-01', 'u' || i from generate_series(1, 300) i;
				create function app.say() returns trigger language plpgsql security definer as $$ begin insert into app.said values (current_setting('synchronous_commit')); return null; end $$;
				create trigger say after delete on app.events for each statement execute function app.say();`, one("UTC", "    delete: {after: P5Y}\n"))
			if o := b.run(t, in2026, func(o *purge.Options) { o.RowsPerSecond = rate })["events"]; o.State != purge.Succeeded || o.Deleted != 300 {
				t.Fatalf("got %+v", o)
			}
			if got := b.text(t, `select string_agg(distinct what, ', ') from app.said`); got != want {
				t.Errorf("synchronous_commit was %s under a rate of %d, want %s", got, rate, want)
			}
		})
	}
}

// TestPausedInALongRest pauses a category whose run rests for minutes, since so much
// was booked at its rate: it hears of that at once.
func TestPausedInALongRest(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	b.db.Exec(t, `insert into sweeper.pace values ('', clock_timestamp() + interval '9 minutes')`)
	end := b.begin(t, func(o *purge.Options) { o.Workers, o.RowsPerSecond = 1, 2000 })
	b.until(t, "its first batch is done", `select count(*) = 1 from sweeper.batches where fact = 'report'`)
	b.db.Exec(t, `insert into sweeper.paused (category, actor, reason) values ('events', 'ops', 'test')`)
	if o := end(); o.State != purge.Paused || o.Deleted != 500 {
		t.Errorf("got %+v", o)
	}
}

// TestBookingOfAClockAhead finds a booking for which no batches account: the
// server's clock was ahead. What batches may have booked is waited for.
func TestBookingOfAClockAhead(t *testing.T) {
	t.Parallel()
	for ahead, atLeast := range map[string]string{"1 hour": "0 s", "4 s": "3 s"} {
		t.Run(ahead, func(t *testing.T) {
			t.Parallel()
			b := setup(t, strings.Replace(paced, "6000", "1000", 1), one("UTC", "    delete: {after: P5Y}\n    limits: {rows_per_second: 100000}\n"))
			b.db.Exec(t, `insert into sweeper.pace values ('', clock_timestamp() + $1::interval), ('events', clock_timestamp() + $1::interval)`, ahead)
			if o := b.begin(t, func(o *purge.Options) { o.RowsPerSecond = 100000 })(); o.State != purge.Succeeded || o.Deleted != 1000 {
				t.Errorf("got %+v", o)
			}
			if got := b.text(t, `select finished_at - started_at >= $1::interval from sweeper.runs`, atLeast); got != "true" {
				t.Errorf("what was booked %s ahead was not waited for", ahead)
			}
		})
	}
}
