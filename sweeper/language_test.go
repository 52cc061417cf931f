package sweeper_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// elsewhere has the start of a category in a column of another table.
func elsewhere(c *policy.Category, schema, relation, column, other, own string) {
	c.Start = policy.Start{Column: column, From: &policy.Elsewhere{
		Table: schema + "." + relation, Schema: schema, Relation: relation, Match: []policy.Match{{Other: other, Own: own}}, Pick: "max",
	}}
}

const conditions = `
	create schema app; create schema crm; create type crm.tier as enum ('free', 'paid');
	create table app.epochs (id int primary key, at bigint, secret text); create index on app.epochs (at);
	insert into app.epochs select i, extract(epoch from now() - i * interval '1 day') * 1000, 's' from generate_series(1, 1000) i;
	create table app.ended (id int, org text, mail text, secret text, primary key (id)); create table crm.relations (applicant int, ended_on date, secret text); create index on crm.relations (applicant);
	insert into app.ended select i, 'o', 'm', 's' from generate_series(1, 1000) i; insert into crm.relations select i, current_date - i, 's' from generate_series(1, 990) i;
	create table app.tenants (id int primary key, at timestamptz, org uuid); insert into app.tenants select i, now() - i * interval '1 day', case when i % 2 = 0 then 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid end from generate_series(1, 1000) i;
	create table app.raws (id int primary key, at timestamptz, "Kind of" text, tier crm.tier, secret text); insert into app.raws select i, now() - interval '9 years', case when i % 2 = 0 then 'a''b' else 'c' end, case when i % 3 = 0 then 'paid'::crm.tier else 'free' end from generate_series(1, 300) i; insert into app.raws values (0, '2010-01-01')`

// TestJourneyOfEveryCondition sweeps by an integer start, by one in another
// table, by tenants' windows and by raw SQL, through to the last entry of the
// log, with the privileges that install grants and no others.
func TestJourneyOfEveryCondition(t *testing.T) {
	t.Parallel()
	b := setupWith(t, conditions, `
version: 1
categories:
  epochs: {table: app.epochs, start_from: at, delete: {after: P90D}}
  ended: {table: app.ended, start_from: at, redact: {after: P90D, columns: {mail: "null"}}, delete: {after: P900D}}
  tenants: {table: app.tenants, start_from: at, tenant: org, delete: {after: P90D}}
  raws: {table: app.raws, start_from: at, delete: {after: P5Y}}
`, func(c *policy.Category) {
		switch c.Name {
		case "epochs":
			c.Start.Unit = "ms"
		case "ended":
			elsewhere(c, "crm", "relations", "ended_on", "applicant", "id")
		case "raws":
			c.WhereSQL = `"Kind of" = 'a''b' AND tier IN ('free') AND NOT (lower("Kind of") LIKE 'z%') OR id = -1`
		}
	})
	b.db.Exec(t, `select sweeper.set_tenant_retention('tenants', 'A0EEBC999C0B4EF8BB6D6BB9BD380A11', '900 days', 'test', 'contract')`)
	for range 2 {
		for name, o := range b.sweep(t) {
			if o.State != purge.Succeeded {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
	for sql, want := range map[string]string{
		`select count(*) || ' ' || max(id) from app.epochs`:                                                                                                                               "89 89",
		`select count(*) || ' ' || count(mail) || ' ' || string_agg(id::text, ' ') filter (where id > 990) from app.ended`:                                                                "910 100 991 992 993 994 995 996 997 998 999 1000",
		`select count(*) filter (where org is null) || ' ' || count(org) from app.tenants`:                                                                                                "45 449",
		`select count(*) || ' ' || count(*) filter (where "Kind of" = 'a''b' and tier = 'free') from app.raws`:                                                                            "201 0",
		`select string_agg(category || ' ' || n, ', ' order by category) from (select category, sum(row_count) n from sweeper.purge_log where kind in ('delete', 'redact') group by 1) s`: "ended 900, epochs 911, raws 100, tenants 506",
	} {
		if got := b.text(t, sql); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	daemon := b.db.Conn(t, "sweeper_daemon")
	for _, sql := range []string{
		`select secret from app.epochs`, `select secret from app.ended`, `select secret from crm.relations`, `select secret from app.raws`, `select org from app.ended`,
		`delete from crm.relations`, `update crm.relations set ended_on = null`, `update app.ended set org = null`, `update app.epochs set at = 0`,
	} {
		if _, err := daemon.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("the purging role may: %s (%v)", sql, err)
		}
	}
}

// TestRawConditionsAreRefused has what where_sql must not be, with the words of
// the refusal, and that none of it leaves anything behind.
func TestRawConditionsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, conditions+`;
		create function app.quiet(int) returns boolean language sql immutable as 'select true'; create operator app.=== (leftarg = int, rightarg = int, function = int4eq);
		grant usage on schema app to public`, `
version: 1
categories:
  raws: {table: app.raws, start_from: at, delete: {after: P5Y}}
`)
	for raw, want := range map[string]string{
		`id = 1; drop table app.raws`: "semicolon", `id = 1 -- all`: "comment", `id = 1 /* all */`: "comment", `id = $1`: "$", `id::text = $$1$$`: "$",
		`secret = E'a\'b'`: "literal that begins with E'", `secret = U&'a'`: "literal that begins with U&", `secret = 'a`: "quote", `"id = 1`: "quote",
		`id IN (SELECT 1)`: "SELECT", `EXISTS (TABLE app.raws)`: "TABLE", `id IN (VALUES (1))`: "VALUES", `id = 1) OR (id = 2`: "42601", `id = 1 LIMIT 1`: "42601",
		`id = 1 ORDER BY id`: "42601", `id = 1 GROUP BY id`: "42601", `nothing = 1`: "42703", `id`: "42804", `count(*) > 1`: "42803", `id = 'x'`: "always means the same", `random() < 0.5`: "always means the same", `at < now()`: "always means the same",
		`at::date = '2010-01-01'`: "always means the same", `at::text = 'x'`: "always means the same", `app.quiet(id)`: "always means the same", `id OPERATOR(app.===) 1`: "always means the same",
		`pg_sleep(9) IS NOT NULL`: "always means the same", `generate_series(1, id) > 0`: "0A000", ``: "",
		`id = 1 AND tier = 'paid' AND extract(year from at AT TIME ZONE 'UTC') = 2010 AND coalesce("Kind of", 'select; -- "') <> 'it''s'`: "",
		`t.id = 1 AND "at" < '2020-01-01 00:00:00+00'`: "",
	} {
		b.set.Categories[0].WhereSQL = raw
		if _, err := sweeper.Install(t.Context(), b.cfg, b.log, b.set, false); err != nil && !strings.Contains(err.Error(), "where_sql") {
			t.Errorf("install %q: %v", raw, err)
		}
		_, err := sweeper.Lint(t.Context(), b.cfg, b.set)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", raw, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %q", raw, err, want)
		}
	}
	if got := b.text(t, `select count(*) from pg_class where relname in ('t', 'sweeper_where')`); got != "0" {
		t.Errorf("%s relations are left behind", got)
	}
}

// TestUnitOfTheData refuses a unit that puts most of the values where nobody has
// them, and says which it may be; single odd values are the rows' own.
func TestUnitOfTheData(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.epochs (id int primary key, at bigint)`, `
version: 1
categories:
  epochs: {table: app.epochs, start_from: at, delete: {after: P90D}}
`, func(c *policy.Category) { c.Start.Unit = "s" })
	ask := func(unit string) string {
		b.set.Categories[0].Start.Unit = unit
		if _, err := sweeper.Lint(t.Context(), b.cfg, b.set); err != nil {
			return err.Error()
		}
		return ""
	}
	for _, unit := range []string{"s", "ms", "us"} {
		if got := ask(unit); got != "" {
			t.Errorf("an empty table in %s: %s", unit, got)
		}
	}
	for meant, c := range map[string]struct {
		per  int64
		says map[string]string
	}{
		"s":  {1, map[string]string{"s": "", "ms": "before 1990; is the unit s?", "us": "before 1990; is the unit ms, or s?"}},
		"ms": {1000, map[string]string{"s": "after the year 2100; is the unit ms?", "ms": "", "us": "before 1990; is the unit ms, or s?"}},
		"us": {1000000, map[string]string{"s": "after the year 2100; is the unit ms?", "ms": "after the year 2100; is the unit us?", "us": ""}},
	} {
		b.db.Exec(t, fmt.Sprintf(`truncate app.epochs; insert into app.epochs select i, (1600000000 + i) * %d::int8 from generate_series(1, 100) i; insert into app.epochs values (0, 0), (-1, 9223372036854775807), (-2, null)`, c.per))
		for unit, want := range c.says {
			if got := ask(unit); (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("%s read as %s: got %q, want %q", meant, unit, got, want)
			}
		}
	}
	// Who may not read the table cannot tell, and need not.
	ask("s")
	b.db.Exec(t, `revoke all on app.epochs from sweeper_daemon; revoke select (id, at, ctid) on app.epochs from sweeper_daemon`)
	if got := ask("us"); got != "" {
		t.Errorf("without the privilege: %s", got)
	}
}
