package sweeper_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

var in2026 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// plan plans one category as the purging role and gives what stands behind the
// deletion.
func (b *bundle) plan(t *testing.T, asOf time.Time, category string) (*sweeper.Preview, sweeper.Account) {
	t.Helper()
	p, err := sweeper.Plan(t.Context(), b.cfg, b.set, asOf, category)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return p, p.Details[category][0]
}

// TestBehindTheNumbers has rows that are held twice, pointed at twice, and with
// children and their children.
func TestBehindTheNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text, org text); create index by_start on app.events (at);
		create table app.kids (id int primary key, event int); create table app.toys (id int generated always as identity primary key, kid int);
		create table app.notes (id int generated always as identity primary key, event int references app.events, at timestamptz); create table app.bills (id int generated always as identity primary key, event int references app.events, at timestamptz);
		insert into app.events select i, '2015-01-01', 'u' || i % 4, 't' || i % 2 from generate_series(1, 100) i; insert into app.events values (101, '2025-01-01', 'u1', 't1');
		insert into app.kids select i, i % 102 from generate_series(0, 203) i; insert into app.toys (kid) select i from generate_series(0, 203) i cross join generate_series(1, 2);
		insert into app.notes (event) select i from generate_series(2, 20, 2) i; insert into app.bills (event) values (2), (2), (101)`,
		`version: 1
categories:
  events: {table: app.events, subject: who, tenant: org, start_from: at, delete: {after: P5Y}}
  notes: {table: app.notes, start_from: at, delete: {after: P5Y}}
  bills: {table: app.bills, start_from: at, delete: {after: P5Y}}
`)
	b.db.Exec(t, `grant select on app.kids, app.toys to sweeper_daemon;
		select sweeper.apply_hold('u1', 'case', 'test'); select sweeper.apply_hold(null, 'case', 'test', tenant => 't1', category => 'events'); select sweeper.apply_hold('u99', 'case', 'test')`)
	// They come after the installation, so that they are only counted.
	child := func(table, column, on, action string, below ...policy.Child) policy.Child {
		return policy.Child{Table: "app." + table, Schema: "app", Relation: table, Match: []policy.Match{{Other: column, Own: "id"}}, On: on, Action: action, Children: below}
	}
	for i := range b.set.Categories {
		if b.set.Categories[i].Name == "events" {
			b.set.Categories[i].Children = []policy.Child{
				child("kids", "event", "delete", "delete", child("toys", "kid", "delete", "nullify")), child("bills", "event", "delete", "keep"), child("notes", "event", "redact", "redact"),
			}
		}
	}
	p, d := b.plan(t, in2026, "events")
	// Of 100 the odd ones are held; of the even ones 10 are pointed at.
	if s := p.States["events"][0]; s.Held != 50 || s.Blocked != 10 || s.Due != 40 || s.Scheduled != 1 {
		t.Errorf("%+v", s.Tally)
	}
	want := sweeper.Account{
		HeldBy:    []sweeper.HeldBy{{HoldID: 2, Rows: 50}, {HoldID: 1, Rows: 25}},
		BlockedBy: []sweeper.BlockedBy{{By: `foreign key "notes_event_fkey" of app.notes`, Rows: 10}, {By: `foreign key "bills_event_fkey" of app.bills`, Rows: 1}},
		Children:  []sweeper.ChildRows{{Relation: "app.kids", Action: "delete", Rows: 80}, {Relation: "app.toys", Action: "nullify", Rows: 160}},
		WalkWhy:   `start: index "by_start" is in the order of "at"`,
		Estimate:  sweeper.Estimate{RowsPerSecond: sweeper.DefaultRate, Seconds: 280.0 / sweeper.DefaultRate, WALBytes: d.Estimate.WALBytes},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if d.ChildCount() != 240 || d.Estimate.WALBytes < 280*120 || d.Estimate.WALBytes > 280*400 {
		t.Errorf("%d children, %d bytes of WAL", d.ChildCount(), d.Estimate.WALBytes)
	}
}

// TestHeldByWhatWouldGoAlong has holds on parents, on their children, on children
// of those, and on both of one family: each row that is held counts for the holds
// that keep it.
func TestHeldByWhatWouldGoAlong(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); create table app.kids (id int primary key, event int references app.events, at timestamptz, who text);
		create table app.toys (id int primary key, kid int references app.kids, at timestamptz, who text); create index on app.kids (event); create index on app.toys (kid);
		insert into app.events select i, '2015-01-01', 'p' || i from generate_series(1, 10) i; insert into app.kids select i, (i + 1) / 2, '2010-01-01', 'k' || i from generate_series(1, 20) i; insert into app.toys select i, i, '2010-01-01', 't' || i from generate_series(1, 20) i`,
		`version: 1
categories:
  events:
    table: app.events
    subject: who
    start_from: at
    delete: {after: P5Y}
    children: [{table: app.kids, match: {event: id}, children: [{table: app.toys, match: {kid: id}}]}]
  kids: {table: app.kids, subject: who, start_from: at, delete: {after: P5Y}, mode: observe}
  toys: {table: app.toys, subject: who, start_from: at, delete: {after: P5Y}, mode: observe}
`)
	b.db.Exec(t, `select sweeper.apply_hold(s, 'case', 'test') from unnest(array['p1', 'k1', 'k3', 't7', 't8', 't9']) with ordinality x(s, n) order by n`)
	p, d := b.plan(t, in2026, "events")
	if s := p.States["events"][0]; s.Held != 4 || s.Due != 6 { // 1 by itself, 2 by k3, 4 by t7 and t8, 5 by t9
		t.Errorf("%+v", s.Tally)
	}
	want := []sweeper.HeldBy{{HoldID: 1, Rows: 1}, {HoldID: 3, Rows: 1}, {HoldID: 4, Rows: 1}, {HoldID: 5, Rows: 1}, {HoldID: 6, Rows: 1}}
	if diff := cmp.Diff(want, d.HeldBy); diff != "" {
		t.Error(diff)
	}
}

// TestEstimateLearns plans before and after a run that tells how fast this
// database is.
func TestEstimateLearns(t *testing.T) {
	t.Parallel()
	const slow = 500 // rows a second that the environment allows
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz); insert into app.events select i, '2015-01-01' from generate_series(1, 1500) i`,
		"version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P5Y}}\n", fmt.Sprintf("SWEEPER_ROWS_PER_SECOND=%d", slow))
	_, d := b.plan(t, time.Time{}, "events")
	if d.Estimate.Measured || d.Estimate.RowsPerSecond != slow || d.Estimate.Seconds != 1500/slow {
		t.Errorf("before any run: %+v", d.Estimate)
	}
	if want := "blocks: no usable index on \"at\""; d.WalkWhy != want {
		t.Errorf("the walk is %q, want %q", d.WalkWhy, want)
	}
	b.cfg.RowsPerSecond = 0
	if o := b.sweep(t)["events"]; o.Deleted != 1500 {
		t.Fatalf("%+v", o)
	}
	b.db.Exec(t, "insert into app.events values (1, '2015-01-01')")
	_, d = b.plan(t, time.Time{}, "events")
	rate := pgtest.QueryOne[float64](t, b.admin, "select 1500 / extract(epoch from finished_at - started_at)::float8 from sweeper.runs")
	if !d.Estimate.Measured || d.Estimate.RowsPerSecond < rate*0.99 || d.Estimate.RowsPerSecond > rate*1.01 || d.Estimate.Seconds <= 0 {
		t.Errorf("after a run of %f rows/s: %+v", rate, d.Estimate)
	}
}

// TestKeptPartitions has a partition for every reason to stay.
func TestKeptPartitions(t *testing.T) {
	t.Parallel()
	owner, db := "", "create schema app;"
	table := func(name string) string {
		return fmt.Sprintf(`create table app.%[1]s (id int, at timestamptz not null, who text, primary key (id, at)) partition by range (at);
			create table app.%[1]s_15 partition of app.%[1]s for values from ('2015-01-01') to ('2016-01-01'); create table app.%[1]s_16 partition of app.%[1]s for values from ('2016-01-01') to ('2017-01-01');
			create table app.%[1]s_17 partition of app.%[1]s for values from ('2017-01-01') to ('2018-01-01'); create table app.%[1]s_20 partition of app.%[1]s for values from ('2020-01-01') to ('2022-01-01');
			create table app.%[1]s_rest partition of app.%[1]s default; insert into app.%[1]s values (1, '2015-05-05', 'u1'), (2, '2015-05-05', 'u2'), (3, '2016-05-05', 'u3'), (4, '2030-01-01', 'u4');`, name)
	}
	for _, name := range []string{"plain", "wheres", "rows", "two", "pointed", "lone"} {
		db += table(name)
	}
	db += `create table app.pointers (id int primary key, event int, at timestamptz, born timestamptz, foreign key (event, at) references app.pointed (id, at));
		drop table app.lone_15, app.lone_17, app.lone_20, app.lone_rest;
		create function app.f() returns trigger language plpgsql as 'begin return old; end'; create trigger g before delete on app.plain_17 for each row execute function app.f()`
	b := setup(t, db, `version: 1
categories:
  plain: {table: app.plain, subject: who, start_from: at, delete: {after: P5Y}}
  wheres: {table: app.wheres, start_from: at, where: [{column: who, op: not_null}], delete: {after: P5Y}}
  rows: {table: app.rows, start_from: at, delete: {after: P5Y}, partitions: rows}
  two: {table: app.two, start_from: at, delete: {after: P5Y}}
  two_more: {table: app.two, start_from: at, where: [{column: who, op: eq, value: u1}], delete: {after: P9Y}}
  pointed: {table: app.pointed, start_from: at, delete: {after: P5Y}}
  pointers: {table: app.pointers, start_from: born, delete: {after: P5Y}}
  lone: {table: app.lone, start_from: at, delete: {after: P5Y}}
`)
	owner = b.db.Role(t, "owner", "nologin")
	for _, name := range []string{"plain", "lone"} {
		b.db.Exec(t, fmt.Sprintf(`grant %[1]s to sweeper_owner; do $$ declare r regclass; begin for r in select relid from pg_partition_tree('app.%[2]s') loop execute format('alter table %%s owner to %[1]s', r); end loop; end $$`, owner, name))
	}
	b.db.Exec(t, `select sweeper.apply_hold('u2', 'case', 'test')`)
	p, d := b.plan(t, in2026, "plain")
	one := int64(1)
	until := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	want := []sweeper.KeptLeaf{
		{Partition: "app.plain_15", Reason: "rows in it are under a legal hold", Rows: &one},
		{Partition: "app.plain_rest", Reason: "it is the default partition"},
		{Partition: "app.plain_17", Reason: "it has DELETE triggers, which a drop does not fire"},
		{Partition: "app.plain_20", Reason: "not due by its bound", Until: &until},
	}
	if diff := cmp.Diff(want, d.Kept); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]sweeper.DroppedLeaf{{Partition: "app.plain_16", Rows: 1}}, d.Dropped); diff != "" {
		t.Error(diff)
	}
	if s := p.States["plain"][0]; s.Due != 2 || s.Held != 1 || s.Future != 1 {
		t.Errorf("%+v", s.Tally)
	}
	for category, want := range map[string]string{
		"wheres":  "the policy's where picks single rows",
		"rows":    "the policy says partitions: rows",
		"two":     `category "two_more" governs the table too`,
		"pointed": `foreign key "pointers_event_at_fkey" of app.pointers points at the table`,
		"lone":    "it is the last partition",
	} {
		_, d := b.plan(t, in2026, category)
		if len(d.Dropped) != 0 || len(d.Kept) == 0 {
			t.Errorf("%s: %+v", category, d)
		}
		for _, k := range d.Kept {
			if k.Reason != want {
				t.Errorf("%s: %s is kept since %q, want %q", category, k.Partition, k.Reason, want)
			}
		}
	}
	b.db.Exec(t, "revoke "+owner+" from sweeper_owner; delete from app.plain where id = 2; insert into app.plain values (5, '2021-12-31', 'u')")
	if _, d = b.plan(t, time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC), "plain"); len(d.Dropped) != 0 || d.Kept[1].Reason != fmt.Sprintf("sweeper_owner is not a member of %q, which owns it", owner) {
		t.Errorf("without the owner's membership: %+v", d)
	}
	b.db.Exec(t, "grant "+owner+" to sweeper_owner")
	// By its bound the last partition may be due: its rows say that it is not.
	_, d = b.plan(t, time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC), "plain")
	if diff := cmp.Diff(sweeper.KeptLeaf{Partition: "app.plain_20", Reason: "rows in it are not due", Rows: &one}, d.Kept[0]); diff != "" {
		t.Error(diff)
	}
}

// TestManyPartitions plans and sweeps over more partitions than the server could
// lock at once, all of them due, on a server that is this test's own: so it sees
// that a plan uses not one transaction id.
func TestManyPartitions(t *testing.T) {
	t.Parallel()
	const partitions, held = 300, 60
	server := pgtest.Server(t, pgserver.Options{Settings: map[string]string{"autovacuum": "off", "max_locks_per_transaction": "20", "max_connections": "16", "max_wal_senders": "4", "max_replication_slots": "4"}})
	admin, err := pgx.Connect(t.Context(), server.URL("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(t.Context()) }()
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("run %.100s: %v", sql, err)
		}
	}
	exec(`create role owner nologin; create schema app authorization owner; set role owner; create table app.events (id int, at timestamptz not null, who text, primary key (id, at)) partition by range (at);
		create index on app.events (at); create index on app.events (who); create index on app.events (id); create index on app.events (at, who)`)
	for from := 0; from < partitions; from += 50 {
		var sql strings.Builder
		for day := from; day < from+50; day++ {
			at := time.Date(2015, 1, 1+day, 0, 0, 0, 0, time.UTC)
			fmt.Fprintf(&sql, "create table app.p%03[1]d partition of app.events for values from ('%[2]s') to ('%[3]s'); insert into app.events values (%[1]d, '%[2]s', 'u%[4]d'), (%[1]d, '%[2]s 12:00', 'other'); ",
				day, at.Format(time.DateOnly), at.AddDate(0, 0, 1).Format(time.DateOnly), day%5)
		}
		exec(sql.String())
	}
	exec(`reset role`)
	cfg, _, err := sweeper.Load([]string{
		"SWEEPER_DATABASE_URL=" + server.URL("postgres", "sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + server.URL("postgres", "sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + server.URL("postgres", pgserver.Superuser), "SWEEPER_HMAC_KEY=" + key, "SWEEPER_APPROVE=auto",
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{cfg: cfg, set: load(t, "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}}\n")}
	if _, err := sweeper.Install(t.Context(), cfg, slog.New(slog.DiscardHandler), b.set, false); err != nil {
		t.Fatalf("install: %v", err)
	}
	exec("grant owner to sweeper_owner; select sweeper.apply_hold('u3', 'case', 'test')")
	if _, err := admin.Exec(t.Context(), "select count(*) from app.events"); err == nil || !strings.Contains(err.Error(), "out of shared memory") {
		t.Fatalf("the server can lock all partitions at once, so nothing is tested: %v", err)
	}
	before := pgtest.QueryOne[string](t, admin, "select pg_snapshot_xmax(pg_current_snapshot())::text")
	p, d := b.plan(t, in2026, "events")
	s := p.States["events"][0]
	if s.Due != 2*partitions-held || s.Held != held || s.Total != 2*partitions || len(d.Dropped) != partitions-held-1 || len(d.Kept) != held+1 || d.Kept[held].Reason != "it is the last partition" {
		t.Errorf("%+v, %d go whole, %d stay", s.Tally, len(d.Dropped), len(d.Kept))
	}
	if diff := cmp.Diff([]sweeper.HeldBy{{HoldID: 1, Rows: held}}, d.HeldBy); diff != "" {
		t.Error(diff)
	}
	found, err := sweeper.Forecast(t.Context(), cfg, b.set, time.Date(2020, 1, 15, 0, 0, 0, 0, time.UTC), 14)
	if err != nil {
		t.Fatalf("forecast: %v", err)
	}
	rows := int64(0)
	for _, f := range found {
		rows += f.Rows
	}
	if rows != 2*partitions || found[0].Rows != 62 || found[0].Overdue != 29 || found[0].Held != 6 {
		t.Errorf("%d rows fall due, in the first month %+v", rows, found[0])
	}
	if after := pgtest.QueryOne[string](t, admin, "select pg_snapshot_xmax(pg_current_snapshot())::text"); after != before {
		t.Errorf("the next transaction was %s and is %s: the plan has written", before, after)
	}

	outcomes, err := sweeper.Sweep(t.Context(), b.cfg, slog.New(slog.DiscardHandler), b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	// A leaf that could not get its locks in time goes by rows: then there are fewer.
	if o := outcomes[0]; o.State != "succeeded" || o.Deleted != 2*partitions-held || o.Held != held || o.PartitionsDropped == 0 {
		t.Errorf("%+v", o)
	}
}
