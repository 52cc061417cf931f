package purge_test

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestRedactedOnce redacts columns of every odd type, one a case: a second
// sweep must find nothing left to do.
func TestRedactedOnce(t *testing.T) {
	t.Parallel()
	const types = `create schema app; create extension citext schema public; create extension hstore schema public;
		create type app.mood as enum ('good', 'bad'); create type app.pair as (a int, b json); create domain app.code as varchar(40) check (length(value) > 3); create domain app.list as text[];`
	columns := []struct{ typ, value, strategy, want string }{
		{"numeric(5, 2)", "12.34", "{set: 1.005}", "1.01"},
		{"numeric(5, 2)", "12.34", "zero", "0.00"},
		{"real", "12.34", "{set: 0.1}", "0.1"},
		{"int", "7", "{set: 1.0e6}", "1000000"},
		{"timestamp(0)", "2020-02-02 02:02:02", "{set: \"2001-01-01 00:00:00.6\"}", "2001-01-01 00:00:01"},
		{"timestamptz(0)", "2020-02-02 02:02:02", "zero", "1970-01-01 00:00:00+00"},
		{"interval hour", "5 hours", "{set: 90 minutes}", "01:00:00"},
		{"char(8)", "abc", "{set: \"x \"}", "x"},
		{"char(60)", "abc", "{hmac: \"%s!\"}", "?"},
		{"varchar(40)", "abc", "{hmac: \"%s\"}", "?"},
		{"app.code", "abcd", "{hmac: \"%s\"}", "?"},
		{"name", "abc", "{hmac: \"n-%s\"}", "?"},
		{"citext", "abc", "{hmac: \"%s@x\"}", "?"},
		{"citext", "ABC", "{set: abc}", "abc"},
		{"citext", "abc", "zero", ""},
		{"hstore", "a=>1", "{set: \"b=>2\"}", `"b"=>"2"`},
		{"json", `{"a": 1}`, "{set: \"[]\"}", "[]"},
		{"json", `{"a": 1}`, "zero", "null"},
		{"jsonb", `{"a": 1}`, "{set: \"{}\"}", "{}"},
		{"xml", "<a/>", "{set: <b/>}", "<b/>"},
		{"point", "(1,2)", "{set: \"(0,0)\"}", "(0,0)"},
		{"box", "(2,2),(0,0)", "{set: \"(4,1),(0,0)\"}", "(4,1),(0,0)"},
		{"path", "((1,1),(2,2))", "{set: \"((0,0),(3,3))\"}", "((0,0),(3,3))"},
		{"app.mood", "good", "{set: bad}", "bad"},
		{"app.pair", "(1,{})", "{set: \"(2,)\"}", "(2,)"},
		{"json[]", `{"{}"}`, "zero", "{}"},
		{"point[]", `{"(1,2)"}`, "zero", "{}"},
		{"app.list", "{a}", "zero", "{}"},
		{"varchar(3)[]", "{abc}", "{set: \"{a,b}\"}", "{a,b}"},
		{"bytea", `\x0102`, "zero", `\x0000`},
		{"bit(4)", "1111", "{set: \"0000\"}", "0000"},
		{"int4range", "[1,5]", "{set: \"[2,3]\"}", "[2,4)"},
		{"tsvector", "a b", "{set: c}", "'c'"},
		{"money", "12.34", "zero", "$0.00"},
		{"text", "abc", "{set: true}", "true"},
		{"boolean", "true", "{set: false}", "false"},
		{"macaddr", "08:00:2b:01:02:03", "{set: \"00:00:00:00:00:00\"}", "00:00:00:00:00:00"},
		{"int", "7", "\"null\"", "NULL"},
	}
	ddl, policy := types+"create table app.events (id int primary key, at timestamptz", "    start_from: at\n    limits: {max_share: 0}\n    redact:\n      after: P1Y\n      columns:\n"
	insert := "insert into app.events select i, '2015-01-01'"
	for i, c := range columns {
		ddl += fmt.Sprintf(", c%d %s", i, c.typ)
		policy += fmt.Sprintf("        c%d: %s\n", i, c.strategy)
		insert += fmt.Sprintf(", case when i < 20 then '%s'::%s end", c.value, c.typ)
	}
	b := setup(t, ddl+");"+insert+" from generate_series(1, 20) i", events(policy))
	o := b.run(t, in2026)["events"]
	if o.State != purge.Succeeded || o.Redacted != 20 {
		t.Errorf("got %+v", o)
	}
	for i, c := range columns {
		got := b.text(t, fmt.Sprintf(`select coalesce(c%d::text, 'NULL') from app.events where id = 1`, i))
		if c.want != got && (c.want != "?" || len(got) < 32) {
			t.Errorf("%s %s: %q became %q, want %q", c.typ, c.strategy, c.value, got, c.want)
		}
	}
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Redacted != 0 {
		t.Errorf("again: %+v", o)
		for i, c := range columns {
			b.policies(t, events(fmt.Sprintf("    start_from: at\n    redact: {after: P1Y, columns: {c%d: %s}}\n", i, c.strategy)))
			if o := b.run(t, in2026)["events"]; o.Redacted != 0 {
				t.Errorf("%s %s is redacted again: %+v", c.typ, c.strategy, o)
			}
		}
	}
}

// TestFullIdentity sweeps tables whose WAL carries whole rows. The log names
// the rows by their primary key all the same.
func TestFullIdentity(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); alter table app.events replica identity full;
		create table app.parts (id int, at timestamptz, who text, primary key (id, at)) partition by range (at);
		create table app.p1 partition of app.parts default; alter table app.p1 replica identity full;
		insert into app.events select i, '2015-01-01', 'u' || i from generate_series(1, 50) i; insert into app.parts select * from app.events`,
		events(byAt)+"  parts: {table: app.parts, start_from: at, delete: {after: P5Y}}\n")
	cfg, _, err := sweeper.Load([]string{
		"SWEEPER_DATABASE_URL=" + b.db.URL("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + b.db.URL("sweeper_logger"),
		"SWEEPER_SLOT=" + b.db.Slot(), "SWEEPER_HMAC_KEY=" + hex.EncodeToString(key), "SWEEPER_APPROVE=auto",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sweeper.Sweep(t.Context(), cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	pgtest.CheckLog(t, b.admin)
	got := b.text(t, `select string_agg(concat_ws(' ', l.kind, l.relation, l.row_count, r.key_columns), ', ' order by l.relation) from sweeper.purge_log l left join sweeper.relations r on r.relation = coalesce(l.partition, l.relation) where l.kind in ('delete', 'mismatch')`)
	if want := "delete app.events 50 {id}, delete app.parts 50 {id,at}"; got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// TestHeldPartition has large partitions of which one row is held, or young
// beyond the bound's promise: they stay, and their other rows go.
func TestHeldPartition(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int, at timestamptz, who text, primary key (id, at)) partition by range (at);
		do $$ begin for y in 2010 .. 2020 loop execute format('create table app.y%s partition of app.events for values from (%L) to (%L)', y, y || '-01-01', (y + 1) || '-01-01'); end loop; end $$;
		insert into app.events select i, '2010-01-01'::timestamptz + i * interval '3 hours', case when i % 5000 = 7 then 'held' else 'u' end from generate_series(1, 30000) i;`,
		events(byAt))
	owner := b.db.Role(t, "owner", "") // of its own: what it is granted to counts in the whole server
	b.db.Exec(t, fmt.Sprintf(`grant %[1]s to sweeper_owner; grant all on schema app to %[1]s;
		do $$ declare r record; begin for r in select c.oid::regclass as name from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = 'app'::regnamespace loop
			execute format('alter table %%s owner to %[1]s', r.name); end loop; end $$;
		select sweeper.apply_hold('held', 'case', 'test')`, owner))
	before := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events where who = 'held'`)
	o := b.run(t, in2026, func(o *purge.Options) { o.Log = quiet })["events"]
	got := pgtest.QueryOne[string](t, b.admin, `select string_agg(id::text, ' ' order by id) from app.events`)
	if got != before || o.State != purge.Succeeded || o.Held != 6 || o.PartitionsDropped < 4 {
		t.Errorf("left are %s, want %s; got %+v", got, before, o)
	}
}
