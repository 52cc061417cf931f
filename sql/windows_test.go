package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// windowed registers one category of people, whose tenants may have windows
// between a floor and a ceiling.
func windowed(t *testing.T, conn *pgx.Conn, with map[string]any) {
	t.Helper()
	c := map[string]any{
		"category": "people", "relation_name": "app.people", "subject_column": "id", "tenant_column": "tenant",
		"window_min": "3 mons", "window_max": "7 years",
	}
	for name, value := range with {
		if c[name] = value; value == nil && name != "retention" {
			delete(c, name)
		}
	}
	govern(t, conn, c)
}

const setSQL = `select sweeper.set_tenant_retention($1, $2, $3::text::interval, $4, $5)`

// TestWindowsAreRefused has every argument that a window is refused for, with
// the words that its sentence must have. Nothing is changed by any of them.
func TestWindowsAreRefused(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin, operator := db.Conn(t, ""), login(t, db, "op", "sweeper_operator")
	windowed(t, admin, nil)
	for _, c := range []struct {
		args  []any
		state string
		words []string
	}{
		{[]any{nil, "north", "1 year", "me", "why"}, "22004", []string{"category"}},
		{[]any{"people", nil, "1 year", "me", "why"}, "22004", []string{"tenant"}},
		{[]any{"people", "north", nil, "me", "why"}, "22004", []string{"retention", "clear_tenant_retention"}},
		{[]any{"people", "north", "1 year", nil, "why"}, "22004", []string{"actor"}},
		{[]any{"people", "north", "1 year", "me", nil}, "22004", []string{"reason"}},
		{[]any{"people", " ", "1 year", "me", "why"}, "22023", []string{"tenant"}},
		{[]any{"people", "north", "1 year", "me", ""}, "22023", []string{"reason"}},
		{[]any{"persons", "north", "1 year", "me", "why"}, "22023", []string{`"persons"`, "people"}},
		{[]any{"people", "north", "2 mons 29 days", "me", "why"}, "22023", []string{"floor", "3 mons", "ceiling", "7 years"}},
		// 91 days are three months as intervals, and fall short of the three from
		// June to August.
		{[]any{"people", "north", "91 days", "me", "why"}, "22023", []string{"floor", "3 mons", "ceiling", "7 years"}},
		{[]any{"people", "north", "7 years 1 day", "me", "why"}, "22023", []string{"floor", "3 mons", "ceiling", "7 years"}},
		// Seven years are 2555 days where 2100 is among them, and 2557 at most.
		{[]any{"people", "north", "2556 days", "me", "why"}, "22023", []string{"ceiling"}},
		{[]any{"people", "north", "1 year -1 day", "me", "why"}, "22023", []string{"retention"}},
		{[]any{"people", "north", "-1 year", "me", "why"}, "22023", []string{"retention"}},
		{[]any{"people", "north", "1 year 1 hour", "me", "why"}, "22023", []string{"retention"}},
		{[]any{"people", "north", "8760 hours", "me", "why"}, "22023", []string{"retention"}},
		{[]any{"people", "north", "1 year 1 microsecond", "me", "why"}, "22023", []string{"retention"}},
		{[]any{"people", "north", "201 years", "me", "why"}, "22023", []string{"200 years"}},
	} {
		err := refused(t, operator, c.state, setSQL, c.args...)
		for _, word := range append(c.words, "set_tenant_retention") {
			if !strings.Contains(err.Message, word) {
				t.Errorf("%v: %q does not say %q", c.args, err.Message, word)
			}
		}
	}
	for _, with := range []map[string]any{
		{"enabled": false}, {"tenant_column": nil}, {"retention": nil}, {"allowed_days": []int{365, 730}},
	} {
		windowed(t, admin, with)
		refused(t, operator, "22023", setSQL, "people", "north", "1 year", "me", "why")
	}
	if n := pgtest.QueryOne[int](t, admin, `select (select count(*) from sweeper.tenant_retention) + (select count(*) from sweeper.operator_log)`); n != 0 {
		t.Errorf("refused calls left %d rows", n)
	}
	exec(t, operator, setSQL, "people", "north", "730 days", "me", "why")
}

// TestWindowsReachTheBounds has the windows that are just long enough from every
// start, and just short enough.
func TestWindowsReachTheBounds(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	windowed(t, conn, nil)
	for _, window := range []string{"3 mons", "92 days", "2 mons 31 days", "7 years", "84 mons", "2555 days", "6 years 365 days"} {
		exec(t, conn, setSQL, "people", "north", window, "me", "why")
	}
	windowed(t, conn, map[string]any{"window_min": nil, "window_max": nil})
	for _, window := range []string{"0 days", "200 years"} {
		exec(t, conn, setSQL, "people", "north", window, "me", "why")
	}
}

// TestExceedsIsWhatEveryDaySays holds the few starts that exceeds() looks at
// against every day of the calendar's cycle.
func TestExceedsIsWhatEveryDaySays(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	periods := `('3 mons'), ('92 days'), ('91 days'), ('1 mon'), ('31 days'), ('28 days'), ('1 year'), ('365 days'), ('366 days'), ('12 mons 3 days'), ('368 days'), ('5 years'), ('1826 days'), ('1827 days'), ('59 days'), ('2 mons')`
	wrong := texts(t, conn, `with p(x) as (select column1::interval from (values `+periods+`) v)
		select format('%s %s', a.x, b.x) from p a, p b
		 where sweeper.exceeds(a.x, b.x) <> exists (select from generate_series(timestamp '2000-01-01', timestamp '2399-12-31', interval '1 day') s where s + a.x > s + b.x)`)
	if len(wrong) != 0 {
		t.Errorf("wrong for %q", wrong)
	}
}

// TestOneTenantHasOneWindow sets it in two spellings of the tenants' type, and
// ends it by a third.
func TestOneTenantHasOneWindow(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	exec(t, conn, `create extension citext schema public`)
	for typ, names := range map[string][3]string{
		"uuid":    {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"},
		"int":     {"7", " 007 ", "+7"},
		"citext":  {"Acme", "ACME", "ACME"},
		"numeric": {"1.0", "1", "1"},
		"char(9)": {"acme", "acme  ", "acme"},
	} {
		table := fmt.Sprintf("app.t%d", len(typ)*100+int(typ[0]))
		exec(t, conn, fmt.Sprintf(`create table %s (id int primary key, tenant %s)`, table, typ))
		windowed(t, conn, map[string]any{"relation_name": table, "subject_column": nil})
		exec(t, conn, setSQL, "people", names[0], "1 year", "me", "why")
		exec(t, conn, setSQL, "people", names[1], "2 years", "you", "because")
		if got := pgtest.QueryOne[string](t, conn, `select string_agg(format('%s %s', retention, actor), ',') from sweeper.tenant_retention`); got != "2 years you" {
			t.Errorf("%s: got %q", typ, got)
		}
		exec(t, conn, `select sweeper.clear_tenant_retention('people', $1, 'me', 'why')`, names[2])
		refused(t, conn, "22023", `select sweeper.clear_tenant_retention('people', $1, 'me', 'why')`, names[2])
	}
	windowed(t, conn, nil)
	if err := refused(t, conn, "22004", `select sweeper.clear_tenant_retention('people', null, 'me', 'why')`); !strings.Contains(err.Message, "tenant") {
		t.Errorf("got %q", err.Message)
	}
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from sweeper.operator_log where function in ('set_tenant_retention', 'clear_tenant_retention')`); n != 15 {
		t.Errorf("%d calls are logged, want 15", n)
	}
}

// TestWindowsOutliveATypeChange: the column of the tenants gets another type, and
// the windows are read anew.
func TestWindowsOutliveATypeChange(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	exec(t, conn, `create table app.t (id int primary key, tenant text)`)
	windowed(t, conn, map[string]any{"relation_name": "app.t", "subject_column": nil})
	for _, tenant := range []string{"007", "north"} {
		exec(t, conn, setSQL, "people", tenant, "1 year", "me", "why")
	}
	exec(t, conn, `alter table app.t alter tenant type int using null`)
	windowed(t, conn, map[string]any{"relation_name": "app.t", "subject_column": nil})
	if got := pgtest.QueryOne[string](t, conn, `select string_agg(format('%s %s %s', tenant, type, value), ', ' order by tenant) from sweeper.tenant_retention`); got != "007 integer 7, north text north" {
		t.Errorf("got %q", got)
	}
}

// TestWindowWaitsForBatches: however a window is written, it waits for the batch
// in flight, also from a session that fires no ordinary triggers.
func TestWindowWaitsForBatches(t *testing.T) {
	t.Parallel()
	db := installed(t)
	watch, batch, operator, owner := db.Conn(t, ""), db.Conn(t, "sweeper_daemon"), login(t, db, "op", "sweeper_operator"), db.Conn(t, "")
	windowed(t, watch, nil)
	exec(t, owner, `set session_replication_role = replica`)
	for _, c := range []struct {
		conn *pgx.Conn
		sql  string
	}{
		{operator, `select sweeper.set_tenant_retention('people', 'north', '1 year', 'me', 'why')`},
		{operator, `select sweeper.clear_tenant_retention('people', 'north', 'me', 'why')`},
		{owner, `insert into sweeper.tenant_retention values ('people', 'north', 'text', 'north', '1 year', 'me', 'why')`},
		{owner, `update sweeper.tenant_retention set retention = '2 years'`},
		{owner, `delete from sweeper.tenant_retention`},
	} {
		exec(t, batch, batchFence)
		done := background(t.Context(), c.conn, c.sql)
		waits(t, watch, c.conn.PgConn().PID())
		exec(t, batch, `commit`)
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", c.sql, err)
		}
	}
	refused(t, owner, "42501", `truncate sweeper.tenant_retention`)
}

// TestDropHeedsWindows: a window that was set after the plan keeps partitions
// from going whole, of its own category alone.
func TestDropHeedsWindows(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01')`)
	exec(t, s.admin, `insert into sweeper.tenant_retention values ('others', 's', 'text', 's', '9 years', 'me', 'why')`)
	exec(t, s.admin, setSQL, "shots", "s", "9 years", "me", "why")
	if why := s.stays(t, "a window", "SW003", drop{}); !strings.Contains(why, "window") {
		t.Errorf("got %q", why)
	}
	exec(t, s.admin, `select sweeper.clear_tenant_retention('shots', 's', 'me', 'why')`)
	if n := pgtest.QueryOne[int](t, s.daemon, dropSQL, drop{}.args()...); n != 1 {
		t.Errorf("%d rows went, want 1", n)
	}
}

// TestDropByEpoch has bounds and starts in integers: the row that is due at the
// as-of goes, one unit younger it stays, and what is no time stays as well.
func TestDropByEpoch(t *testing.T) {
	t.Parallel()
	for unit, per := range map[string]int64{"s": 1, "ms": 1000, "us": 1000000} {
		const due = 1735689600 // 2025-01-01, a year before the as-of
		for start, goes := range map[int64]bool{due * per: true, due*per + 1: false, 0: false, 631152000*per - 1: false, 631152000 * per: true} {
			s := &shots{db: installed(t)}
			s.owner = s.db.Role(t, "owner", "nologin")
			s.admin, s.daemon = s.db.Conn(t, ""), s.db.Conn(t, "sweeper_daemon")
			exec(t, s.admin, fmt.Sprintf(`grant usage, create on schema app to %[1]s; set role %[1]s;
				create table app.shots (id int, who uuid, "Tenant" text, "At" int8) partition by range ("At");
				create table app.old partition of app.shots for values from (minvalue) to (%[2]d);
				create table app.young partition of app.shots for values from (%[2]d) to (maxvalue);
				grant select, delete on app.shots to sweeper_daemon; reset role; grant %[1]s to sweeper_owner; insert into app.shots values (1, null, 's', %[3]d)`, s.owner, due*per+2, start))
			govern(t, s.admin, map[string]any{"category": "shots", "relation_name": "app.shots", "subject_column": "who", "tenant_column": "Tenant", "start_unit": unit})
			if goes {
				if n := pgtest.QueryOne[int](t, s.daemon, dropSQL, drop{}.args()...); n != 1 {
					t.Errorf("%s %d: %d rows went, want 1", unit, start, n)
				}
				continue
			}
			s.stays(t, fmt.Sprint(unit, start), "SW001", drop{})
		}
	}
}
