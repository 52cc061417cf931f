package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestTidyForgetsWhatIsOver has rows of every age, in the log and not: what is
// young stays, and what is not yet in the log.
func TestTidyForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin, daemon := db.Conn(t, ""), db.Conn(t, "sweeper_daemon")
	run := func(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }
	db.Exec(t, `insert into sweeper.operator_log (called_at, function, actor) values
		(now() - interval '366 days', 'f', 'gone'), (now() - interval '364 days', 'f', 'young')`)
	// A run of an age in days, one batch of it, and when its end was logged.
	for i, r := range []struct {
		category string
		age      int
		state    string
		logged   any // days ago; nil: never
	}{
		{"a", 200, "succeeded", 100}, // goes
		{"a", 199, "partial", 89},    // logged too lately
		{"a", 198, "succeeded", nil}, // not in the log
		{"a", 97, "succeeded", 96},   // the last good one of its category
		{"a", 96, "failed", 95},      // the last of all
		{"b", 120, "observed", nil},  // had nothing to log, but a batch says otherwise
		{"b", 110, "succeeded", 109}, // the last good one
		{"b", 1, "running", nil},
	} {
		db.Exec(t, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, started_at, finished_at)
			values ($1, $1, $2, $3, 'manual', 'x', now(), '', '', now() - $4 * interval '1 day', now() - $4 * interval '1 day')`, run(i), r.category, r.state, r.age)
		db.Exec(t, `insert into sweeper.batches (fact, run_id, at, actor, xid) values ('report', $1, now() - $2 * interval '1 day', 'batch' || $3::text, ('9' || $3::text || '00')::xid8)`, run(i), r.age, fmt.Sprint(i))
		if r.logged != nil {
			db.Exec(t, `insert into sweeper.purges (run_id, category, reason, logged_at) values ($1, $2, 'manual', now() - $3 * interval '1 day')`, run(i), r.category, r.logged)
		}
	}
	// Facts without a run are in the log by their transactions.
	db.Exec(t, `insert into sweeper.batches (fact, at, actor, xid) values
		('hold', now() - interval '130 days', 'hold logged', '7001'), ('hold', now() - interval '130 days', 'hold not logged', '7002'),
		('hold', now() - interval '130 days', 'hold logged lately', '7003'), ('stamp', now() - interval '130 days', 'the newest stamp', '7001')`)
	db.Exec(t, `create table sweeper.purge_log_old partition of sweeper.purge_log for values from ('2020-01-01') to (date_trunc('month', now()));
		insert into sweeper.purge_log (seq, logged_at, committed_at, commit_lsn, xid, source, kind, leaf_hash, chain_hash)
		select n, now() - age * interval '1 day', now() - age * interval '1 day', '0/1', xid, 's', 'hold', sha256('a'), sha256('b') from (values (0, 129, 7001), (1, 80, 7003)) x(n, age, xid)`)

	refused(t, login(t, db, "auditor", "sweeper_auditor"), "42501", `select * from sweeper.tidy()`)
	got := strings.Join(texts(t, daemon, `select what || ' ' || rows from sweeper.tidy()`), ", ")
	if got != "operator_log 1, batches 5, runs 1, subjects of holds that are over 0" {
		t.Errorf("tidied: %s", got)
	}
	if got := texts(t, admin, `select actor from sweeper.operator_log`); len(got) != 1 || got[0] != "young" {
		t.Errorf("calls: %v", got)
	}
	if got := strings.Join(texts(t, admin, `select actor from sweeper.batches order by 1`), ", "); got != "batch1, batch2, batch5, batch7, hold logged lately, hold not logged, the newest stamp" {
		t.Errorf("batches: %s", got)
	}
	if got := strings.Join(texts(t, admin, `select right(run_id::text, 1) from sweeper.runs order by 1`), ""); got != "1234567" {
		t.Errorf("runs: %s", got)
	}
	if got := strings.Join(texts(t, daemon, `select what || ' ' || rows from sweeper.tidy()`), ", "); got != "operator_log 0, batches 0, runs 0, subjects of holds that are over 0" {
		t.Errorf("tidied again: %s", got)
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.purges`); n != 5 {
		t.Errorf("%d of 5 purges are left", n)
	}
}

// TestTidyKeepsFormerWindows has runs by which a category's windows are compared:
// the last that purged, and since then the last of each version. They stay,
// however old they are.
func TestTidyKeepsFormerWindows(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin, daemon := db.Conn(t, ""), db.Conn(t, "sweeper_daemon")
	for i, r := range []struct {
		category, version, state string
		deleted                  int
	}{
		{"a", "1", "succeeded", 5}, // goes
		{"a", "1", "succeeded", 0}, // goes
		{"a", "2", "failed", 5},    // the last that purged
		{"a", "2", "failed", 0},    // goes
		{"a", "3", "succeeded", 0}, // goes
		{"a", "3", "partial", 0},   // the last of its version
		{"a", "3", "failed", 0},    // goes
		{"a", "4", "succeeded", 0}, // the last good one of all
		{"b", "1", "succeeded", 0}, // nothing ever went, and it is the last of its version
		{"b", "2", "succeeded", 0}, // the last of all
	} {
		id := fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		db.Exec(t, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, started_at, finished_at, deleted)
			values ($1, $1, $2, $3, 'manual', 'x', now(), $4::text::bytea, '', now() - (200 - $5::int) * interval '1 day', now() - (200 - $5::int) * interval '1 day', $6)`, id, r.category, r.state, r.version, i, r.deleted)
		db.Exec(t, `insert into sweeper.purges (run_id, category, reason, logged_at) values ($1, $2, 'manual', now() - interval '100 days')`, id, r.category)
	}
	texts(t, daemon, `select what from sweeper.tidy()`)
	if got := strings.Join(texts(t, admin, `select right(run_id::text, 1) from sweeper.runs order by 1`), ""); got != "25789" {
		t.Errorf("runs: %s", got)
	}
}

// TestSubjectsAreForgotten: a subject stands in clear only while its hold needs
// it. All else of the hold stays, and nobody forgets one that is in force.
func TestSubjectsAreForgotten(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin, daemon := db.Conn(t, ""), db.Conn(t, "sweeper_daemon")
	hold := func(subject string) int64 {
		return pgtest.QueryOne[int64](t, daemon, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000' || $1, 'case', 'jane')`, subject)
	}
	kept, released, expired := hold("1"), hold("2"), hold("3")
	exec(t, daemon, `select sweeper.release_hold($1, 'settled', 'jane')`, released)
	db.Exec(t, `set session_replication_role = replica; alter table sweeper.legal_holds disable trigger keep;
		update sweeper.legal_holds set expires_at = now() - interval '59 minutes' where hold_id = `+fmt.Sprint(expired)+`;
		alter table sweeper.legal_holds enable always trigger keep; reset session_replication_role`)
	tidied := func(want int) {
		t.Helper()
		if got := pgtest.QueryOne[int](t, daemon, `select rows from sweeper.tidy() where what ~ 'subjects'`); got != want {
			t.Errorf("%d subjects are forgotten, want %d", got, want)
		}
	}
	tidied(1)
	db.Exec(t, `alter table sweeper.legal_holds disable trigger keep;
		update sweeper.legal_holds set expires_at = now() - interval '61 minutes' where hold_id = `+fmt.Sprint(expired)+`;
		alter table sweeper.legal_holds enable always trigger keep`)
	facts := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.batches`)
	tidied(1)
	tidied(0)
	state := texts(t, admin, `select concat_ws(' ', right(subject, 1), reason, applied_by, released_by, forgotten_at is not null) from sweeper.legal_holds order by hold_id`)
	if got := strings.Join(state, "; "); got != "1 case jane f; case jane jane t; case jane t" {
		t.Errorf("the holds: %s", got)
	}
	if got := strings.Join(texts(t, admin, `select distinct hold_id || ' ' || coalesce(right(value, 1), 'NULL') from sweeper.hold_keys where part = 'subject' order by 1`), ", "); got != fmt.Sprintf("%d 1, %d NULL, %d NULL", kept, released, expired) {
		t.Errorf("the keys: %s", got)
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.batches`); n != facts {
		t.Errorf("forgetting wrote %d facts for the log", n-facts)
	}
	refused(t, daemon, "55000", `select sweeper.release_hold($1, 'again', 'jane')`, released)
	exec(t, daemon, `select sweeper.release_hold($1, 'late', 'jane')`, expired) // it expired, and was not released
	for _, sql := range []string{
		`update sweeper.legal_holds set subject = null, forgotten_at = now() where hold_id = $1`,
		`update sweeper.hold_keys set value = null where hold_id = $1`,
		`update sweeper.legal_holds set forgotten_at = now() where hold_id = $1`,
	} {
		refused(t, admin, "42501", sql, kept)
	}
	refused(t, admin, "42501", `update sweeper.legal_holds set forgotten_at = null, subject = 'x' where hold_id = $1`, released)
	refused(t, admin, "42501", `update sweeper.hold_keys set value = '9' where hold_id = $1`, released)
	refused(t, admin, "42501", `delete from sweeper.hold_keys where hold_id = $1`, released)
}
