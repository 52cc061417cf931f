package purge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// daemon is a connection of the purging role.
func (b *bundle) daemon(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pg.Connect(t.Context(), b.db.URL("sweeper_daemon"), "sweeper plan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func category(p *plan.Plan, name string) *plan.Category {
	all := p.Categories()
	return all[slices.IndexFunc(all, func(c *plan.Category) bool { return c.Policy.Name == name })]
}

// huge is what the statistics say of a table that is read by ranges alone.
func huge(t *catalog.Table) { t.Bytes, t.Rows = 1<<40, 1<<40 }

func untouched(*catalog.Table) {}

// kind is a table whose rows are counted in every way.
type kind struct {
	ddl      string
	typ      string // of the start
	null     bool   // starts may be NULL
	infinite bool
	parts    int // of a count by ranges, at least
}

var kinds = map[string]kind{
	"plain":     {ddl: `create table app.events (id int primary key, at timestamptz, who text, org text, status text); create index on app.events (at)`, typ: "timestamptz", null: true, infinite: true, parts: 3},
	"timestamp": {ddl: `create table app.events (id int primary key, at timestamp, who text, org text, status text); create index on app.events (at)`, typ: "timestamp", null: true, infinite: true, parts: 3},
	"date":      {ddl: `create table app.events (id int primary key, at date not null, who text, org text not null, status text); create index on app.events (at)`, typ: "date", infinite: true, parts: 2},
	"hash": {ddl: `create table app.events (id int primary key, at timestamptz, who text, org text, status text) partition by hash (id); create index on app.events (at);
		create table app.h0 partition of app.events for values with (modulus 2, remainder 0); create table app.h1 partition of app.events for values with (modulus 2, remainder 1)`, typ: "timestamptz", null: true, infinite: true, parts: 3},
	"ranges": {ddl: `create table app.events (id int, at timestamptz not null, who text, org text, status text, primary key (id, at)) partition by range (at);
		do $$ begin for y in 2014..2032 loop if y not in (2017, 2020, 2029) then
		  execute format('create table app.y%s partition of app.events for values from (''%s-01-01'') to (''%s-01-01'')', y, y, y + 1); end if; end loop; end $$;
		create table app.rest partition of app.events default`, typ: "timestamptz", infinite: true, parts: 2},
	"open ranges of dates": {ddl: `create table app.events (id int, at date not null, who text, org text, status text, primary key (id, at)) partition by range (at);
		create table app.old partition of app.events for values from (minvalue) to ('2020-06-01');
		do $$ begin for m in 0..150 loop
		  execute format('create table app.m%s partition of app.events for values from (%L) to (%L)', m, date '2020-06-01' + m * 30, date '2020-06-01' + m * 30 + 30); end loop;
		  execute format('create table app.new partition of app.events for values from (%L) to (maxvalue)', date '2020-06-01' + 151 * 30); end $$`, typ: "date", infinite: true, parts: 3},
	"ranges below ranges": {ddl: `create table app.events (id int, at timestamp not null, who text, org text, status text, primary key (id, at)) partition by range (at);
		create table app.old partition of app.events for values from (minvalue) to ('2021-06-01') partition by range (at); create table app.older partition of app.old for values from (minvalue) to ('2020-01-01');
		create table app.oldish partition of app.old default; create table app.new partition of app.events for values from ('2021-06-01') to (maxvalue)`, typ: "timestamp", infinite: true, parts: 2},
}

const countPolicy = `version: 1
timezone: Europe/Berlin
categories:
  events:
    table: app.events
    subject: who
    tenant: org
    start_from: at
    %s
    redact: {after: P1Y6M, columns: {status: {set: gone}}}
    delete: {after: P5Y1M}
  kids: {table: app.kids, subject: kid, start_from: born, delete: {after: P90Y}}
`

// TestCountsAgree counts random rows in one scan, by ranges, and by a condition
// that the test writes itself.
func TestCountsAgree(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		for _, where := range []string{"", "where: [{column: id, op: lt, value: 700}]"} {
			t.Run(strings.TrimRight(name+" "+where[:min(len(where), 5)], " "), func(t *testing.T) {
				t.Parallel()
				k.agree(t, where)
			})
		}
	}
}

func (k kind) agree(t *testing.T, where string) {
	kids, pointing := "eid int references app.events", "id"
	if !strings.Contains(k.ddl, "id int primary key") {
		kids, pointing = "eid int, eat "+k.typ+", foreign key (eid, eat) references app.events (id, at)", "id, at"
	}
	ddl := "create schema app;" + k.ddl + "; create table app.kids (born timestamptz, kid int generated always as identity primary key, " + kids + "); create index on app.kids (eid)"
	b := setup(t, ddl, fmt.Sprintf(countPolicy, where))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k.fill(t, b, rand.New(rand.NewPCG(seed, 1)))
	b.db.Exec(t, `insert into app.kids (`+strings.NewReplacer("id", "eid", "at", "eat").Replace(pointing)+`) select `+pointing+` from app.events where id % 10 = 3; analyze app.events;
		select sweeper.apply_hold('u1', 'case', 'test'); select sweeper.apply_hold(null, 'case', 'test', tenant => 't1'); select sweeper.apply_hold('u2', 'case', 'test', tenant => 't2');
		select sweeper.release_hold(sweeper.apply_hold('u3', 'case', 'test'), 'over', 'test'); select sweeper.apply_hold('7', 'case', 'test', category => 'kids', relation => 'app.kids')`)

	conn := b.daemon(t)
	for _, asOf := range []time.Time{in2026, in2026.AddDate(-3, 0, 0), in2026.AddDate(4, 1, 3)} {
		want := k.naive(t, b, asOf, where != "")
		for form, see := range map[string]func(*catalog.Table){"one scan": untouched, "ranges": huge} {
			c := category(b.planOver(t, conn, asOf, see), "events")
			states, err := purge.Count(t.Context(), conn, c)
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			for i, s := range states {
				if s.Estimated != (form == "ranges" || len(c.Table.Leaves) > 100) || s.Estimated && len(c.Counts[i].Parts) < k.parts {
					t.Errorf("%s of %s: %d parts, estimated %t", form, s.Disposition, len(c.Counts[i].Parts), s.Estimated)
				}
				got := states[i].Tally
				if s.Estimated {
					got.Scheduled = want[s.Disposition].Scheduled
				}
				if diff := cmp.Diff(want[s.Disposition], got); diff != "" {
					t.Errorf("%s of %s as of %s:\n%s", form, s.Disposition, asOf, diff)
				}
			}
		}
	}
}

// fill inserts 1000 rows: starts far and near the due dates, and none.
func (k kind) fill(t *testing.T, b *bundle, random *rand.Rand) {
	t.Helper()
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var sql strings.Builder
	sql.WriteString("insert into app.events values ")
	for i := range 1000 {
		start := in2026.Add(time.Duration(random.Int64N(int64(12*365*24*time.Hour))) - 9*365*24*time.Hour)
		if i%3 == 0 {
			base := pick("2020-11-30", "2024-06-30", "2026-01-01", "2017-11-30", "2023-01-01", "2030-02-04", "2025-01-01")
			day, err := time.Parse(time.DateOnly, base)
			if err != nil {
				t.Fatal(err)
			}
			start = day.Add(time.Duration(random.IntN(20*24)-10*24) * time.Hour)
		}
		at := "'" + start.Format("2006-01-02 15:04:05Z07:00") + "'"
		switch {
		case i%17 == 0 && k.null:
			at = "null"
		case i%31 == 0 && k.infinite:
			at = pick("'-infinity'", "'infinity'", "'4713-01-01 BC'", "'5000000-01-01'")
			if k.typ != "date" && at == "'5000000-01-01'" {
				at = "'250000-01-01'"
			}
		}
		org := pick("'t1'", "'t2'", "'t3'", "'t3'", "'t4'", "null")
		if k.typ == "date" && strings.Contains(k.ddl, "org text not null") {
			org = pick("'t1'", "'t2'", "'t3'")
		}
		fmt.Fprintf(&sql, "%s(%d, %s, %s, %s, %s)", map[bool]string{true: ", "}[i > 0], i, at,
			pick("'u1'", "'u2'", "'u2'", "'u3'", "'u4'", "'u5'", "'u5'", "'u5'", "null"), org, pick("'open'", "'closed'", "'gone'", "null"))
	}
	b.db.Exec(t, sql.String())
}

// naive counts by conditions in plain SQL, over every row.
func (k kind) naive(t *testing.T, b *bundle, asOf time.Time, where bool) map[string]purge.Tally {
	t.Helper()
	wall, clock, instant := "at at time zone 'Europe/Berlin'", "$1::timestamptz", "min(at) filter (where state = 'due')"
	if k.typ != "timestamptz" {
		wall, clock, instant = "at::timestamp", "$1::timestamptz at time zone 'Europe/Berlin'", "min(at) filter (where state = 'due') at time zone 'Europe/Berlin'"
	}
	if k.typ == "date" {
		wall, instant = "(at + 1)::timestamp", "min(at) filter (where state = 'due')::timestamp at time zone 'Europe/Berlin'"
	}
	due := func(period string) string {
		return fmt.Sprintf("(case when at > '2000-01-01' and at < '2100-01-01' then (%s + interval '%s') at time zone 'Europe/Berlin' <= $1::timestamptz else at < '2000-01-01' end)", wall, period)
	}
	const held = "(coalesce(who = 'u1', false) or coalesce(org = 't1', false) or coalesce(who = 'u2' and coalesce(org, 't2') = 't2', false))"
	const blocked = "id % 10 = 3"
	found := map[string]purge.Tally{}
	for disposition, state := range map[string]string{
		plan.Delete: fmt.Sprintf("case when %s then case when %s then 'held' when %s then 'blocked' else 'due' end else 'scheduled' end", due("5 years 1 month"), held, blocked),
		plan.Redact: fmt.Sprintf(`case when %s and status is distinct from 'gone' and not (%s and not %s) then case when not %s then 'due' when %s then 'deletion' else 'held' end else 'scheduled' end`,
			due("1 year 6 months"), due("5 years 1 month"), blocked, held, due("5 years 1 month")),
	} {
		only := "true"
		if where {
			only = "id < 700"
		}
		var s purge.Tally
		err := b.admin.QueryRow(t.Context(), fmt.Sprintf(`select count(*) filter (where state = 'not_started'), count(*) filter (where state = 'future'), count(*) filter (where state = 'scheduled'),
			  count(*) filter (where state = 'held'), count(*) filter (where state = 'blocked'), count(*) filter (where state = 'due'), %s
			from (select at, case when at is null or at = '-infinity' then 'not_started' when at > %s then 'future' else %s end as state from app.events where %s) s`,
			instant, clock, state, only), asOf).Scan(&s.NotStarted, &s.Future, &s.Scheduled, &s.Held, &s.Blocked, &s.Due, &s.Oldest)
		if err != nil {
			t.Fatal(err)
		}
		if s.Due == 0 && asOf == in2026 {
			t.Fatal("no row is due, so nothing is tested")
		}
		found[disposition] = s
	}
	return found
}

// TestGuardCounts has statistics that are wrong in every way: a run over its
// limit waits for approval all the same, and one under it does not.
func TestGuardCounts(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);
		insert into app.events select i, '2015-01-01', 'u' from generate_series(1, 30) i; insert into app.events select i, '2025-01-01', 'u' from generate_series(31, 100) i`,
		"version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P5Y}, limits: {max_share: 0.3}}\n")
	pool := b.pool(t, 4)
	defer pool.Close()
	conn := b.daemon(t)
	sweep := func(see func(*catalog.Table)) purge.Outcome {
		t.Helper()
		return purge.Run(t.Context(), pool, b.planOver(t, conn, in2026, see), b.options(func(o *purge.Options) { o.AutoApprove = false }))[0]
	}
	b.db.Exec(t, "delete from app.events where id = 100") // 30 of 99: one row more than the share
	for name, see := range map[string]func(*catalog.Table){
		"far too many": huge,
		"never known":  func(t *catalog.Table) { t.Bytes, t.Rows = 1<<40, 0 },
		"none at all":  func(t *catalog.Table) { t.Bytes, t.Rows = 0, 0 },
	} {
		if o := sweep(see); o.State != purge.AwaitingApproval || !strings.HasPrefix(o.StopReason, "30 of 99 rows would go, more than max_share 0.3 allows") {
			t.Errorf("%s: %s %s", name, o.State, o.StopReason)
		}
	}
	b.db.Exec(t, "insert into app.events values (100, null, 'u')")
	if o := sweep(huge); o.State != purge.Succeeded || o.Deleted != 30 || o.NotStarted != 1 {
		t.Errorf("30 of 100: %+v", o)
	}
	if o := sweep(huge); o.State != purge.Succeeded || o.Deleted != 0 {
		t.Errorf("nothing is due: %+v", o)
	}
}

// TestStatistics reads the size of tables that were never analysed, are empty,
// or have grown since.
func TestStatistics(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text) with (autovacuum_enabled = false); create index on app.events (at)`,
		"version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P5Y}}\n")
	conn := b.daemon(t)
	count := func() purge.States {
		t.Helper()
		c := b.planOver(t, conn, in2026, func(t *catalog.Table) { t.Bytes += 1 << 40 }).Categories()[0]
		states, err := purge.Count(t.Context(), conn, c)
		if err != nil {
			t.Fatal(err)
		}
		return states[0]
	}
	if s := count(); s.Total != 0 || s.Scheduled != 0 || s.Due != 0 {
		t.Errorf("an empty table: %+v", s)
	}
	b.db.Exec(t, "insert into app.events select i, '2015-01-01', 'u' from generate_series(1, 200) i")
	if s := count(); s.Due != 200 || s.Total < 200 || s.Total > 600 {
		t.Errorf("never analysed: %+v", s)
	}
	b.db.Exec(t, "analyze app.events; insert into app.events select i, '2025-01-01', 'u' from generate_series(201, 2000) i")
	if s := count(); s.Due != 200 || s.Total < 1000 || s.Total > 3000 || s.Scheduled != s.Total-200 {
		t.Errorf("grown tenfold since: %+v", s)
	}
	b.db.Exec(t, "delete from app.events where id > 200")
	b.db.Exec(t, "vacuum app.events") // the pages are given back
	if s := count(); s.Due != 200 || s.Total < 200 || s.Total > 400 {
		t.Errorf("shrunk: %+v", s)
	}
	b.db.Exec(t, "update pg_class set reltuples = 1e9, relpages = 1 where oid = 'app.events'::regclass")
	if s := count(); s.Due != 200 || s.Total < 1e9 {
		t.Errorf("statistics that lie: %+v", s)
	}
}

// TestRangesAgree counts in one scan and by ranges what a start that is an
// integer, and tenants with windows of their own, make of random rows.
func TestRangesAgree(t *testing.T) {
	t.Parallel()
	const indexed = `create table app.events (id int primary key, at %s, who text, org text); create index on app.events (at)`
	for name, k := range map[string]struct{ ddl, unit, value string }{
		"windows":             {fmt.Sprintf(indexed, "timestamptz"), "", "to_timestamp(s)"},
		"milliseconds":        {fmt.Sprintf(indexed, "bigint"), "ms", "s::bigint * 1000"},
		"seconds":             {fmt.Sprintf(indexed, "int"), "s", "s::int"},
		"ranges and windows":  {`create table app.events (id int, at timestamptz not null, who text, org text, primary key (id, at)) partition by range (at); do $$ begin for y in 2014..2033 loop execute format('create table app.y%s partition of app.events for values from (%L) to (%L)', y, y || '-01-01', y + 1 || '-01-01'); end loop; end $$; create table app.rest partition of app.events default`, "", "to_timestamp(s)"},
		"ranges of seconds":   {`create table app.events (id int, at int not null, who text, org text, primary key (id, at)) partition by range (at); do $$ begin for y in 44..63 loop execute format('create table app.y%s partition of app.events for values from (%s) to (%s)', y, y * 31556952, (y + 1) * 31556952); end loop; end $$; create table app.rest partition of app.events default`, "s", "s::int"},
		"ranges of 8-byte ms": {`create table app.events (id int, at bigint not null, who text, org text, primary key (id, at)) partition by range (at); do $$ begin for y in 44..63 loop execute format('create table app.y%s partition of app.events for values from (%s) to (%s)', y, y * 31556952000, (y + 1) * 31556952000); end loop; end $$; create table app.rest partition of app.events default`, "ms", "s::bigint * 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, "create schema app;"+k.ddl, "version: 1\ntimezone: Europe/Berlin\ncategories:\n  events: {table: app.events, subject: who, start_from: at, redact: {after: P2Y, columns: {who: zero}}, delete: {after: P5Y}}\n", func(c *policy.Category) {
				c.Tenant, c.Start.Unit = "org", k.unit
			})
			b.db.Exec(t, "select setseed(0.3); insert into app.events select i, "+k.value+", 'u' || i % 7, case when i % 11 > 0 then 't' || i % 5 end from (select i, 1262304000 + random() * 630720000 as s from generate_series(1, 3000) i) x;"+
				"insert into app.events values (5001, "+map[bool]string{true: "'-infinity'", false: "0"}[k.unit == ""]+", 'u1', 't1'), (5002, "+map[bool]string{true: "'infinity'", false: "2147483647"}[k.unit == ""]+", 'u1', 't1')")
			b.window(t, "t1", "9 years")
			b.window(t, "t2", "4 months")
			b.db.Exec(t, "select sweeper.apply_hold('u3', 'case', 'test')")
			conn := b.daemon(t)
			count := func(see func(*catalog.Table)) []purge.States {
				t.Helper()
				states, err := purge.Count(t.Context(), conn, b.planOver(t, conn, in2026, see).Categories()[0])
				if err != nil {
					t.Fatal(err)
				}
				return states
			}
			whole, ranges := count(untouched), count(huge)
			for i := range whole {
				want, got := whole[i].Tally, ranges[i].Tally
				got.Scheduled = want.Scheduled
				if diff := cmp.Diff(want, got); diff != "" || want.Due == 0 || want.Held == 0 || want.NotStarted == 0 || len(ranges[i].Parts) < 2 || whole[i].Estimated {
					t.Errorf("%s in %d parts, of which one scan says %+v:\n%s", whole[i].Disposition, len(ranges[i].Parts), want, diff)
				}
			}
		})
	}
}

// TestOwnColumnIsNotTheEvent has a column of the name that the event has in the
// other table, with an index: nothing is read by it.
func TestOwnColumnIsNotTheEvent(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id int primary key, ended timestamptz, who text); create index on app.events (ended); create table app.ends (event int primary key, ended timestamptz);
		insert into app.events select i, '2030-01-01', 'u' from generate_series(1, 40) i; insert into app.ends select i, '2015-01-01' from generate_series(1, 30) i`,
		"version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: id, delete: {after: P5Y}}\n", func(c *policy.Category) {
			c.Start = policy.Start{Column: "ended", From: &policy.Elsewhere{Table: "app.ends", Schema: "app", Relation: "ends", Match: []policy.Match{{Other: "event", Own: "id"}}, Pick: "max"}}
		})
	conn := b.daemon(t)
	states, err := purge.Count(t.Context(), conn, b.planOver(t, conn, in2026, huge).Categories()[0])
	if err != nil {
		t.Fatal(err)
	}
	if s := states[0]; s.Due != 30 || s.NotStarted != 10 || s.Future != 0 || s.Estimated {
		t.Errorf("%+v", s)
	}
}
