package sql_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestUninstall removes one of two databases' sweepers, then the other.
func TestUninstall(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{})
	for _, database := range []string{"one", "two"} {
		onServer(t, s, "postgres", "create database "+database+" template template0")
		onServer(t, s, database, peopleDDL)
		if _, err := install(t, urls(s, database), "slot_"+database, peoplePolicy, false); err != nil {
			t.Fatal(err)
		}
	}
	one, two := onServer(t, s, "one", aLog), onServer(t, s, "two", aLog)
	removed, err := sweeper.Uninstall(t.Context(), config(t, urls(s, "one"), "slot_one"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"slot slot_one", "publication sweeper", "schema sweeper", "privileges of role sweeper_daemon in this database"} {
		if !slices.Contains(removed, what) {
			t.Errorf("%q is not said to be removed: %q", what, removed)
		}
	}
	if left := texts(t, one, `select nspname::text from pg_namespace where nspname = 'sweeper'
		union all select pubname::text from pg_publication
		union all select format('%s %s', attname, attacl) from pg_attribute where attrelid = 'app.people'::regclass and attacl::text ~ 'sweeper'
		union all select relacl::text from pg_class where relacl::text ~ 'sweeper'
		union all select nspacl::text from pg_namespace where nspacl::text ~ 'sweeper'`); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if again, err := install(t, urls(s, "two"), "slot_two", peoplePolicy, false); err != nil || !again.Empty() {
		t.Errorf("the other database needs an install: %v\n%s", err, again.Script())
	}
	if n := pgtest.QueryOne[int](t, two, `select count(*) from pg_replication_slots`); n != 1 {
		t.Errorf("%d slots are left, want the other database's", n)
	}
	if _, err := sweeper.Uninstall(t.Context(), config(t, urls(s, "two"), "slot_two"), false); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, one)
	nothingLeft(t, two)
	if n := pgtest.QueryOne[int](t, two, `select count(*) from app.people`); n != 3 {
		t.Errorf("%d of the application's rows are left", n)
	}
	if removed, err := sweeper.Uninstall(t.Context(), config(t, urls(s, "two"), "slot_two"), false); err != nil || len(removed) > 0 {
		t.Errorf("once more: %v, %q", err, removed)
	}
}

// TestUninstallKeepsTheLog, which can still be read and verified, and nothing
// can purge any more; another install makes it whole again.
func TestUninstallKeepsTheLog(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{})
	onServer(t, s, "postgres", "create database app template template0")
	onServer(t, s, "app", peopleDDL)
	at := urls(s, "app")
	if _, err := install(t, at, "kept", peoplePolicy, false); err != nil {
		t.Fatal(err)
	}
	conn := onServer(t, s, "app", aLog+`create role auditor login in role sweeper_auditor`)
	exec(t, conn, `select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
	if _, err := sweeper.Uninstall(t.Context(), config(t, at, "kept"), true); err != nil {
		t.Fatal(err)
	}
	if left := texts(t, conn, `select rolname::text from pg_roles where rolname ~ '^sweeper' order by 1`); !slices.Equal(left, []string{"sweeper_auditor", "sweeper_owner"}) {
		t.Errorf("roles left: %q", left)
	}
	if left := texts(t, conn, `select slot_name::text from pg_replication_slots union all select pubname::text from pg_publication
		union all select relacl::text from pg_class where relnamespace = 'app'::regnamespace and relacl::text ~ 'sweeper'
		union all select attacl::text from pg_attribute where attrelid = 'app.people'::regclass and attacl::text ~ 'sweeper'`); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	exec(t, conn, `set role auditor`)
	if n := pgtest.QueryOne[int](t, conn, `select (select count(*) from sweeper.purge_log) + (select count(*) from sweeper.purges) + (select count(*) from sweeper.legal_holds)`); n != 3 {
		t.Errorf("%d rows of the log are left, want 3", n)
	}
	if problems := texts(t, conn, `select problem from sweeper.verify_chain()`); len(problems) == 0 {
		t.Error("an entry without a true hash verifies")
	}
	exec(t, conn, `reset role`)
	refused(t, conn, "42501", `delete from sweeper.purge_log`)

	if _, err := install(t, at, "kept", peoplePolicy, false); err != nil {
		t.Fatal(err)
	}
	again, err := install(t, at, "kept", peoplePolicy, false)
	if err != nil || !again.Empty() {
		t.Errorf("not whole after another install: %v\n%s", err, again.Script())
	}
	exec(t, conn, `set role sweeper_daemon; select id from app.people; select from sweeper.legal_holds; insert into sweeper.batches (fact) values ('stamp'); reset role`)
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from sweeper.purge_log`); n != 1 {
		t.Errorf("%d entries are left, want 1", n)
	}
}

// TestUninstallDropsNothingOfTheApplication: a table that somebody gave to one
// of our roles is not ours to drop.
func TestUninstallDropsNothingOfTheApplication(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{})
	onServer(t, s, "postgres", "create database app template template0")
	onServer(t, s, "app", peopleDDL)
	if _, err := install(t, urls(s, "app"), "given", peoplePolicy, false); err != nil {
		t.Fatal(err)
	}
	conn := onServer(t, s, "app", `alter table app.people owner to sweeper_owner`)
	_, err := sweeper.Uninstall(t.Context(), config(t, urls(s, "app"), "given"), false)
	if err == nil || !strings.Contains(err.Error(), "table app.people") {
		t.Errorf("got %v, want an error that names the table", err)
	}
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from app.people`); n != 3 {
		t.Errorf("%d of the application's rows are left", n)
	}
	exec(t, conn, `alter table app.people owner to postgres`)
	if _, err := sweeper.Uninstall(t.Context(), config(t, urls(s, "app"), "given"), false); err != nil {
		t.Error(err)
	}
	nothingLeft(t, conn)
}

// TestUninstallDropsRestrictedViews: they go although the log is kept. Like all
// that drops roles it has a server of its own: they are those of every database.
func TestUninstallDropsRestrictedViews(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{})
	onServer(t, s, "postgres", "create database app template template0")
	conn := onServer(t, s, "app", peopleDDL)
	restricted := strings.Replace(peoplePolicy, "redact: {after: P30D, columns: {email: \"null\"}}", "restrict: {after: P30D, columns: [email]}", 1)
	if _, err := install(t, urls(s, "app"), "hidden", restricted, false); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from pg_views where schemaname = 'sweeper_restricted'`); n != 1 {
		t.Fatalf("%d restricted views were made, want 1", n)
	}
	if _, err := sweeper.Uninstall(t.Context(), config(t, urls(s, "app"), "hidden"), true); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from pg_namespace where nspname = 'sweeper_restricted'`); n != 0 {
		t.Error("schema sweeper_restricted is left")
	}
}
