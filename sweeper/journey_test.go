package sweeper_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestJourney follows rows through all five hops: policy file, plan, batches,
// write-ahead log, purge log. An independent reader of the write-ahead log says
// what really happened.
func TestJourney(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.events (id bigint primary key, at timestamptz, tenant text, who text);
		create index on app.events (at);
		insert into app.events select i, now() - i * interval '1 hour', 't' || i % 3, 'u' || i % 100 from generate_series(1, 20000) i`, `
version: 1
categories:
  events:
    basis: contract
    table: app.events
    subject: who
    tenant: tenant
    start_from: at
    delete: {after: P365D}
`)
	truth := pgtest.Truth(t, b.db)
	due := pgtest.QueryOne[int64](t, b.admin, `select count(*) from app.events where at + interval '365 days' <= now()`)
	o := b.sweep(t)["events"]
	if o.State != purge.Succeeded || o.Deleted < due || o.Remaining != 0 {
		t.Fatalf("%d rows were due, got %+v", due, o)
	}
	gone := 0
	for _, line := range truth.Changes(t) {
		if strings.HasPrefix(line, "table app.events: DELETE") {
			gone++
		}
	}
	logged := b.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete' and reason = 'manual' and category = 'events'
		and relation = 'app.events' and basis = 'contract' and actor = 'test' and cutoff is not null and policy_sha256 is not null and xid is not null`)
	committed := b.text(t, `select sum(octet_length(commitments)) / 32 from sweeper.purge_rows`)
	if want := fmt.Sprint(gone); fmt.Sprint(o.Deleted) != want || logged != want || committed != want {
		t.Errorf("another reader saw %d rows go; the run says %d, the log %s, its commitments %s", gone, o.Deleted, logged, committed)
	}
	summary := b.text(t, `select string_agg(tenant || ' ' || (rows_deleted > 1000), ', ' order by tenant) from sweeper.purges where category = 'events' and finished_at >= started_at`)
	if summary != "t0 true, t1 true, t2 true" {
		t.Errorf("purges by tenant: %s", summary)
	}
	if again := b.sweep(t)["events"]; again.State != purge.Succeeded || again.Deleted > 1 {
		t.Errorf("a second sweep: %+v", again)
	}
	if rows := b.text(t, `select count(*) from sweeper.purges where rows_deleted = 0`); rows != "1" {
		t.Errorf("the second sweep has %s rows of zeros in purges, want 1", rows)
	}
}

// TestDroppedPartition has whole partitions go, with their counts in the log,
// and the one at the boundary, the default one and a held one by rows.
func TestDroppedPartition(t *testing.T) {
	t.Parallel()
	b := setup(t, partitioned, `
version: 1
categories:
  shots:
    table: app.shots
    subject: who
    start_from: at
    delete: {after: P1Y}
`)
	b.db.Exec(t, `grant shots_owner to sweeper_owner`)
	truth := pgtest.Truth(t, b.db)
	b.db.Exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
	held := b.text(t, `select count(*) from app.shots where who = 'held' and at + interval '1 year' <= now()`)
	due := pgtest.QueryOne[int64](t, b.admin, `select count(*) from app.shots where at + interval '1 year' <= now()`)
	o := b.sweep(t)["shots"]
	if o.State != purge.Succeeded || o.PartitionsDropped < 5 || fmt.Sprint(o.Held) != held || o.Deleted < due-o.Held {
		t.Fatalf("%d rows were due, %s held; got %+v", due, held, o)
	}
	dropped := b.text(t, `select string_agg(partition || ' ' || row_count, ', ' order by partition) from sweeper.purge_log where kind = 'drop_partition'`)
	if !strings.HasPrefix(dropped, "app.shots_01 100, app.shots_02 10") || strings.Contains(dropped, "shots_03") {
		t.Errorf("dropped are %s", dropped)
	}
	if got := b.text(t, `select to_regclass('app.shots_03') is not null and to_regclass('app.shots_01') is null`); got != "true" {
		t.Error("the partition with a held row must stay, the due ones must go")
	}
	byRows := 0
	for _, line := range truth.Changes(t) {
		if strings.Contains(line, ": DELETE:") && strings.HasPrefix(line, "table app.shots") {
			byRows++
		}
	}
	total := pgtest.QueryOne[int64](t, b.admin, `select sum(row_count)::bigint from sweeper.purge_log where kind in ('delete', 'drop_partition') and category = 'shots' and relation = 'app.shots'`)
	rows := pgtest.QueryOne[int64](t, b.admin, `select coalesce(sum(row_count), 0)::bigint from sweeper.purge_log where kind = 'delete'`)
	if total != o.Deleted || rows != int64(byRows) {
		t.Errorf("the log has %d rows, %d of them by rows; the run says %d, another reader saw %d by rows", total, rows, o.Deleted, byRows)
	}
	if got := b.text(t, `select count(*) from app.shots where at + interval '1 year' <= now() and who <> 'held'`); got != "0" {
		t.Errorf("%s due rows are left", got)
	}
}

// partitioned has twenty months back from now with a hundred rows each, a
// default partition with old and new rows, and one held subject in the third.
const partitioned = `
	create schema app;
	do $$ begin create role shots_owner; exception when duplicate_object or unique_violation then null; end $$;
	create table app.shots (id bigint generated always as identity, at timestamptz, who text, primary key (id, at)) partition by range (at);
	do $$ declare m timestamptz := date_trunc('month', now()) - interval '24 months'; begin
		for i in 1..20 loop
			execute format('create table app.shots_%s partition of app.shots for values from (%L) to (%L)', to_char(i, 'FM00'), m, m + interval '1 month');
			execute format('insert into app.shots (at, who) select %L::timestamptz + i * interval ''1 hour'', ''u'' from generate_series(1, 100) i', m);
			m := m + interval '1 month';
		end loop;
	end $$;
	create table app.shots_rest partition of app.shots default;
	insert into app.shots (at, who) select now() - i * interval '100 days', 'rest' from generate_series(0, 15) i;
	insert into app.shots (at, who) select min(at) + interval '1 day', 'held' from app.shots_03;
	alter table app.shots owner to shots_owner;
	do $$ declare p regclass; begin for p in select inhrelid from pg_inherits where inhparent = 'app.shots'::regclass loop
		execute format('alter table %s owner to shots_owner', p); end loop; end $$`

// TestPartitionsByRows has no membership in the owner: what may not be dropped
// goes by rows.
func TestPartitionsByRows(t *testing.T) {
	t.Parallel()
	ddl := strings.ReplaceAll(partitioned, "shots_owner", "shots_stranger")
	b := setup(t, ddl, "version: 1\ncategories:\n  shots: {table: app.shots, start_from: at, delete: {after: P1Y}}\n")
	due := pgtest.QueryOne[int64](t, b.admin, `select count(*) from app.shots where at + interval '1 year' <= now()`)
	o := b.sweep(t)["shots"]
	if o.State != purge.Succeeded || o.PartitionsDropped != 0 || o.Deleted < due {
		t.Errorf("%d rows were due; got %+v", due, o)
	}
	leaves := b.text(t, `select count(distinct partition) from sweeper.purge_log where kind = 'delete' and relation = 'app.shots'`)
	if leaves != "13" && leaves != "14" {
		t.Errorf("the log names %s partitions", leaves)
	}
}

// TestApplicationGoesOn has the application work on every published table while
// the sweeper is installed: nothing of it fails, its deletes are in the log as
// its own, and what it inserts is never sent to us.
func TestApplicationGoesOn(t *testing.T) {
	t.Parallel()
	const canary = "PII-7f1c9a"
	b := setup(t, `
		create schema app;
		create table app.plain (id int primary key, at timestamptz, who text);
		create table app.erased (id int primary key, at timestamptz, who text, mail text, other text);
		create table app.parts (id int, at timestamptz, who text, mail text, primary key (id, at)) partition by range (at);
		create table app.parts_1 partition of app.parts for values from (minvalue) to ('2020-01-01');
		create table app.parts_2 partition of app.parts for values from ('2020-01-01') to (maxvalue);
		create table app.by_index (id int not null, at timestamptz, who text); create unique index by_index_key on app.by_index (id);
		alter table app.by_index replica identity using index by_index_key`, `
version: 1
categories:
  plain: {table: app.plain, start_from: at, delete: {after: P5Y}}
  erased: {table: app.erased, start_from: at, redact: {after: P1Y, columns: {mail: "null"}}, delete: {after: P5Y}}
  parts: {table: app.parts, start_from: at, redact: {after: P1Y, columns: {mail: zero}}, delete: {after: P5Y}}
  by_index: {table: app.by_index, start_from: at, delete: {after: P5Y}}
`)
	for _, table := range []string{"plain", "erased", "parts", "by_index"} {
		columns, mail := "id, at, who", ""
		if table == "erased" || table == "parts" {
			columns, mail = "id, at, who, mail", ", '"+canary+"'"
		}
		b.db.Exec(t, fmt.Sprintf(`insert into app.%s (%s) select i, now(), '%s'%s from generate_series(1, 10) i`, table, columns, canary, mail))
		b.db.Exec(t, fmt.Sprintf(`update app.%s set who = who || '!' where id > 5`, table))
		b.db.Exec(t, fmt.Sprintf(`update app.%s set id = id + 100 where id = 6`, table))
		b.db.Exec(t, fmt.Sprintf(`delete from app.%s where id in (1, 2, 3)`, table))
	}
	b.db.Exec(t, `truncate app.plain`)
	// What the server would send: no insert of the application, and of a table
	// with a column list no column that is not listed.
	stream := pgtest.QueryOne[[]string](t, b.admin, `select array_agg(encode(data, 'escape')) from pg_logical_slot_peek_binary_changes($1, null, null,
		'proto_version', '1', 'publication_names', 'sweeper,sweeper_redact,sweeper_stamp')`, b.db.Slot())
	inserts := slices.DeleteFunc(slices.Clone(stream), func(m string) bool { return !strings.HasPrefix(m, "I") })
	if len(inserts) != 0 {
		t.Errorf("%d inserts are sent", len(inserts))
	}
	deletes := slices.DeleteFunc(slices.Clone(stream), func(m string) bool { return !strings.HasPrefix(m, "D") })
	if len(deletes) != 12 {
		t.Errorf("%d deletes are sent, want 12", len(deletes))
	}
	b.sweep(t)
	got := b.text(t, `select string_agg(relation || ' ' || kind || ' ' || coalesce(row_count::text, '?'), ', ' order by relation, kind) from sweeper.purge_log where reason = 'out_of_policy' and category is null`)
	if want := "app.by_index delete 3, app.erased delete 3, app.parts delete 3, app.plain delete 3, app.plain truncate ?"; got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	if left := b.text(t, `select count(*) from sweeper.purge_log l where l::text like '%PII%'`); left != "0" {
		t.Error("the log holds a value")
	}
}

// TestNames has names that need quotes, and keys of every kind.
func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 31) + "x" // 63 bytes
	b := setup(t, `
		create schema "My Schema";
		create table "My Schema"."Täble ""q"".x" ("Key One" int, "key,two" text, "At" timestamptz, "Who" text, "Org" text, "E-Mail" text, primary key ("key,two", "Key One"));
		create index on "My Schema"."Täble ""q"".x" ("At");
		create table "My Schema"."select" ("from" uuid primary key default gen_random_uuid(), "At" timestamptz, "Who" uuid default gen_random_uuid());
		create table "My Schema"."`+long+`" ("`+long+`" text primary key, "At" timestamptz);
		insert into "My Schema"."Täble ""q"".x" select i, 'a''b' || i, '2010-01-01', 'w' || i, 'o', 'm' || i from generate_series(1, 50) i;
		insert into "My Schema"."select" ("At") select '2010-01-01' from generate_series(1, 50);
		insert into "My Schema"."`+long+`" select 'k' || i || E'\t"\\', '2010-01-01' from generate_series(1, 50) i`, `
version: 1
categories:
  quoted:
    table: '"My Schema"."Täble ""q"".x"'
    subject: Who
    tenant: Org
    where: [{column: Who, op: not_null}]
    start_from: At
    redact: {after: P1Y, columns: {E-Mail: {hmac: "%s@invalid"}}}
    delete: {after: P10Y}
  reserved: {table: '"My Schema"."select"', subject: Who, start_from: At, delete: {after: P10Y}}
  long: {table: '"My Schema"."`+long+`"', start_from: At, delete: {after: P10Y}}
`)
	b.db.Exec(t, `select sweeper.apply_hold('w7', 'case', 'test')`)
	o := b.sweep(t)
	if o["quoted"].Deleted != 49 || o["quoted"].Held != 1 || o["reserved"].Deleted != 50 || o["long"].Deleted != 50 {
		t.Errorf("got %+v", o)
	}
	got := b.text(t, `select string_agg(relation || ' ' || row_count, ', ' order by relation collate "C") from sweeper.purge_log where kind = 'delete'`)
	want := `"My Schema"."Täble ""q"".x" 49, "My Schema"."select" 50, "My Schema"."` + long + `" 50`
	if got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	b.commitments(t, `"My Schema"."Täble ""q"".x"`, "key,two", "a'b3", "Key One", "3")
	b.commitments(t, `"My Schema"."`+long+`"`, long, "k3\t\"\\")
}

// TestReferencedRowStays has a row that another one points at. It stays, the
// run says why, and it goes with the sweep after the other one has gone.
func TestReferencedRowStays(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.parents (id int primary key, at timestamptz, who text);
		create table app.children (id int primary key, parent int references app.parents, at timestamptz);
		insert into app.parents select i, '2010-01-01', 'u' from generate_series(1, 10) i;
		insert into app.children values (1, 1, '2010-01-01'), (2, 2, now()), (3, 2, '2010-01-01')`, `
version: 1
categories:
  a_parents: {table: app.parents, start_from: at, redact: {after: P1Y, columns: {who: "null"}}, delete: {after: P5Y}}
  b_children: {table: app.children, start_from: at, delete: {after: P5Y}}
`)
	o := b.sweep(t)
	if p := o["a_parents"]; p.State != purge.Partial || p.Deleted != 9 || p.Blocked != 1 || p.Redacted != 1 || !strings.Contains(p.StopReason, "children_parent_fkey") {
		t.Errorf("parents: %+v", p)
	}
	if c := o["b_children"]; c.State != purge.Succeeded || c.Deleted != 2 {
		t.Errorf("children: %+v", c)
	}
	b.db.Exec(t, `update app.children set at = '2010-01-01'`)
	if p := b.sweep(t)["a_parents"]; p.State != purge.Succeeded || p.Deleted != 1 {
		t.Errorf("afterwards: %+v", p)
	}
}

// TestRedaction has every strategy, on values, on NULL, and twice.
func TestRedaction(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.people (id int primary key, at timestamptz, name text, mail varchar(80) unique, phone text, note text not null,
			photo bytea, tags text[], doc jsonb, raw json, amount numeric, born date, ip inet, ok boolean, ref uuid, status text, kept text);
		insert into app.people select i, '2020-01-01', 'n' || i, 'm' || i || '@x', '123', 'note', '\x0102'::bytea, '{a,b}', '{"a": 1}', '{"a": 1}', 3.5, '1980-05-05', '10.0.0.1', true, gen_random_uuid(), 'active', 'kept' || i
			from generate_series(1, 300) i;
		insert into app.people (id, at, note) values (0, '2020-01-01', '')`, `
version: 1
categories:
  people:
    table: app.people
    start_from: at
    redact:
      after: P1Y
      columns:
        name: "null"
        mail: {hmac: "redacted-%s@invalid"}
        phone: {set: "-"}
        note: zero
        photo: zero
        tags: zero
        doc: zero
        raw: zero
        amount: zero
        born: zero
        ip: zero
        ok: zero
        ref: zero
        kept: keep
      set: {status: redacted}
`)
	o := b.sweep(t)["people"]
	if o.State != purge.Succeeded || o.Redacted != 301 {
		t.Fatalf("got %+v", o)
	}
	got := b.text(t, `select concat_ws(' ', count(distinct mail), bool_and(mail ~ '^redacted-[0-9a-f]{32}@invalid$'), string_agg(distinct concat_ws('|', coalesce(name, 'NULL'), phone, note, photo, tags, doc, raw, amount, born, ip, ok, ref, status, kept ~ '^kept'), ';'))
		from app.people where id > 0`)
	want := `300 t NULL|-||\x0000|{}|null|null|0|1970-01-01|0.0.0.0|f|00000000-0000-0000-0000-000000000000|redacted|t`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := b.text(t, `select coalesce(mail, photo::text, tags::text, doc::text, raw::text, 'NULL') || phone || status from app.people where id = 0`); got != "NULL-redacted" {
		t.Errorf("NULLs became %s", got)
	}
	logged := b.text(t, `select row_count || ' ' || array_to_string(columns, ',') from sweeper.purge_log where kind = 'redact' and reason = 'manual'`)
	if logged != "301 name,mail,phone,note,photo,tags,doc,raw,amount,born,ip,ok,ref,status" {
		t.Errorf("the log has %s", logged)
	}
	if again := b.sweep(t)["people"]; again.State != purge.Succeeded || again.Redacted != 0 {
		t.Errorf("a second sweep: %+v", again)
	}
}
