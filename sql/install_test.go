package sql_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sql"
	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// versions is who wrote the catalogue's rows about schema sweeper, and what
// stands in its tables: unchanged means that nothing was written at all.
const versions = `
select format('%s %s %s', 'class', c.oid::regclass, c.xmin) from pg_class c where c.relnamespace = 'sweeper'::regnamespace
union all
select format('%s %s %s', 'proc', p.oid::regprocedure, p.xmin) from pg_proc p where p.pronamespace = 'sweeper'::regnamespace
union all
select format('%s %s %s %s', 'trigger', t.tgrelid::regclass, t.tgname, t.xmin) from pg_trigger t join pg_class c on c.oid = t.tgrelid where c.relnamespace = 'sweeper'::regnamespace
union all
select format('%s %s %s %s', 'description', d.objoid, d.objsubid, d.xmin) from pg_description d
 where d.objoid in (select oid from pg_class where relnamespace = 'sweeper'::regnamespace union all select oid from pg_proc where pronamespace = 'sweeper'::regnamespace)
union all
select format('%s %s %s', 'app', c.oid::regclass, c.xmin) from pg_class c where c.relnamespace = 'app'::regnamespace
union all
select format('%s %s %s', 'column', a.attname, a.xmin) from pg_attribute a where a.attrelid = 'app.people'::regclass
union all
select format('%s %s %s', 'publication', p.pubname, p.xmin) from pg_publication p
union all
select format('%s %s %s', 'member', r.prrelid::regclass, r.xmin) from pg_publication_rel r
union all
select format('%s %s', 'version', v.xmin) from sweeper.schema_version v
union all
select format('%s %s', 'governed', g.xmin) from sweeper.governed g
order by 1`

func TestInstallTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, peopleDDL)
	first, err := install(t, db.URL, db.Slot(), peoplePolicy, false)
	if err != nil {
		t.Fatal(err)
	}
	if first.Empty() || first.Slot != db.Slot() {
		t.Errorf("the first install did nothing, or made slot %q", first.Slot)
	}
	conn := db.Conn(t, "")
	before := texts(t, conn, versions)
	for _, script := range []bool{true, false} {
		again, err := install(t, db.URL, db.Slot(), peoplePolicy, script)
		if err != nil {
			t.Fatal(err)
		}
		if !again.Empty() || again.Script() != "" {
			t.Errorf("a second install (script %t) wants:\n%s", script, again.Script())
		}
	}
	if after := texts(t, conn, versions); !slices.Equal(before, after) {
		t.Error(cmp.Diff(before, after))
	}
}

// TestInstallFollowsThePolicies: exactly the tables that they name are granted
// and published.
func TestInstallFollowsThePolicies(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, peopleDDL+`create table app.events (id int primary key, at timestamptz); create index on app.events (at)`)
	events := strings.NewReplacer("people", "events", "ended_at", "at", "    subject: id\n", "", "    tenant: tenant\n", "",
		"    redact: {after: P30D, columns: {email: \"null\"}}\n", "").Replace(peoplePolicy)
	both := peoplePolicy + strings.SplitN(events, "categories:\n", 2)[1]
	conn := db.Conn(t, "")
	for _, step := range []struct{ policies, want string }{
		{both, "sweeper: app.events, sweeper_redact: app.people, sweeper_stamp: sweeper.batches, sweeper_stamp: sweeper.manifest; sweeper_daemon may delete app.events, sweeper_daemon may delete app.people"},
		{events, "sweeper: app.events, sweeper_stamp: sweeper.batches, sweeper_stamp: sweeper.manifest; sweeper_daemon may delete app.events"},
		{peoplePolicy, "sweeper_redact: app.people, sweeper_stamp: sweeper.batches, sweeper_stamp: sweeper.manifest; sweeper_daemon may delete app.people"},
	} {
		if _, err := install(t, db.URL, db.Slot(), step.policies, false); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(texts(t, conn, `select pubname || ': ' || schemaname || '.' || tablename from pg_publication_tables order by 1`), ", ") + "; " +
			strings.Join(texts(t, conn, `select format('sweeper_daemon may delete %s', c.oid::regclass) from pg_class c
				where c.relnamespace = 'app'::regnamespace and c.relkind = 'r' and has_table_privilege('sweeper_daemon', c.oid, 'delete') order by 1`), ", ")
		if got != step.want {
			t.Errorf("got  %s\nwant %s", got, step.want)
		}
		leftover := texts(t, conn, `select format('%s %s', c.oid::regclass, r) from pg_class c, unnest('{sweeper_daemon,sweeper_owner}'::text[]) r
			where c.relnamespace = 'app'::regnamespace and c.relkind = 'r' and c.oid not in (select relation from sweeper.governed)
			  and has_any_column_privilege(r, c.oid, 'select, update, insert')`)
		if len(leftover) > 0 {
			t.Errorf("privileges are left on %q", leftover)
		}
	}
}

// TestInstallsAtOnce: two in each of two databases of a server that has no
// roles yet.
func TestInstallsAtOnce(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{})
	type result struct {
		database string
		err      error
	}
	results := make(chan result, 4)
	var start sync.WaitGroup
	start.Add(1)
	for _, database := range []string{"one", "two"} {
		onServer(t, s, "postgres", "create database "+database+" template template0")
		onServer(t, s, database, peopleDDL)
		for range 2 {
			cfg, set := config(t, urls(s, database), "slot_"+database), load(t, peoplePolicy)
			go func() {
				start.Wait()
				_, err := sweeper.Install(t.Context(), cfg, slog.New(slog.DiscardHandler), set, false)
				results <- result{database, err}
			}()
		}
	}
	start.Done()
	for range 4 {
		if r := <-results; r.err != nil {
			t.Errorf("install in %s: %v", r.database, r.err)
		}
	}
	for _, database := range []string{"one", "two"} {
		again, err := install(t, urls(s, database), "slot_"+database, peoplePolicy, false)
		if err != nil || !again.Empty() {
			t.Errorf("%s: a further install: %v\n%s", database, err, again.Script())
		}
	}
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ spoil, says string }{
		"a newer schema":        {`insert into sweeper.schema_version (version, code_sha256) values (99, '\x00')`, "newer"},
		"somebody else's":       {`drop schema sweeper cascade; create schema sweeper`, "belongs to"},
		"a table that is gone":  {`drop table app.people`, "people"},
		"a table without a key": {`alter table app.people drop constraint people_pkey`, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := installed(t)
			db.Exec(t, c.spoil)
			conn := db.Conn(t, "")
			const left = `select string_agg(oid || ' ' || xmin, ',' order by oid) from pg_class where oid >= 16384`
			before := pgtest.QueryOne[string](t, conn, left)
			for _, script := range []bool{true, false} {
				done, err := install(t, db.URL, db.Slot(), peoplePolicy, script)
				if err == nil || !strings.Contains(err.Error(), c.says) || len(done.Statements) > 0 {
					t.Errorf("got %v and %d statements, want an error that says %q", err, len(done.Statements), c.says)
				}
				var setup *sweeper.SetupError
				if (c.says == "newer" || c.says == "belongs to") && !errors.As(err, &setup) {
					t.Errorf("got %T, want a SetupError", err)
				}
			}
			if after := pgtest.QueryOne[string](t, conn, left); after != before {
				t.Error("something was changed")
			}
		})
	}
}

// TestInstallByAnOrdinaryRole: one that may create roles and publications, and
// owns the tables. Up to 15 only a superuser makes a role that replicates.
func TestInstallByAnOrdinaryRole(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{})
	onServer(t, s, "postgres", `create role dba login createrole replication; create role nobody;
		do $$ begin if current_setting('server_version_num')::int < 160000 then create role sweeper_logger login replication; end if; end $$`)
	onServer(t, s, "postgres", `create database app template template0 owner dba`)
	admin := onServer(t, s, "app", `create schema app authorization dba; set role dba; `+peopleDDL[len("\ncreate schema app;"):]+`reset role;
		create schema hers authorization nobody; create table hers.events (id int primary key, at timestamptz, note text); alter table hers.events owner to nobody;
		create index on hers.events (at)`)
	asDBA := func(user string) string {
		if user == "" {
			user = "dba"
		}
		return s.URL("app", user)
	}
	policies := peoplePolicy + "  events:\n    table: hers.events\n    start_from: at\n    restrict: {after: P30D, columns: [note]}\n    delete: {after: P1Y}\n"
	exec(t, admin, `grant usage on schema hers to dba`)
	done, err := install(t, asDBA, "ordinary", policies, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.ByOwners) < 4 {
		t.Errorf("what the owner has to run: %+v", done.ByOwners)
	}
	for _, statement := range done.ByOwners {
		exec(t, admin, statement.SQL)
	}
	// The view of her table waits until its owner may look into the schema.
	if views, err := install(t, asDBA, "ordinary", policies, false); err != nil || len(views.Statements) != 1 || !strings.Contains(views.Statements[0].Why, "sweeper_restricted.hers_events") {
		t.Errorf("the install after the owner's statements: %v\n%s", err, views.Script())
	}
	if rows := texts(t, admin, `select note from sweeper_restricted.hers_events`); len(rows) != 0 {
		t.Errorf("got %q", rows)
	}
	again, err := install(t, asDBA, "ordinary", policies, false)
	if err != nil || !again.Empty() || len(again.ByOwners) > 0 {
		t.Errorf("a second install: %v\n%s", err, again.Script())
	}
	if tables := texts(t, admin, `select pubname || ' ' || tablename from pg_publication_tables order by 1`); !slices.Equal(tables, []string{"sweeper events", "sweeper_redact people", "sweeper_stamp batches", "sweeper_stamp manifest"}) {
		t.Errorf("published: %q", tables)
	}
	dba, err := pgx.Connect(t.Context(), s.URL("app", "dba"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(dba)
	exec(t, dba, `set role sweeper_owner; select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
	exec(t, dba, `reset role`)
	// What another owner granted is not the installing role's to take back.
	if _, err := sweeper.Uninstall(t.Context(), config(t, asDBA, "ordinary"), false); err == nil || !strings.Contains(err.Error(), "DROP OWNED BY sweeper_daemon") {
		t.Errorf("uninstall: got %v, want an error that says what to run", err)
	}
	exec(t, admin, `drop owned by sweeper_daemon, sweeper_owner`)
	if _, err := sweeper.Uninstall(t.Context(), config(t, asDBA, "ordinary"), false); err != nil {
		t.Error(err)
	}
	nothingLeft(t, admin)
}

// onServer runs SQL as the superuser of a server of the test's own, on a
// connection that stays open for it.
func onServer(t *testing.T, s *pgserver.Server, database, sql string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL(database, pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(conn) })
	exec(t, conn, sql)
	return conn
}

func closeNow(conn *pgx.Conn) { _ = conn.Close(context.Background()) }

// urls gives the addresses of one database of a server.
func urls(s *pgserver.Server, database string) func(user string) string {
	return func(user string) string {
		if user == "" {
			user = pgserver.Superuser
		}
		return s.URL(database, user)
	}
}

// nothingLeft asserts that a database, and a server whose only database with
// sweeper it was, hold nothing of ours.
func nothingLeft(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	left := texts(t, conn, `
		select 'schema ' || nspname from pg_namespace where nspname = 'sweeper'
		union all select 'role ' || rolname from pg_roles where rolname ~ '^sweeper'
		union all select 'publication ' || pubname from pg_publication
		union all select 'slot ' || slot_name from pg_replication_slots where database = current_database()
		union all select format('privileges on %s: %s', oid::regclass, relacl) from pg_class c where exists (`+dangling("c.relacl")+`)
		union all select format('privileges on %s.%s: %s', attrelid::regclass, attname, attacl) from pg_attribute a where exists (`+dangling("a.attacl")+`)
		union all select format('privileges on schema %s: %s', nspname, nspacl) from pg_namespace n where exists (`+dangling("n.nspacl")+`)
		union all select format('privileges on database %s: %s', datname, datacl) from pg_database d where exists (`+dangling("d.datacl")+`)
		union all select 'a dependency on a role that is gone' from pg_shdepend s where s.refclassid = 'pg_authid'::regclass
		    and not exists (select from pg_authid r where r.oid = s.refobjid)`)
	for _, what := range left {
		t.Errorf("left behind: %s", what)
	}
}

// dangling finds privileges of roles that are ours, or gone.
func dangling(acl string) string {
	return fmt.Sprintf(`select from aclexplode(%s) x left join pg_roles r on r.oid = x.grantee where x.grantee <> 0 and (r.rolname is null or r.rolname ~ '^sweeper')`, acl)
}

// TestMigrationsAreNumbered: install runs them by their order, so each has to
// have the number of its place, and the last one that of the schema.
func TestMigrationsAreNumbered(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(sql.Files, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if want := fmt.Sprintf("migrations/%03d_", i+1); !strings.HasPrefix(name, want) {
			t.Errorf("%s should begin with %s", name, want)
		}
	}
	if len(names) != sweeper.SchemaVersion {
		t.Errorf("%d migrations, and the schema's version is %d", len(names), sweeper.SchemaVersion)
	}
}
