package purge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// tenants gives categories a tenant column org.
func tenants(c *policy.Category) { c.Tenant = "org" }

// window sets a tenant's window in category events.
func (b *bundle) window(t *testing.T, tenant, retention string) {
	t.Helper()
	if _, err := b.admin.Exec(t.Context(), `select sweeper.set_tenant_retention('events', $1, $2::text::interval, 'test', 'contract')`, tenant, retention); err != nil {
		t.Fatal(err)
	}
}

// TestTenantWindows has the windows in every relation to the policy's two: each
// row says what it must become.
func TestTenantWindows(t *testing.T) {
	t.Parallel()
	const ages = `insert into app.events select x.age || ' ' || coalesce(o, 'none'), timestamptz '2026-01-01' - x.age::interval, 'u', o, 'm'
		from unnest(array['6 mons', '18 mons', '3 years', '6 years', '9 years']) x(age), unnest(array['long', 'short', 'shortest', 'plain', null]) o`
	for name, c := range map[string]struct {
		body string
		want map[string]string // by tenant, what becomes of the ages: k kept, r redacted, d deleted
	}{
		"delete":            {"    delete: {after: P5Y}\n", map[string]string{"long": "kkkkd", "short": "kkddd", "shortest": "kdddd", "plain": "kkkdd", "none": "kkkdd"}},
		"redact":            {"    redact: {after: P5Y, columns: {mail: \"null\"}}\n", map[string]string{"long": "kkkkr", "short": "kkrrr", "shortest": "krrrr", "plain": "kkkrr", "none": "kkkrr"}},
		"redact and delete": {"    redact: {after: P2Y, columns: {mail: \"null\"}}\n    delete: {after: P5Y}\n", map[string]string{"long": "kkrrd", "short": "kkddd", "shortest": "kdddd", "plain": "kkrdd", "none": "kkrdd"}},
	} {
		for walk, index := range map[string]string{"index": "create index on app.events (at);", "blocks": ""} {
			t.Run(name+"/"+walk, func(t *testing.T) {
				t.Parallel()
				b := setupWith(t, "create schema app; create table app.events (id text primary key, at timestamptz, who text, org varchar(20), mail text);"+index+ages, one("UTC", c.body), tenants)
				for tenant, window := range map[string]string{"long": "8 years", "short": "25 mons", "shortest": "1 year"} {
					b.window(t, tenant, window)
				}
				o := b.run(t, in2026)["events"]
				if o.State != purge.Succeeded {
					t.Errorf("got %+v", o)
				}
				for tenant, want := range c.want {
					got := b.text(t, `select string_agg(case when e.id is null then 'd' when e.mail is null then 'r' else 'k' end, '' order by n)
						from unnest(array['6 mons', '18 mons', '3 years', '6 years', '9 years']) with ordinality x(age, n) left join app.events e on e.id = x.age || ' ' || $1`, tenant)
					if got != want {
						t.Errorf("tenant %s: got %s, want %s", tenant, got, want)
					}
				}
				if o := b.run(t, in2026)["events"]; o.Deleted+o.Redacted != 0 {
					t.Errorf("a second sweep: %+v", o)
				}
			})
		}
	}
}

// TestWindowsStayWithinThePolicy moves floor and ceiling after the windows were
// set: one that they forbid now ends where they do.
func TestWindowsStayWithinThePolicy(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id text primary key, at timestamptz, who text, org text);
		insert into app.events select o || ' ' || y, timestamptz '2026-01-01' - y * interval '1 year', 'u', o from unnest(array['short', 'long', 'plain']) o, unnest(array[1, 3, 6, 8]) y`, one("UTC", "    delete: {after: P5Y}\n"), tenants)
	b.window(t, "short", "1 mon")
	b.window(t, "long", "50 years")
	c := &b.set.Categories[0]
	c.Window.Min, c.Window.Max = &policy.Period{Years: 2}, &policy.Period{Years: 7}
	b.set.SHA256[0]++
	b.install(t)
	b.run(t, in2026)
	if got := b.text(t, `select string_agg(id, ', ' order by id) from app.events`); got != "long 1, long 3, long 6, plain 1, plain 3, short 1" {
		t.Errorf("left are %s", got)
	}
	if _, err := b.admin.Exec(t.Context(), `select sweeper.set_tenant_retention('events', 'short', '1 mon', 'test', 'contract')`); err == nil {
		t.Error("the new floor does not count for a new window")
	}
}

// TestTenantsOfEveryType finds a window by the tenant as the column's type reads
// it, also under a collation of the column's own.
func TestTenantsOfEveryType(t *testing.T) {
	t.Parallel()
	for typ, c := range map[string]struct{ given, stored, other string }{
		"uuid":                       {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		"int8":                       {"007", "7", "70"},
		"public.citext":              {"acme", "ACME", "ACM"},
		"char(9)":                    {"acme", "acme", "acm"},
		`text collate "C"`:           {"acme", "acme", "ACME"},
		`varchar(9) collate "POSIX"`: {"acme", "acme", "ACME"},
		"app.org":                    {"7", "7", "8"},
		"app.kind":                   {"a", "a", "b"},
		"name":                       {"acme", "acme", "acm"},
	} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, fmt.Sprintf(`create extension citext schema public; create schema app; create domain app.org as int check (value > 0); create type app.kind as enum ('a', 'b');
				create table app.events (id text primary key, at timestamptz, who text, org %s);
				insert into app.events values ('kept', '2015-01-01', 'u', '%s'), ('b', '2015-01-01', 'u', '%s'), ('c', '2015-01-01', 'u', null)`, typ, c.stored, c.other), one("UTC", "    delete: {after: P5Y}\n"), tenants)
			b.window(t, c.given, "100 years")
			b.db.Exec(t, `select sweeper.apply_hold(null, 'case', 'test', tenant => 'another')`)
			b.run(t, in2026)
			if got := b.text(t, `select string_agg(id, ' ' order by id) from app.events`); got != "kept" {
				t.Errorf("left are %q", got)
			}
		})
	}
}

// TestTenantWindowsAreExact draws windows and starts: a redaction comes at the
// smaller of its own and the tenant's at that very start, a deletion at the
// tenant's.
func TestTenantWindowsAreExact(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	policies, ddl := "version: 1\ncategories:\n", "create schema app; create extension citext schema public;"
	for i := range zones {
		policies += fmt.Sprintf("  z%d: {table: app.z%[1]d, start_from: at, tenant: org, redact: {after: P1M, columns: {mail: \"null\"}}, delete: {after: P2Y}}\n", i)
		ddl += fmt.Sprintf("create table app.z%d (id text primary key, at timestamptz, org text, mail text);", i)
		if i%2 == 0 {
			ddl += fmt.Sprintf("create index on app.z%d (at);", i)
		}
	}
	b := setupWith(t, ddl, policies, func(c *policy.Category) { c.Timezone = zones[c.Name[1]-'0'] })
	for range 4 {
		days := 1 + r.IntN(40)
		for i := range b.set.Categories {
			c := &b.set.Categories[i]
			b.db.Exec(t, fmt.Sprintf("delete from sweeper.tenant_retention where category = '%s'; truncate app.%[1]s", c.Name))
			c.Redact.After = policy.Period{Months: r.IntN(2), Days: days}
			for org := range 6 {
				p := drawnPeriod(r)
				if org == 0 { // next to the redaction's own: which is smaller depends on the start
					p = policy.Period{Days: days + 30*c.Redact.After.Months}
				}
				b.db.Exec(t, fmt.Sprintf("select sweeper.set_tenant_retention('%s', 'o%d', '%s', 'test', 'contract')", c.Name, org, p.Interval()))
			}
			for j, start := range drawn(r, "timestamptz", c.Timezone, 50) {
				b.db.Exec(t, fmt.Sprintf("insert into app.%s values ('r%d', %s, nullif('o%d', 'o9'), 'm')", c.Name, j, start, r.IntN(10)))
			}
		}
		asOf := pgtest.QueryOne[time.Time](t, b.admin, `select at + retention from app.z1 join sweeper.tenant_retention on tenant = org and category = 'z1' where isfinite(at) and at < '2026-01-01' order by hashtext(id || $1) limit 1`, fmt.Sprint(r.Uint32()))
		want := map[string]string{}
		for _, c := range b.set.Categories {
			due := func(period string) string {
				return fmt.Sprintf("(at > '-infinity' and at < '2900-01-01' and timezone('%[1]s', timezone('%[1]s', at) + %[2]s) <= '%[3]s') is true", c.Timezone, period, asOf.UTC().Format(time.RFC3339Nano))
			}
			want[c.Name] = b.text(t, fmt.Sprintf(`select string_agg(id || case when %s or %s then 'r' else '' end, ' ' order by id) from app.%s t left join sweeper.tenant_retention w on w.tenant = org and w.category = '%[3]s' where not (%[4]s)`,
				due("interval '"+c.Redact.After.Interval()+"'"), due("w.retention"), c.Name, due("coalesce(w.retention, interval '"+c.Delete.Interval()+"')")))
		}
		for name, o := range b.run(t, asOf) {
			if got := b.text(t, fmt.Sprintf(`select string_agg(id || case when mail is null then 'r' else '' end, ' ' order by id) from app.%s`, name)); got != want[name] {
				t.Errorf("%s as of %s: got\n%s, want\n%s", name, asOf, got, want[name])
			}
			if o.State != purge.Succeeded {
				t.Errorf("%s: %s %s", name, o.State, o.StopReason)
			}
		}
	}
}

// TestWindowWhileBatchIsOpen lengthens windows, each while a batch is in the
// middle of its work. When the call has returned, not one more row of its tenant
// goes.
func TestWindowWhileBatchIsOpen(t *testing.T) {
	t.Parallel()
	const windows, rows = 30, 50
	b := setupWith(t, fmt.Sprintf(`create schema app; create table app.events (id int primary key, at timestamptz, who text, org text); create index on app.events (at);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', 'u', case when i %% %[1]d = %[1]d / 2 then 'free' else 'o' || i %% %[2]d end from generate_series(0, %[3]d) i`, rows, windows, (windows+2)*rows-1),
		one("UTC", "    delete: {after: P5Y}\n"), tenants)
	apps := [2]*pgx.Conn{b.db.Conn(t, ""), b.db.Conn(t, "")}
	locker := func(batch int) pgx.Tx {
		tx, err := apps[batch%2].Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), `select from app.events where id = $1 for update`, batch*rows+rows/2)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	locked := locker(0)
	done := make(chan map[string]purge.Outcome, 1)
	go func() {
		done <- b.run(t, in2026, func(o *purge.Options) { o.BatchRows, o.LockTimeout, o.Workers = rows, 25*time.Second, 1 })
	}()
	kept := map[string]int{}
	operator := b.db.Conn(t, "")
	for i := range windows {
		tenant := fmt.Sprintf("o%d", i)
		pgtest.Eventually(t, "a batch waits for its row", func() bool { return b.waits(t, "transactionid") })
		set := make(chan error, 1)
		go func() {
			_, err := operator.Exec(context.WithoutCancel(t.Context()), `select sweeper.set_tenant_retention('events', $1, '100 years', 'test', 'contract')`, tenant)
			set <- err
		}()
		pgtest.Eventually(t, "the window waits for the batch in flight", func() bool { return b.waits(t, "advisory") })
		next := locker(i + 1)
		if err := locked.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		locked = next
		if err := <-set; err != nil {
			t.Fatalf("window %d: %v", i, err)
		}
		kept[tenant] = pgtest.QueryOne[int](t, b.admin, `select count(*) from app.events where org = $1`, tenant)
	}
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := (<-done)["events"]
	total := 0
	for tenant, want := range kept {
		total += want
		if got := pgtest.QueryOne[int](t, b.admin, `select count(*) from app.events where org = $1`, tenant); got != want {
			t.Errorf("tenant %s had %d rows when its window was set, and has %d", tenant, want, got)
		}
	}
	if left := pgtest.QueryOne[int](t, b.admin, `select count(*) from app.events`); total == 0 || left != total || o.State != purge.Succeeded {
		t.Errorf("%d rows are to stay, %d stay; outcome %+v", total, left, o)
	}
}

// TestWindowsStandInThePlan: a window changes the hash that an approval names,
// of its own category alone, and keeps partitions from going whole.
func TestWindowsStandInThePlan(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id int, at timestamptz, who text, org text, primary key (id, at)) partition by range (at);
		create table app.old partition of app.events for values from ('2015-01-01') to ('2016-01-01'); create table app.mid partition of app.events for values from ('2023-01-01') to ('2024-01-01'); create table app.new partition of app.events for values from ('2024-01-01') to (maxvalue);
		create table app.others (id int primary key, at timestamptz, org text);
		insert into app.events values (1, '2015-02-01', 'u', 'a'), (2, '2015-02-01', 'u', 'b'), (3, '2023-02-01', 'u', 'c'), (4, '2023-02-01', 'u', 'a')`,
		one("UTC", "    delete: {after: P5Y}\n")+"  others: {table: app.others, start_from: at, tenant: org, delete: {after: P5Y}}\n", tenants)
	owner := b.db.Role(t, "owner", "")
	b.db.Exec(t, fmt.Sprintf(`grant %[1]s to sweeper_owner; grant all on schema app to %[1]s; alter table app.events owner to %[1]s; alter table app.old owner to %[1]s`, owner))
	hashes := func() (events, others string, steps int) {
		p := b.plan(t, in2026)
		for _, c := range p.Categories() {
			if c.Policy.Name == "events" {
				events, steps = c.Hash, len(c.Steps)
			} else {
				others = c.Hash
			}
		}
		return
	}
	before, others, steps := hashes()
	stale := b.plan(t, in2026)
	b.window(t, "a", "100 years")
	b.window(t, "c", "1 year")
	after, same, reach := hashes()
	if before == after || others != same {
		t.Errorf("the hashes were %s and %s, and are %s and %s", before, others, after, same)
	}
	if steps != 1 || reach != 3 {
		t.Errorf("the plan had %d steps and has %d; the shorter window reaches into two more partitions", steps, reach)
	}
	// A plan that was made before would drop the old partition whole.
	conn := b.db.Conn(t, "sweeper_daemon")
	if whole := pgtest.QueryOne[bool](t, conn, stale.Categories()[0].Steps[0].Probe.SQL, stale.Categories()[0].Steps[0].Probe.Args...); whole {
		t.Error("the probe does not see the window")
	}
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 2 || o.PartitionsDropped != 0 {
		t.Errorf("got %+v", o)
	}
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != "1 4" {
		t.Errorf("left are %q", got)
	}
}
