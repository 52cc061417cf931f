package sql_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// dump is what an installation leaves in a database, without oids and times.
const dump = `
select format('table %s %s %s %s', c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relacl) from pg_class c
 where c.relnamespace in ('sweeper'::regnamespace, 'app'::regnamespace)
union all
select format('column %s.%s %s %s %s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage, a.attidentity,
        a.attacl, pg_get_expr(d.adbin, d.adrelid))
  from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
 where c.relnamespace in ('sweeper'::regnamespace, 'app'::regnamespace)
union all
select format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) from pg_constraint k where k.connamespace = 'sweeper'::regnamespace
union all
select format('index %s', pg_get_indexdef(i.indexrelid)) from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = 'sweeper'::regnamespace
union all
select format('trigger %s %s', pg_get_triggerdef(t.oid), t.tgenabled) from pg_trigger t join pg_class c on c.oid = t.tgrelid
 where c.relnamespace = 'sweeper'::regnamespace and not t.tgisinternal
union all
select format('function %s %s %s %s', p.oid::regprocedure, pg_get_userbyid(p.proowner), p.proacl, md5(pg_get_functiondef(p.oid))) from pg_proc p
 where p.pronamespace = 'sweeper'::regnamespace
union all
select format('view %s %s', c.relname, md5(pg_get_viewdef(c.oid))) from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relkind = 'v'
union all
select format('comment %s %s', pg_describe_object(d.classoid, d.objoid, d.objsubid), md5(d.description)) from pg_description d
 where pg_describe_object(d.classoid, d.objoid, d.objsubid) like '%sweeper.%'
union all
select format('schema %s %s %s', n.nspname, pg_get_userbyid(n.nspowner), n.nspacl) from pg_namespace n where n.nspname in ('sweeper', 'app')
union all
select format('publication %s %s %s %s %s %s', p.pubname, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot) from pg_publication p
union all
select format('member %s', t) from pg_publication_tables t
union all
select format('slot %s %s', s.plugin, s.slot_type) from pg_replication_slots s where s.database = current_database()
union all
select format('version %s %s', v.version, v.code_sha256) from sweeper.schema_version v
union all
select format('governed %s %s', to_jsonb(g) - 'relation' - 'registered_at', g.relation) from sweeper.governed g
union all
select format('type %s %s', h.part, h.type) from sweeper.hold_types h
order by 1`

// TestScriptInstallsTheSame: the printed SQL, run by hand in a session with
// unusual settings, makes the database that an install makes.
func TestScriptInstallsTheSame(t *testing.T) {
	t.Parallel()
	const more = `create schema "Other ""one"""; create domain "Other ""one""".tag as text;
		create table app."Läden; --" ("Key's" int primary key, "at it" date, tag "Other ""one""".tag);
		create table app.parts (id int, at timestamptz, primary key (id, at)) partition by range (at);
		create table app.part partition of app.parts default`
	policies := peoplePolicy + `
  shops:
    table: 'app."Läden; --"'
    subject: tag
    where: [{column: tag, op: ne, value: "it's \\ '' $$"}]
    start_from: "at it"
    delete: {after: P30D}
  parts:
    table: app.parts
    start_from: at
    delete: {after: P30D}
`
	before, byHand, byUs := pgtest.Database(t), pgtest.Database(t), pgtest.Database(t)
	for _, db := range []*pgtest.DB{before, byHand, byUs} {
		db.Exec(t, peopleDDL+more)
	}
	// The roles are those of the whole server: what they get only once is not in one of the two.
	if _, err := install(t, before.URL, before.Slot(), policies, false); err != nil {
		t.Fatal(err)
	}
	done, err := install(t, byUs.URL, byUs.Slot(), policies, false)
	if err != nil {
		t.Fatal(err)
	}
	printed, err := install(t, byHand.URL, byHand.Slot(), policies, true)
	if err != nil {
		t.Fatal(err)
	}
	hand := byHand.Conn(t, "")
	if n := pgtest.QueryOne[int](t, hand, `select count(*) from pg_namespace where nspname = 'sweeper'`); n != 0 {
		t.Error("printing made the schema")
	}
	if len(printed.Statements) != len(done.Statements) {
		t.Errorf("printed %d statements, an install runs %d", len(printed.Statements), len(done.Statements))
	}
	exec(t, hand, `set datestyle = 'German'; set intervalstyle = 'sql_standard'; set timezone = 'Asia/Kolkata'; set search_path = app`)
	exec(t, hand, `create function app.format(text, text) returns text language sql as 'select null::text'`) // not ours to be taken
	if err := hand.PgConn().Exec(t.Context(), printed.Script()).Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, hand, `drop function app.format(text, text)`)
	look := byHand.Conn(t, "")
	got, want := texts(t, look, dump), texts(t, byUs.Conn(t, ""), dump)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(want) < 300 || !strings.Contains(strings.Join(want, "\n"), "slot pgoutput logical") {
		t.Errorf("compared %d things only", len(want))
	}
	again, err := install(t, byHand.URL, byHand.Slot(), policies, false)
	if err != nil || !again.Empty() {
		t.Errorf("an install after the script: %v\n%s", err, again.Script())
	}
}

// TestScriptCommentsEnd: the schema of a column's type comes from the catalogue;
// a line break in its name must not become SQL.
func TestScriptCommentsEnd(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, peopleDDL+`create table app.victim (); create schema "a
drop table app.victim; --"; create domain "a
drop table app.victim; --".d as text; alter table app.people alter tenant type "a
drop table app.victim; --".d`)
	printed, err := install(t, db.URL, db.Slot(), peoplePolicy, true)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.Script(), `-- privileges on schema a\ndrop`) {
		t.Errorf("the script does not grant on the schema:\n%s", printed.Script())
	}
	conn := db.Conn(t, "")
	if err := conn.PgConn().Exec(t.Context(), printed.Script()).Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `select from app.victim`)
}
