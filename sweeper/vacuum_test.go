package sweeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

const vacuums = `select string_agg(concat_ws(' ', relation, partition, category, reason, row_count, split_part(reference, ' ', 1), run_id is not null), ', ' order by seq) from sweeper.purge_log where kind = 'vacuum'`

// TestVacuumOfOurOwnTable sweeps much of a table that the purging role may vacuum:
// its dead rows are gone, and the log has an entry that claims no more than that.
// After few rows it does nothing.
func TestVacuumOfOurOwnTable(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.db.Exec(t, `alter table app.events owner to sweeper_daemon; alter table app.events set (autovacuum_enabled = false)`)
	b.fill(t, 0, 500)
	b.sweep(t)
	if got := b.text(t, vacuums); got != "" {
		t.Errorf("after few rows: %s", got)
	}
	b.fill(t, 0, 12000)
	b.sweep(t)
	if got := b.text(t, vacuums); got != "app.events events VACUUM t" {
		t.Errorf("the log has %q", got)
	}
	if got := b.text(t, `select reference from sweeper.purge_log where kind = 'vacuum'`); !strings.Contains(got, "after the last of 12500 rows had gone") {
		t.Errorf("the entry claims %q", got)
	}
	b.sweep(t)
	if got := b.text(t, vacuums); strings.Count(got, "VACUUM") != 1 {
		t.Errorf("the same VACUUM is logged again: %s", got)
	}
	// The number of dead rows in the statistics comes late, and is no proof. Whoever
	// has a page in his hands at that moment keeps it from one VACUUM, not from all.
	clean := func() bool {
		return b.text(t, `select relpages > 0 and relallvisible = relpages from pg_class where oid = 'app.events'::regclass`) == "true"
	}
	for more := 0; !clean(); more++ {
		if more == 5 {
			t.Fatal("dead rows are left by each of six")
		}
		b.fill(t, 0, 12000)
		b.sweep(t)
	}
}

// TestVacuumOfChildren sweeps much of two child tables, one of them partitioned: the
// partition that lost it is vacuumed, and the one that lost little is not.
func TestVacuumOfChildren(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int); create index on app.kids (parent);
		create table app.toys (id int, region text, parent int, primary key (id, region)) partition by list (region); create index on app.toys (parent);
		create table app.toys_eu partition of app.toys for values in ('eu'); create table app."toys US" partition of app.toys for values in ('us');
		insert into app.kids select i, 1 + i % 20 from generate_series(1, 12000) i; insert into app.toys select i, case when i <= 12000 then 'us' else 'eu' end, 1 + i % 20 from generate_series(1, 12100) i`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}}\n      - {table: app.toys, match: {parent: id}}\n")
	b.db.Exec(t, `alter table app.kids owner to sweeper_daemon; alter table app.toys_eu owner to sweeper_daemon; alter table app."toys US" owner to sweeper_daemon`)
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 20 || o.Children != 24100 {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, `select string_agg(concat_ws(' ', relation, partition), ', ' order by relation) from sweeper.purge_log where kind = 'vacuum'`); got != `app.kids, app.toys app."toys US"` {
		t.Errorf("the log has %q", got)
	}
}

// TestVacuumOfSomebodyElse sweeps much of a table that the purging role may not
// vacuum: it does not try, and says what another has done once that has happened.
func TestVacuumOfSomebodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.db.Exec(t, `alter table app.events set (autovacuum_enabled = false)`)
	b.fill(t, 0, 12000)
	log := &buffer{}
	if _, err := sweeper.Sweep(t.Context(), b.cfg, logTo(log), b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "vacuum is left to autovacuum") || strings.Contains(got, "vacuum left out") {
		t.Errorf("the words are %s", got)
	}
	if got := b.text(t, vacuums); got != "" {
		t.Errorf("nobody has vacuumed, and the log has %s", got)
	}
	b.db.Exec(t, `vacuum app.events`)
	pgtest.Eventually(t, "the statistics know", func() bool {
		return b.text(t, `select last_vacuum is not null from pg_stat_all_tables where relid = 'app.events'::regclass`) == "true"
	})
	b.sweep(t)
	if got := b.text(t, vacuums); got != "app.events events VACUUM t" {
		t.Errorf("the log has %q", got)
	}
}

// TestVacuumByPrivilege sweeps much of a table that the purging role does not own
// and may MAINTAIN, which there is from PostgreSQL 17 on: it vacuums it there, and
// leaves it to autovacuum before.
func TestVacuumByPrivilege(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.db.Exec(t, `alter table app.events set (autovacuum_enabled = false)`)
	want, words := "", "vacuum is left to autovacuum"
	if b.text(t, `select current_setting('server_version_num')::int >= 170000`) == "true" {
		b.db.Exec(t, `grant maintain on app.events to sweeper_daemon`)
		want, words = "app.events events VACUUM t", ""
	}
	b.fill(t, 0, 12000)
	log := &buffer{}
	if _, err := sweeper.Sweep(t.Context(), b.cfg, logTo(log), b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if got := b.text(t, vacuums); got != want {
		t.Errorf("the log has %q, want %q", got, want)
	}
	if got := log.String(); !strings.Contains(got, words) || words == "" && strings.Contains(got, "vacuum is left") || strings.Contains(got, "vacuum left out") {
		t.Errorf("the words are %s", got)
	}
	b.checkLog(t)
}

// TestVacuumBesideALock has the table locked against a VACUUM: the sweep does not
// wait for longer than it may, and its outcome is not touched.
func TestVacuumBesideALock(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear, "SWEEPER_LOCK_TIMEOUT=100ms")
	b.db.Exec(t, `alter table app.events owner to sweeper_daemon; alter table app.events set (autovacuum_enabled = false)`)
	b.fill(t, 0, 12000)
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `create table app.other (id int); create statistics app.s on id, at from app.events`)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := &buffer{}
	o, err := sweeper.Sweep(t.Context(), b.cfg, logTo(log), b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	if err != nil || o[0].State != purge.Succeeded || o[0].Deleted != 12000 {
		t.Errorf("got %+v, %v", o, err)
	}
	if got := log.String(); !strings.Contains(got, "vacuum left out") || !strings.Contains(got, "55P03") {
		t.Errorf("the words are %s", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.checkLog(t)
}

// TestProgressOfARun looks at a run while one of its batches waits: status tells
// what the committed ones have done.
func TestProgressOfARun(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear, "SWEEPER_BATCH_ROWS=100")
	b.fill(t, 0, 1000)
	b.db.Exec(t, `create function app.wait() returns trigger language plpgsql security definer as $$ begin
		if old.id = 555 then perform pg_advisory_xact_lock_shared(4711); end if; return old; end $$;
		create trigger wait before delete on app.events for each row execute function app.wait()`)
	gate := b.db.Conn(t, "")
	pgtest.QueryOne[string](t, gate, `select pg_advisory_lock(4711)::text`)
	done := make(chan error, 1)
	go func() {
		_, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
		done <- err
	}()
	status := func() sweeper.CategoryStatus {
		all, _, err := sweeper.Status(t.Context(), b.cfg, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	pgtest.Eventually(t, "a batch waits", func() bool {
		return b.text(t, `select exists (select from pg_locks where locktype = 'advisory' and not granted and objid = 4711 and classid = 0)`) == "true"
	})
	if s := status(); s.RunDone == nil || s.RunPlanned == nil || *s.RunPlanned != 1000 || *s.RunDone < 100 || *s.RunDone >= 1000 || b.text(t, `select $1 = 1000 - count(*) from app.events`, *s.RunDone) != "true" {
		t.Errorf("while it runs: %+v", s)
	}
	pgtest.QueryOne[string](t, gate, `select pg_advisory_unlock(4711)::text`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := status(); s.RunDone != nil || s.RunPlanned != nil {
		t.Errorf("afterwards: %+v", s)
	}
}
