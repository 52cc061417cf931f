package purge_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// leaves are four partitions of 1500 rows that are due, of which nobody says how
// many are dead.
const leaves = `create schema app; create table app.events (id int, at timestamptz not null, who text, primary key (id, at)) partition by range (at);
	do $$ begin for i in 1 .. 4 loop
		execute format('create table app.e%s partition of app.events for values from (%L) to (%L) with (autovacuum_enabled = false)', i, '2010-01-01'::date + 10 * i, '2010-01-11'::date + 10 * i);
		execute format('insert into app.e%s select g, %L::timestamptz + g * interval ''1 minute'', ''u'' || g from generate_series(1, 1500) g', i, '2010-01-01'::date + 10 * i);
	end loop; end $$;
	create table app.young partition of app.events for values from ('2030-01-01') to ('2031-01-01');
	create table app.busy (v text);`

// busy writes what lies beyond a slot that nobody reads.
const busy = `insert into app.busy select repeat(md5(i::text), 30) from generate_series(1, 3000) i`

// clock is one that a test sets forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// ill is a daemon whose evidence a test has taken away, and counts how often it is
// asked for.
type ill struct {
	asked atomic.Int64
	why   atomic.Pointer[error]
}

func (i *ill) healthy() error {
	i.asked.Add(1)
	if why := i.why.Load(); why != nil {
		return *why
	}
	return nil
}

func (i *ill) set(err error) {
	if err == nil {
		i.why.Store(nil)
		return
	}
	i.why.Store(&err)
}

// looks returns when the steps of a run have looked so often again.
func (i *ill) looks(t *testing.T, times int64) {
	t.Helper()
	until := i.asked.Load() + times
	pgtest.Eventually(t, "the run has looked again", func() bool { return i.asked.Load() >= until })
}

// TestPauseOfAnotherCause has two steps wait while the cause changes: each pause has
// a row of its own, which tells from when to when.
func TestPauseOfAnotherCause(t *testing.T) {
	t.Parallel()
	b := setup(t, leaves, one("UTC", "    delete: {after: P5Y}\n    partitions: rows\n"))
	b.db.Exec(t, busy)
	var mu sync.Mutex
	var told []string
	health := &ill{}
	end := b.begin(t, func(o *purge.Options) {
		o.Slot, o.MaxSlotLag, o.Healthy = b.db.Slot(), 1<<20, health.healthy
		o.Waited = func(_, cause string, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if told = append(told, cause); took <= 0 {
				t.Errorf("%s for %s", cause, took)
			}
		}
	})
	const causes = `select string_agg(concat_ws(' ', cause, ended_at > began_at), ', ' order by wait_id) from sweeper.run_waits`
	waits := func(want string) {
		t.Helper()
		pgtest.Eventually(t, want, func() bool { return b.text(t, causes) == want })
		health.looks(t, 6) // both have seen it
	}
	waits("slot_lag")
	health.set(errors.New("the chain is broken"))
	waits("slot_lag t, evidence")
	if got := b.text(t, `select waits_for || ': ' || why from sweeper.run_progress`); got != "evidence: the chain is broken" {
		t.Errorf("its progress says %s", got)
	}
	health.set(nil)
	waits("slot_lag t, evidence t, slot_lag")
	pgtest.Eventually(t, "it has ended", func() bool {
		b.db.Exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, b.db.Slot())
		return b.text(t, `select count(*) from sweeper.runs where finished_at is not null`) == "1"
	})
	if o := end(); o.State != purge.Succeeded || o.Deleted != 6000 {
		t.Errorf("got %+v", o)
	}
	if got := b.text(t, `select string_agg(cause, ' ' order by wait_id) from sweeper.run_waits where ended_at is not null`); got != strings.Join(told, " ") || !strings.HasPrefix(got, "slot_lag evidence slot_lag") {
		t.Errorf("noted are %s, told %s", got, told)
	}
}

// dying has deleted of each leaf more than max_dead_share allows before the run, and
// is nobody's who would vacuum it.
func (b *bundle) dying(t *testing.T) {
	t.Helper()
	b.db.Exec(t, `delete from app.events where id <= 700`)
	// A session tells of its rows late.
	pgtest.Eventually(t, "the statistics know of the rows", func() bool {
		b.db.Exec(t, `select`)
		return b.text(t, `select count(*) = 4 from pg_stat_user_tables where schemaname = 'app' and n_live_tup = 800 and n_dead_tup = 700`) == "true"
	})
}

// TestNoVacuumComes has nobody vacuum a table of which too much is dead: its run
// gives up once, and not for each of its partitions and in each pass again. What it
// waits for meanwhile does not give it patience anew.
func TestNoVacuumComes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		workers     int
		interrupted bool
		pauses      string
	}{"one at work": {1, false, "1 of 1"}, "two at work": {2, false, "1 of 1"}, "interrupted": {2, true, "3 of 3"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, leaves, one("UTC", "    delete: {after: P5Y}\n    partitions: rows\n    limits: {max_dead_share: 0.2, max_share: 0}\n"))
			b.dying(t)
			clock, health := &clock{}, &ill{}
			end := b.begin(t, func(o *purge.Options) { o.Workers, o.Now, o.Healthy = tt.workers, clock.now, health.healthy })
			b.until(t, "the run waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'dead_rows'`)
			clock.forward(9 * time.Minute)
			health.looks(t, 4)
			b.until(t, "it waits still", `select count(*) = 1 from sweeper.run_progress where waits_for = 'dead_rows'`)
			if tt.interrupted {
				health.set(errors.New("the chain is broken"))
				b.until(t, "it waits for something else", `select count(*) = 1 from sweeper.run_progress where waits_for = 'evidence'`)
				health.set(nil)
				b.until(t, "it waits for a VACUUM again", `select count(*) = 1 from sweeper.run_progress where waits_for = 'dead_rows'`)
			}
			clock.forward(time.Minute)
			o := end()
			if o.State != purge.Partial || o.Deleted != 0 || o.Remaining != 3200 || strings.Count(o.StopReason, "no VACUUM came for 10m0s: 2800 of 6000 rows of app.events are dead") != 1 {
				t.Errorf("got %+v", o)
			}
			if got := b.text(t, `select count(*) filter (where ended_at is not null) || ' of ' || count(*) from sweeper.run_waits`); got != tt.pauses {
				t.Errorf("%s pauses have ended", got)
			}
		})
	}
}

// TestVacuumOfWhatOthersLeft has more of a table dead than its runs allow before they
// have purged anything: a run vacuums those of its partitions that it may and that
// make up the share, however few rows it purges itself.
func TestVacuumOfWhatOthersLeft(t *testing.T) {
	t.Parallel()
	b := setup(t, leaves, one("UTC", "    delete: {after: P5Y}\n    partitions: rows\n    limits: {max_dead_share: 0.2, max_share: 0}\n"))
	b.db.Exec(t, `alter table app.e1 owner to sweeper_daemon; alter table app.e2 owner to sweeper_daemon; alter table app.e4 owner to sweeper_daemon; grant usage on schema app to sweeper_daemon`)
	b.db.Exec(t, `delete from app.e1 where id <= 700; update app.e2 set who = 'x' || who; delete from app.e4 where id <= 100`)
	pgtest.Eventually(t, "the statistics know of the rows", func() bool {
		b.db.Exec(t, `select`)
		return b.text(t, `select sum(n_dead_tup) from pg_stat_user_tables where schemaname = 'app'`) == "2300"
	})
	// What the run leaves itself may be vacuumed in its midst too.
	var first sync.Once
	var vacuumed string
	end := b.begin(t, func(o *purge.Options) {
		o.Batched = func(purge.Batch) {
			first.Do(func() {
				vacuumed = b.text(t, `select string_agg(relname, ' ' order by relname) from pg_stat_user_tables where schemaname = 'app' and vacuum_count > 0`)
			})
		}
	})
	if o := end(); o.State != purge.Succeeded || o.Deleted != 5200 {
		t.Errorf("got %+v", o)
	}
	if vacuumed != "e1 e2" {
		t.Errorf("vacuumed were %q before anything went", vacuumed)
	}
}

// TestPatienceWithOurOwnVacuum has the run's own VACUUM take longer than a run waits
// for one.
func TestPatienceWithOurOwnVacuum(t *testing.T) {
	t.Parallel()
	b := setup(t, leaves, one("UTC", "    delete: {after: P5Y}\n    partitions: rows\n    limits: {max_dead_share: 0.2, max_share: 0}\n"))
	b.db.Exec(t, `do $$ begin for i in 1 .. 4 loop execute format('alter table app.e%s owner to sweeper_daemon', i); end loop; end $$; grant usage on schema app to sweeper_daemon`)
	b.dying(t)
	keeper, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = keeper.Exec(t.Context(), `lock table app.e1, app.e2, app.e3, app.e4 in share update exclusive mode`)
	}
	if err != nil {
		t.Fatal(err)
	}
	clock, health := &clock{}, &ill{}
	end := b.begin(t, func(o *purge.Options) { o.Now, o.Healthy, o.LockTimeout = clock.now, health.healthy, time.Minute })
	b.until(t, "its VACUUM is under way", `select count(*) = 1 from pg_stat_activity where datname = current_database() and query ilike 'vacuum%' and wait_event_type = 'Lock'`)
	b.until(t, "the run waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'dead_rows'`)
	clock.forward(time.Hour)
	health.looks(t, 6)
	if err := keeper.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := end(); o.State != purge.Succeeded || o.Deleted != 3200 {
		t.Errorf("got %+v", o)
	}
}

// TestPausesOfSeveralProcesses has the owner of a run and those who help with it note
// the same pause: it counts once.
func TestPausesOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n"))
	health := &ill{}
	health.set(errors.New("not now"))
	end := b.begin(t, func(o *purge.Options) { o.Healthy = health.healthy })
	b.until(t, "the run waits", `select count(*) = 1 from sweeper.run_progress where waits_for = 'evidence'`)
	b.db.Exec(t, `insert into sweeper.run_waits (run_id, cause, why, began_at, ended_at)
		select run_id, 'lock_waits', 'test', started_at, clock_timestamp() from sweeper.runs cross join generate_series(1, 3)`)
	b.db.Exec(t, `insert into sweeper.run_waits (run_id, cause, why, began_at, ended_at) select run_id, 'lock_waits', 'the clock was put back', clock_timestamp(), started_at from sweeper.runs`)
	health.set(nil)
	if o := end(); o.State != purge.Succeeded {
		t.Errorf("got %+v", o)
	}
	if got := b.text(t, `select waited = (select max(ended_at) - min(began_at) from sweeper.run_waits) from sweeper.runs`); got != "true" {
		t.Errorf("the run waited %s", b.text(t, `select string_agg(concat_ws(' ', cause, began_at, ended_at), ', ') || ': ' || (select waited from sweeper.runs) from sweeper.run_waits`))
	}
}
