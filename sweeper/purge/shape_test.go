package purge_test

import (
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// shape is a database in which the rows that are to go and to stay say so in
// their names: what is called stay… stays, all else goes.
type shape struct {
	ddl    string
	policy string // the keys of category events below its table; "" start_from: at and five years
	hold   string // arguments of apply_hold beside reason and applied_by
	state  string // "" succeeded
}

const fiveYears = "    delete: {after: P5Y}\n"

// TestShapes has tables and columns of every form.
func TestShapes(t *testing.T) {
	t.Parallel()
	const plain = `create table app.events (id text primary key, at timestamptz, who text, org text);`
	shapes := map[string]shape{
		"dropped columns": {ddl: `create table app.events (gone1 int, id text primary key, gone2 text, at timestamptz, who text, gone3 int, org text);
			alter table app.events drop gone1, drop gone2, drop gone3; create index on app.events (at);
			insert into app.events values ('a', '2015-01-01', 'u', 'o'), ('stay', '2025-01-01', 'u', 'o')`},
		"names of ours": {
			ddl: `create table app.events (id text primary key, t timestamptz, h text, k text, n text, x text, s int default 1, gone int, counted int, tenant text, state text, start timestamptz, part int, place int, rows int, total int);
			insert into app.events (id, start, h, k, n, x, t) values ('a', '2015-01-01', 'h', 'k', 'open', 'x', now()), ('stay young', '2025-01-01', 'h', 'k', 'open', 'x', now()), ('stay held', '2015-01-01', 'held', 'k', 'open', 'x', now()), ('stay closed', '2015-01-01', 'h', 'k', 'closed', 'x', now());
			create table app.kids (x text references app.events, t timestamptz, id int primary key, h text);
			insert into app.events (id, start, n) values ('stay pointed at', '2015-01-01', 'open'); insert into app.kids values ('stay pointed at', now(), 1)`,
			policy: "    subject: h\n    tenant: k\n    start_from: start\n    where: [{column: n, op: eq, value: open}]\n    redact: {after: P2Y, columns: {tenant: {hmac: \"%s\"}, state: zero}}\n    delete: {after: P5Y}\n  kids: {table: app.kids, start_from: t, delete: {after: P5Y}}\n",
			hold:   "subject => 'held'", state: purge.Partial,
		},
		"a generated start": {ddl: `create table app.events (id text primary key, epoch bigint, at timestamp generated always as (timestamp '1970-01-01' + epoch * interval '1 second') stored, who text);
			insert into app.events values ('a', 1400000000, default, 'u'), ('stay', 1760000000, default, 'u')`},
		"a domain as start": {ddl: `create domain app.moment as timestamptz check (value < '2100-01-01' and isfinite(value)); create domain app.later as app.moment;
			create table app.events (id text primary key, at app.later, who text); create index on app.events (at);
			insert into app.events select 'r' || i, '2015-01-01'::timestamptz + i * interval '1 minute', 'u' from generate_series(1, 2500) i; insert into app.events values ('stay', '2025-01-01', 'u')`},
		"a start to the second": {ddl: `create table app.events (id text primary key, at timestamptz(0), who text); create index on app.events (at);
			insert into app.events values ('a', '2015-01-01 00:00:00.7', 'u'), ('b', '2020-12-31 23:59:59.6', 'u'), ('stay', '2021-01-01 00:00:00.6+00', 'u')`},
		"an index that does not sort": {ddl: plain + `create index on app.events using brin (at); create index on app.events using hash (at);
			insert into app.events select 'r' || i, '2015-01-01', 'u', 'o' from generate_series(1, 3000) i`},
		"a reverse index": {ddl: plain + `create index on app.events (at desc nulls last, who);
			insert into app.events select 'r' || i, '2015-01-01'::timestamptz + (i / 7) * interval '1 hour', 'u', 'o' from generate_series(1, 5000) i; insert into app.events values ('stay', null, 'u', 'o')`},
		"citext": {
			ddl: `create extension citext schema public; create table app.events (id text primary key, at timestamptz, who citext, org citext, status citext);
			insert into app.events values ('a', '2015-01-01', 'bob', 'o', 'CLOSED'), ('stay held', '2015-01-01', 'ALICE', 'o', 'closed'), ('stay open', '2015-01-01', 'bob', 'o', 'Open'), ('stay org', '2015-01-01', 'x', 'ACME', 'closed')`,
			policy: "    subject: who\n    tenant: org\n    start_from: at\n    where: [{column: status, op: in, value: [closed, lost]}]\n" + fiveYears, hold: "subject => 'alice'); select sweeper.apply_hold(null, 'case', 'test', tenant => 'acme'",
		},
		"citext that is not": {
			ddl: `create extension citext schema public; create table app.events (id text primary key, at timestamptz, who text, status citext);
			insert into app.events values ('stay', '2015-01-01', 'bob', 'CLOSED'), ('stay too', '2015-01-01', 'bob', 'closed'), ('c', '2015-01-01', 'bob', 'open'), ('stay NULL', '2015-01-01', 'bob', null)`,
			policy: "    start_from: at\n    where: [{column: status, op: not_in, value: [Closed]}]\n" + fiveYears,
		},
		"a domain over citext": {ddl: `create extension citext schema public; create domain app.mail as citext check (value ~ '@'); create table app.events (id text primary key, at timestamptz, who app.mail);
			insert into app.events values ('a', '2015-01-01', 'bob@x'), ('stay', '2015-01-01', 'ALICE@X')`, hold: "subject => 'alice@x'); select sweeper.apply_hold('no address', 'case', 'test'"},
		"enum and domain": {
			ddl: `create type app.kind as enum ('a', 'b'); create domain app.org as int check (value > 0); create table app.events (id text primary key, at timestamptz, who app.kind, org app.org);
			insert into app.events values ('x', '2015-01-01', 'a', 1), ('stay held', '2015-01-01', 'b', 1), ('stay org', '2015-01-01', 'a', 7)`,
			policy: "    subject: who\n    tenant: org\n    start_from: at\n" + fiveYears, hold: "subject => 'b'); select sweeper.apply_hold(null, 'case', 'test', tenant => '007'",
		},
		"char and numeric": {
			ddl: `create table app.events (id text primary key, at timestamptz, who numeric, org char(8));
			insert into app.events values ('x', '2015-01-01', 2, 'o'), ('stay held', '2015-01-01', 1.00, 'o'), ('stay org', '2015-01-01', 3, 'acme')`,
			policy: "    subject: who\n    tenant: org\n    start_from: at\n" + fiveYears, hold: "subject => '1.0'); select sweeper.apply_hold(null, 'case', 'test', tenant => 'acme'",
		},
		"empty and no tenant": {
			ddl:    plain + `insert into app.events values ('a', '2015-01-01', 'u', ''), ('b', '2015-01-01', 'u', null), ('c', '2015-01-01', null, 'o'), ('stay', '2015-01-01', 'held', ''), ('stay too', '2015-01-01', 'held', null)`,
			policy: "    subject: who\n    tenant: org\n    start_from: at\n" + fiveYears, hold: "subject => 'held'",
		},
		"hold of a tenant's subject": {
			ddl:    plain + `insert into app.events values ('a', '2015-01-01', 'u', 'o'), ('b', '2015-01-01', 'held', 'other'), ('stay', '2015-01-01', 'held', 'o'), ('stay unknown', '2015-01-01', 'held', null)`,
			policy: "    subject: who\n    tenant: org\n    start_from: at\n" + fiveYears, hold: "subject => 'held', tenant => 'o'",
		},
		"only a default partition": {ddl: `create table app.events (id text, at timestamptz, who text, primary key (id, at)) partition by range (at); create table app.rest partition of app.events default;
			insert into app.events values ('a', '2015-01-01', 'u'), ('stay', '2025-01-01', 'u'), ('stay for ever', 'infinity', 'u')`},
		"no partition": {ddl: `create table app.events (id text, at timestamptz, who text, primary key (id, at)) partition by range (at)`},
		"lists below ranges": {ddl: `create table app.events (id text, at timestamptz, who text, region text, primary key (id, at, region)) partition by range (at);
			create table app.old partition of app.events for values from (minvalue) to ('2023-01-01') partition by list (region); create table app.new partition of app.events for values from ('2023-01-01') to (maxvalue);
			create table app.old_eu partition of app.old for values in ('eu'); create table app.old_rest partition of app.old default;
			insert into app.events select 'r' || i, '2015-01-01', 'u', case when i % 2 = 0 then 'eu' else 'us' end from generate_series(1, 100) i; insert into app.events values ('stay', '2022-01-01', 'u', 'eu'), ('stay young', '2025-01-01', 'u', 'eu')`},
		"bounds of another column": {ddl: `create table app.events (id text, at timestamptz, who text, born date, primary key (id, at, born)) partition by range (at);
			create table app.old partition of app.events for values from (minvalue) to (maxvalue) partition by range (born);
			create table app.young partition of app.old for values from ('2025-06-01') to (maxvalue); create table app.rest partition of app.old default;
			insert into app.events values ('a', '2015-01-01', 'u', '2025-12-01'), ('b', '2015-01-01', 'u', '1990-01-01'), ('stay', '2025-01-01', 'u', '2025-12-01')`},
		"lists": {ddl: `create table app.events (id text, at timestamptz, who text, region text, primary key (id, region)) partition by list (region);
			create table app.eu partition of app.events for values in ('eu'); create table app.us partition of app.events for values in ('us');
			insert into app.events select 'r' || i, '2015-01-01', 'u', case when i % 2 = 0 then 'eu' else 'us' end from generate_series(1, 3000) i; insert into app.events values ('stay', '2022-01-01', 'u', 'eu'), ('stay too', null, 'u', 'us')`},
		"hashes by index": {ddl: `create table app.events (id text primary key, at timestamptz, who text) partition by hash (id); create index on app.events (at);
			create table app.h0 partition of app.events for values with (modulus 2, remainder 0); create table app.h1 partition of app.events for values with (modulus 2, remainder 1);
			insert into app.events select 'r' || i, '2015-01-01', 'u' from generate_series(1, 3000) i; insert into app.events values ('stay', '2022-01-01', 'u')`},
		"a leaf of another build": {ddl: `create table app.events (id text, at timestamptz, who text, primary key (id, at)) partition by range (at);
			create table app.old (x int, who text, at timestamptz not null, y int, id text not null); alter table app.old drop x, drop y; alter table app.events attach partition app.old for values from (minvalue) to (maxvalue);
			insert into app.events values ('a', '2015-01-01', 'u'), ('stay', '2025-01-01', 'u'), ('stay held', '2015-01-01', 'held')`, hold: "subject => 'held'"},
	}
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

func (s shape) run(t *testing.T) {
	policy := s.policy
	if policy == "" {
		policy = "    subject: who\n    start_from: at\n" + fiveYears
	}
	b := setup(t, "create schema app;"+s.ddl, "version: 1\ncategories:\n  events:\n    table: app.events\n"+policy)
	if s.hold != "" {
		b.db.Exec(t, "select sweeper.apply_hold(reason => 'case', applied_by => 'test', "+s.hold+")")
	}
	want := b.text(t, `select string_agg(id, ', ' order by id) from app.events where id like 'stay%'`)
	due := b.text(t, `select count(*) from app.events where id not like 'stay%'`)
	o := b.run(t, in2026)["events"]
	if got := b.text(t, `select string_agg(id, ', ' order by id) from app.events`); got != want {
		t.Errorf("left are %q, want %q", got, want)
	}
	state := s.state
	if state == "" {
		state = purge.Succeeded
	}
	if got := b.text(t, `select $1::bigint`, o.Deleted); o.State != state || got != due {
		t.Errorf("%s rows were to go; got %+v", due, o)
	}
	if got := b.text(t, `select coalesce(sum(row_count), 0) from sweeper.batches where fact = 'report' and kind = 'delete'`); got != due {
		t.Errorf("%s rows were to go; the reports have %s", due, got)
	}
}

// TestReferences has foreign keys of every form. A row that another points at
// stays and is counted as blocked; no statement fails.
func TestReferences(t *testing.T) {
	t.Parallel()
	const kids = "  kids: {table: app.kids, start_from: at, delete: {after: P5Y}}\n"
	for name, c := range map[string]struct{ parents, kids, blocked string }{
		"unique":        {`create table app.events (id text primary key, at timestamptz, code int unique)`, `create table app.kids (id int primary key, at timestamptz default now(), code int references app.events (code)); insert into app.kids (id, code) values (1, 1), (2, null)`, "1"},
		"two columns":   {`create table app.events (id text primary key, at timestamptz, code int, b int default 1, unique (code, b))`, `create table app.kids (id int primary key, at timestamptz default now(), b int, code int, foreign key (code, b) references app.events (code, b)); insert into app.kids (id, code, b) values (1, 1, 1), (2, null, 1), (3, 2, null)`, "1"},
		"full match":    {`create table app.events (id text primary key, at timestamptz, code int, b int default 1, unique (code, b))`, `create table app.kids (id int primary key, at timestamptz default now(), b int, code int, foreign key (code, b) references app.events (code, b) match full); insert into app.kids (id, code, b) values (1, 1, 1), (2, null, null)`, "1"},
		"deferred":      {`create table app.events (id text primary key, at timestamptz, code int unique)`, `create table app.kids (id int primary key, at timestamptz default now(), code int references app.events (code) deferrable initially deferred); insert into app.kids (id, code) values (1, 1)`, "1"},
		"other types":   {`create table app.events (id text primary key, at timestamptz, code bigint unique)`, `create table app.kids (id int primary key, at timestamptz default now(), code smallint references app.events (code)); insert into app.kids (id, code) values (1, 1)`, "1"},
		"partitions":    {`create table app.events (id text primary key, at timestamptz, code int unique)`, `create table app.kids (id int, at timestamptz default now(), code int references app.events (code), primary key (id, at)) partition by range (at); create table app.k1 partition of app.kids for values from (minvalue) to ('2000-01-01'); create table app.k2 partition of app.kids default; insert into app.kids (id, code) values (1, 1)`, "1"},
		"one partition": {`create table app.events (id text primary key, at timestamptz, code int unique)`, `create table app.kids (id int, at timestamptz default now(), code int, primary key (id, at)) partition by range (at); create table app.k1 partition of app.kids for values from (minvalue) to ('2000-01-01'); create table app.k2 partition of app.kids default; alter table app.k2 add foreign key (code) references app.events (code); insert into app.kids (id, code) values (1, 1)`, "1"},
		"to partitions": {
			`create table app.events (id text, at timestamptz, code int, unique (code, at), primary key (id, at)) partition by range (at); create table app.p1 partition of app.events for values from (minvalue) to ('2015-01-02'); create table app.p2 partition of app.events default`,
			`create table app.kids (id int primary key, at timestamptz default now(), code int, b timestamptz default '2015-01-01', foreign key (code, b) references app.events (code, at)); insert into app.kids (id, code) values (1, 1)`, "1",
		},
		"to a partition": {
			`create table app.events (id text, at timestamptz, code int, primary key (id, at)) partition by range (at); create table app.p1 partition of app.events for values from (minvalue) to ('2015-01-02'); create table app.p2 partition of app.events default; alter table app.p1 add unique (code); insert into app.events values ('also 1', '2016-01-01', 1)`,
			`create table app.kids (id int primary key, at timestamptz default now(), code int references app.p1 (code)); insert into app.kids (id, code) values (1, 1)`, "1",
		},
		"citext":     {`create extension citext schema public; create table app.events (id text primary key, at timestamptz, code citext unique)`, `create table app.kids (id int primary key, at timestamptz default now(), code citext references app.events (code)); insert into app.kids (id, code) values (1, 'R1')`, "1"},
		"collations": {`create table app.events (id text primary key, at timestamptz, code text collate "C" unique)`, `create table app.kids (id int primary key, at timestamptz default now(), code text collate "POSIX" references app.events (code)); insert into app.kids (id, code) values (1, 'r1')`, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := "i"
			if strings.Contains(c.parents, "code citext") || strings.Contains(c.parents, "code text") {
				code = "'r' || i"
			}
			fill := `; insert into app.events (id, at, code) select 'e' || i, '2015-01-01', ` + code + ` from generate_series(1, 50) i;`
			b := setup(t, "create schema app;"+c.parents+fill+c.kids, "version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P5Y}}\n"+kids)
			o := b.run(t, in2026, func(o *purge.Options) { o.Log = quiet })["events"]
			if got := b.text(t, `select string_agg(id, ', ') from app.events`); got != "e1" {
				t.Errorf("left are %q, want e1", got)
			}
			if o.State != purge.Partial || b.text(t, `select $1::bigint`, o.Blocked) != c.blocked || !strings.Contains(o.StopReason, "still referenced") {
				t.Errorf("got %+v", o)
			}
			b.db.Exec(t, `update app.kids set at = '2015-01-01'`)
			if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 1 {
				t.Errorf("when the other is due as well: %+v", o)
			}
		})
	}
}

// TestSelfReference has rows that point at each other in a chain, and one that
// points at itself.
func TestSelfReference(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, up int references app.events);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 day', nullif(i - 1, 0) from generate_series(1, 12) i;
		insert into app.events values (100, '2015-01-01', 100), (200, '2015-01-01', null), (201, '2025-01-01', 200)`,
		"version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P5Y}}\n")
	o := b.run(t, in2026)["events"]
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != "200 201" || o.State != purge.Partial || o.Blocked != 1 || o.Deleted != 13 {
		t.Errorf("left are %s, got %+v", got, o)
	}
}
