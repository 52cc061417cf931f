package sql_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

const holdVersion = `select version::text from sweeper.hold_version`

// TestHoldVersion: the set of keys gets another version in every transaction that
// adds a key, and only when that commits, and in none that adds none.
func TestHoldVersion(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin, operator, daemon := db.Conn(t, ""), login(t, db, "op", "sweeper_operator"), db.Conn(t, "sweeper_daemon")
	const subject = `select sweeper.apply_hold(gen_random_uuid()::text, 'r', 'me')`
	for what, c := range map[string]struct {
		sql   []string
		moves bool
	}{
		"a subject":                           {[]string{subject}, true},
		"a tenant":                            {[]string{`select sweeper.apply_hold(null, 'r', 'me', tenant => 'north')`}, true},
		"a category":                          {[]string{`select sweeper.apply_hold(null, 'r', 'me', category => 'people')`}, false},
		"one taken back":                      {[]string{`begin`, subject, `rollback`}, false},
		"one taken back, and one not":         {[]string{`begin`, `savepoint s`, subject, `rollback to s`, subject, `commit`}, true},
		"one not taken back, and one that is": {[]string{`begin`, subject, `savepoint s`, subject, `rollback to s`, `commit`}, true},
		"one in a part of a transaction":      {[]string{`begin`, `savepoint s`, subject, `release s`, subject, `commit`}, true},
	} {
		before := pgtest.QueryOne[string](t, admin, holdVersion)
		for _, sql := range c.sql {
			exec(t, operator, sql)
		}
		if after := pgtest.QueryOne[string](t, daemon, holdVersion); (before != after) != c.moves {
			t.Errorf("%s: the version was %s and is %s", what, before, after)
		}
	}
	before := pgtest.QueryOne[string](t, admin, holdVersion)
	exec(t, operator, `select sweeper.release_hold(max(hold_id), 'r', 'me') from sweeper.legal_holds where released_at is null`)
	if after := pgtest.QueryOne[string](t, admin, holdVersion); before != after {
		t.Error("a release made another version")
	}
	exec(t, admin, `set session_replication_role = replica; insert into sweeper.legal_holds (subject, reason, applied_by) values (gen_random_uuid(), 'r', 'me')`)
	if after := pgtest.QueryOne[string](t, admin, holdVersion); before == after {
		t.Error("a hold that was inserted by hand made no other version")
	}
	exec(t, admin, `delete from sweeper.hold_version; set session_replication_role = default`)
	exec(t, operator, subject)
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.hold_version`); n != 1 {
		t.Errorf("after the row was deleted, and a hold, there are %d", n)
	}
	refused(t, daemon, "42501", `update sweeper.hold_version set version = gen_random_uuid()`)
	refused(t, operator, "42501", `update sweeper.hold_version set version = gen_random_uuid()`)
	// Nobody but a trigger calls it, and not as one of his own.
	refused(t, operator, "42501", `create temp table mine (i int); create trigger mine after insert on mine execute function sweeper.renew_hold_version()`)
}

// TestHoldVersionOfATransaction: many keys in one transaction make one version, or
// each would step over the rows of all before it.
func TestHoldVersionOfATransaction(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	exec(t, admin, `begin`)
	exec(t, admin, `select sweeper.apply_hold(gen_random_uuid()::text, 'r', 'me') from generate_series(1, 100)`)
	if n := pgtest.QueryOne[int](t, admin, `select n_tup_upd from pg_stat_xact_user_tables where relid = 'sweeper.hold_version'::regclass`); n != 1 {
		t.Errorf("100 holds wrote %d versions", n)
	}
	exec(t, admin, `commit`)
	// What a dump of another server brought along is no version of this transaction.
	exec(t, admin, `begin`)
	exec(t, admin, `update sweeper.hold_version set renewed_by = pg_current_xact_id(), renewed_at = now() - interval '1 microsecond'`)
	before := pgtest.QueryOne[string](t, admin, holdVersion)
	exec(t, admin, `select sweeper.apply_hold(gen_random_uuid()::text, 'r', 'me')`)
	if after := pgtest.QueryOne[string](t, admin, holdVersion); before == after {
		t.Error("a transaction of the same number on another server stands for this one")
	}
	exec(t, admin, `rollback`)
}

// TestNewTypeMakesAnotherVersion: the keys of holds that are there already, as a
// column of another type reads them, are new keys.
func TestNewTypeMakesAnotherVersion(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	exec(t, admin, `select sweeper.apply_hold('7', 'r', 'me')`)
	before := pgtest.QueryOne[string](t, admin, holdVersion)
	exec(t, admin, peopleAsNumbers)
	if _, err := install(t, db.URL, db.Slot(), numbersPolicy, false); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.hold_keys where type = 'int4'::regtype and value = '7'`); n != 1 {
		t.Errorf("%d keys of the new type", n)
	}
	if after := pgtest.QueryOne[string](t, admin, holdVersion); before == after {
		t.Error("keys of a new type made no other version")
	}
}

const (
	peopleAsNumbers = `create table app.numbers (id int primary key, at timestamptz); create index on app.numbers (at)`
	numbersPolicy   = peoplePolicy + "  numbers: {table: app.numbers, subject: id, start_from: at, delete: {after: P5Y}}\n"
)

// TestUpgradeToHoldVersions: a schema of the version before has holds in force, and
// gets the version of their keys; a hold that comes then makes another one.
func TestUpgradeToHoldVersions(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	exec(t, admin, `select sweeper.apply_hold(gen_random_uuid()::text, 'r', 'me')`)
	exec(t, admin, `drop trigger version on sweeper.hold_keys; drop function sweeper.renew_hold_version(); drop table sweeper.hold_version; drop index sweeper.legal_holds_tenant_expires_at_idx;
		update sweeper.schema_version set version = 11, code_sha256 = ''`)
	done, err := install(t, db.URL, db.Slot(), peoplePolicy, false)
	if err != nil || done.Empty() {
		t.Fatalf("upgrade: %v\n%s", err, done.Script())
	}
	before := pgtest.QueryOne[string](t, admin, holdVersion)
	exec(t, admin, `select sweeper.apply_hold(gen_random_uuid()::text, 'r', 'me')`)
	if after := pgtest.QueryOne[string](t, admin, holdVersion); before == after {
		t.Error("a hold after the upgrade made no other version")
	}
	if again, err := install(t, db.URL, db.Slot(), peoplePolicy, false); err != nil || !again.Empty() {
		t.Errorf("a second install: %v\n%s", err, again.Script())
	}
}
