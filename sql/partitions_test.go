package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// shots is a partitioned table: app.shots by column "At", its leaves app.old
// and app.young, its owner a role of which sweeper_owner is a member.
type shots struct {
	db            *pgtest.DB
	admin, daemon *pgx.Conn
	owner         string
}

// drop is what the daemon says of a partition, by the names of the arguments.
type drop struct {
	leaf, zone, retention, asOf, manifest string
	tenant                                any
}

// partitioned makes the table with a start column of a type, cut at 2021-01-01.
func partitioned(t *testing.T, startType string) *shots {
	t.Helper()
	s := &shots{db: installed(t)}
	s.owner = s.db.Role(t, "owner", "nologin")
	s.admin, s.daemon = s.db.Conn(t, ""), s.db.Conn(t, "sweeper_daemon")
	exec(t, s.admin, fmt.Sprintf(`grant usage on schema app to %[1]s; grant create on schema app to %[1]s;
		create domain app.day as date; set role %[1]s;
		create table app.shots (id int, who uuid, "Tenant" text, "At" %[2]s) partition by range ("At");
		create table app.old partition of app.shots for values from ('2019-01-01') to ('2022-01-01');
		create table app.young partition of app.shots for values from ('2022-01-01') to ('2030-01-01');
		grant select, delete on app.shots to sweeper_daemon; reset role`, s.owner, startType))
	exec(t, s.admin, `grant `+s.owner+` to sweeper_owner`)
	s.govern(t, "1 year")
	return s
}

func (s *shots) govern(t *testing.T, retention string) {
	t.Helper()
	govern(t, s.admin, map[string]any{
		"category": "shots", "relation_name": "app.shots", "subject_column": "who", "tenant_column": "Tenant", "retention": retention,
	})
}

const dropSQL = `select sweeper.drop_partition($1::text::regclass, $2::text::regclass, 'At', $3, $4::text::interval, $5::text::timestamptz, $6, 'who', $7::name,
	'shots', 'manual', 'law', 'me', '11111111-1111-1111-1111-111111111111', '\x00', now())`

// args fills in what a test does not care for.
func (d drop) args() []any {
	or := func(v, other string) string {
		if v == "" {
			return other
		}
		return v
	}
	tenant := d.tenant
	if tenant == nil {
		tenant = "Tenant"
	}
	return []any{"app.shots", or(d.leaf, "app.old"), or(d.zone, "UTC"), or(d.retention, "1 year"), or(d.asOf, "2026-01-01"), or(d.manifest, "count"), tenant}
}

// stays asserts that a refused drop has left everything as it was.
func (s *shots) stays(t *testing.T, what, state string, d drop) string {
	t.Helper()
	before := pgtest.QueryOne[string](t, s.admin, leftSQL)
	err := refused(t, s.daemon, state, dropSQL, d.args()...)
	if after := pgtest.QueryOne[string](t, s.admin, leftSQL); after != before {
		t.Errorf("%s: got %q after a refusal, had %q", what, after, before)
	}
	return err.Message
}

const leftSQL = `select (select string_agg(inhrelid::regclass::text, ',' order by 1) from pg_inherits where inhparent = 'app.shots'::regclass)
	|| ' ' || (select count(*) from app.shots) || ' ' || (select count(*) from sweeper.batches where fact in ('stamp', 'report'))`

func TestDropPartition(t *testing.T) {
	t.Parallel()
	for manifest, want := range map[string]string{
		"count": `4 [{"rows": 1, "tenant": "n"}, {"rows": 2, "tenant": "s"}, {"rows": 1, "tenant": null}]`,
		"none":  " ",
	} {
		s := partitioned(t, "timestamptz")
		exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01'), (2, 'n', '2020-02-01'), (3, null, '2020-03-01'), (4, 's', '2020-04-01'),
			(5, 's', '2025-01-01')`)
		exec(t, s.daemon, `set lock_timeout = '7s'`)
		wantN := map[string]string{"count": "4"}[manifest]
		if n := pgtest.QueryOne[string](t, s.daemon, "select coalesce(("+dropSQL+")::text, '')", drop{manifest: manifest}.args()...); n != wantN {
			t.Errorf("%s: %q rows went, want %q", manifest, n, wantN)
		}
		if got := pgtest.QueryOne[string](t, s.daemon, `show lock_timeout`); got != "7s" {
			t.Errorf("the caller's lock_timeout is %s now", got)
		}
		if got := pgtest.QueryOne[string](t, s.admin, leftSQL); got != "app.young 1 2" {
			t.Errorf("%s: left is %q", manifest, got)
		}
		stamp := pgtest.QueryOne[string](t, s.admin, `select format('%s %s %s %s %s %s %s %s %s', kind, reason, category, relation, partition, basis, actor, run_id, row_count)
			from sweeper.batches where fact = 'stamp'`)
		if want := "drop_partition manual shots app.shots app.old law me 11111111-1111-1111-1111-111111111111 "; stamp != want {
			t.Errorf("stamp: got %q, want %q", stamp, want)
		}
		report := pgtest.QueryOne[string](t, s.admin, `select format('%s %s', r.row_count, r.tenants) from sweeper.batches r
			join sweeper.batches s on s.fact = 'stamp' and s.xid = r.xid and s.batch_id < r.batch_id and s.run_id = r.run_id
			where r.fact = 'report' and r.kind = 'drop_partition' and r.relation = 'app.shots' and r.partition = 'app.old' and r.category = 'shots'`)
		if report != want {
			t.Errorf("%s: report is %q, want %q", manifest, report, want)
		}
	}
}

// TestDropAtTheBoundary: a row whose start plus the retention is the as-of
// goes; one microsecond less, and it stays. Zones change their clocks inside
// the retention.
func TestDropAtTheBoundary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ startType, start, zone, retention, due string }{
		{"timestamptz", "2020-03-01 00:00:00+00", "UTC", "1 year", "2021-03-01 00:00:00+00"},
		{"timestamptz", "2020-02-29 12:00:00+00", "UTC", "1 year", "2021-02-28 12:00:00+00"},
		{"timestamptz", "2021-03-27 12:00:00+01", "Europe/Berlin", "1 day", "2021-03-28 12:00:00+02"},
		{"timestamptz", "2021-11-06 12:00:00-04", "America/New_York", "1 day", "2021-11-07 12:00:00-05"},
		{"timestamptz", "2021-03-27 02:30:00+01", "Europe/Berlin", "1 day", "2021-03-28 03:30:00+02"}, // 02:30 does not exist
		{"timestamptz", "2021-10-30 02:30:00+02", "Europe/Berlin", "1 day", "2021-10-31 02:30:00+01"}, // it comes twice: the later one
		{"timestamptz", "2020-01-31 23:30:00+00", "Asia/Tokyo", "1 mon", "2020-02-29 23:30:00+00"},    // February 1st there
		{"timestamp", "2020-03-01 00:00:00", "UTC", "1 year", "2021-03-01 00:00:00+00"},
		{"timestamp", "2021-03-27 12:00:00", "Europe/Berlin", "1 day", "2021-03-28 10:00:00+00"},
		{"timestamp", "2021-06-01 00:00:00", "Pacific/Apia", "1 mon", "2021-06-30 11:00:00+00"},
		{"date", "2020-03-01", "UTC", "1 year", "2021-03-02 00:00:00+00"},
		{"date", "2021-03-27", "Europe/Berlin", "1 day", "2021-03-28 22:00:00+00"},
		{"date", "2021-11-06", "America/New_York", "1 day", "2021-11-08 05:00:00+00"},
		{"app.day", "2020-03-01", "UTC", "1 year", "2021-03-02 00:00:00+00"}, // a domain
	} {
		name := strings.Join([]string{c.startType, c.start, c.zone, c.retention}, " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := partitioned(t, c.startType)
			s.govern(t, c.retention)
			exec(t, s.admin, `insert into app.shots (id, "At") values (1, '`+c.start+`'), (2, '2019-06-01')`)
			exec(t, s.daemon, `set timezone = 'Pacific/Auckland'`) // the session's zone is nobody's business
			at := drop{zone: c.zone, retention: c.retention, asOf: c.due}
			early := at
			early.asOf = pgtest.QueryOne[string](t, s.admin, `select ($1::text::timestamptz - interval '1 microsecond')::text`, c.due)
			if message := s.stays(t, "one microsecond early", "SW001", early); !strings.Contains(message, "1 of the rows in app.old") {
				t.Errorf("%q does not say how many", message)
			}
			exec(t, s.daemon, dropSQL, at.args()...)
			if got := pgtest.QueryOne[string](t, s.admin, leftSQL); got != "app.young 0 2" {
				t.Errorf("left is %q", got)
			}
		})
	}
}

// TestDropKeepsWhatHasNoStart: starts that are none, or none that can be added
// to, are never due.
func TestDropKeepsWhatHasNoStart(t *testing.T) {
	t.Parallel()
	for _, startType := range []string{"timestamptz", "timestamp", "date"} {
		for start, bounds := range map[string]string{"-infinity": `from (minvalue) to ('2022-01-01')`, "infinity": `from ('2030-01-01') to (maxvalue)`} {
			s := partitioned(t, startType)
			exec(t, s.admin, `drop table app.old; set role `+s.owner+`; create table app.old partition of app.shots for values `+bounds+`;
				reset role; insert into app.shots (id, "At") values (1, '`+start+`')`)
			s.stays(t, startType+" "+start, "SW001", drop{})
		}
	}
}

func TestDropSparesHeldRows(t *testing.T) {
	t.Parallel()
	const a = "00000000-0000-0000-0000-00000000000A"
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, who, "Tenant", "At") values (1, '`+a+`', 'n', '2020-01-01'), (2, null, 's', '2020-02-01'),
		(3, '00000000-0000-0000-0000-00000000000c', null, '2020-03-01')`)
	for _, c := range []struct {
		args string
		held int
	}{
		{`'` + a + `', 'r', 'me'`, 1},
		{`'` + a + `', 'r', 'me', tenant => 'n'`, 1},
		{`'00000000-0000-0000-0000-00000000000C', 'r', 'me', tenant => 'n'`, 1},
		{`null, 'r', 'me', tenant => 's'`, 1},
		{`null, 'r', 'me', category => 'shots'`, 3},
		{`null, 'r', 'me', relation => 'app.shots'`, 3},
	} {
		id := pgtest.QueryOne[int64](t, s.admin, `select sweeper.apply_hold(`+c.args+`)`)
		if message := s.stays(t, c.args, "SW002", drop{}); !strings.HasPrefix(message, fmt.Sprintf("%d of the rows", c.held)) {
			t.Errorf("%s: %q does not count %d rows", c.args, message, c.held)
		}
		exec(t, s.admin, `select sweeper.release_hold($1, 'r', 'me')`, id)
	}
	exec(t, s.admin, `select sweeper.apply_hold('`+a+`', 'r', 'me', tenant => 's')`)
	exec(t, s.admin, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000d', 'r', 'me')`)
	exec(t, s.admin, `insert into sweeper.legal_holds (category, reason, applied_by, expires_at) values ('shots', 'r', 'me', now())`)
	exec(t, s.daemon, dropSQL, drop{}.args()...)
}

// TestDropSparesHeldRowsOfAnotherCategory: a category that only redacts has its
// own name and its own subjects, by which holds find rows of the partition.
func TestDropSparesHeldRowsOfAnotherCategory(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 'n', '2020-01-01'), (2, 's', '2020-02-01')`)
	govern(t, s.admin,
		map[string]any{"category": "shots", "relation_name": "app.shots", "subject_column": "who", "tenant_column": "Tenant"},
		map[string]any{"category": "seen", "relation_name": "app.shots", "subject_column": "Tenant", "retention": nil})
	for _, c := range []struct {
		args string
		held int
	}{
		{`null, 'r', 'me', category => 'seen'`, 2},
		{`'n', 'r', 'me'`, 1},
		{`'s', 'r', 'me', category => 'seen'`, 1},
	} {
		id := pgtest.QueryOne[int64](t, s.admin, `select sweeper.apply_hold(`+c.args+`)`)
		if message := s.stays(t, c.args, "SW002", drop{}); !strings.HasPrefix(message, fmt.Sprintf("%d of the rows", c.held)) {
			t.Errorf("%s: %q does not count %d rows", c.args, message, c.held)
		}
		exec(t, s.admin, `select sweeper.release_hold($1, 'r', 'me')`, id)
	}
	exec(t, s.admin, `select sweeper.apply_hold('n', 'r', 'me', category => 'shots')`) // is no subject of it
	exec(t, s.daemon, dropSQL, drop{}.args()...)
}

// TestDropRefuses: leaves that may not go, and calls that do not fit the
// policies. spoil runs as the table's owner, or as a superuser.
func TestDropRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil string
		state string
		says  string
		drop  drop
	}{
		"default partition":     {`create table app.rest partition of app.shots default`, "SW003", "default", drop{leaf: "app.rest"}},
		"last partition":        {`drop table app.young`, "SW003", "last", drop{}},
		"last beside default":   {`drop table app.young; create table app.rest partition of app.shots default`, "SW003", "last", drop{}},
		"foreign leaf":          {`create table app.others (like app.shots) partition by range ("At"); create table app.theirs partition of app.others for values from ('2019-01-01') to ('2020-01-01')`, "SW003", "not a partition of app.shots", drop{leaf: "app.theirs"}},
		"no partition at all":   {`create table app.plain (like app.shots)`, "SW003", "not a partition", drop{leaf: "app.plain"}},
		"the root itself":       {``, "SW003", "ordinary table", drop{leaf: "app.shots"}},
		"sub-partitioned":       {`create table app.deep partition of app.shots for values from ('2010-01-01') to ('2011-01-01') partition by range ("At")`, "SW003", "ordinary table", drop{leaf: "app.deep"}},
		"leaf of the leaf":      {`create table app.deep partition of app.shots for values from ('2010-01-01') to ('2011-01-01') partition by range ("At"); create table app.deeper partition of app.deep default`, "SW003", "not a partition of app.shots", drop{leaf: "app.deeper"}},
		"delete trigger":        {`create trigger t after delete on app.old for each row execute function app.nothing()`, "SW003", "triggers", drop{}},
		"row trigger of root":   {`create trigger t after delete on app.shots for each row execute function app.nothing()`, "SW003", "triggers", drop{}},
		"statement trigger":     {`create trigger t after delete on app.shots for each statement execute function app.nothing()`, "SW003", "triggers", drop{}},
		"foreign key":           {`alter table app.shots add primary key (id, "At"); create table app.refers (id int, "At" timestamptz, foreign key (id, "At") references app.shots)`, "SW003", "foreign keys", drop{}},
		"foreign key of a leaf": {`alter table app.old add primary key (id); create table app.refers (id int references app.old)`, "SW003", "foreign keys", drop{}},
		"hidden rows":           {`alter table app.old enable row level security; alter table app.old force row level security`, "42501", "row-level security", drop{}},
		"row security":          {`alter table app.shots enable row level security; alter table app.shots force row level security`, "", "", drop{}}, // the leaf's is what counts
		"other retention":       {``, "22023", "does not govern", drop{retention: "1 day"}},
		"no tenant":             {``, "22023", "does not govern", drop{tenant: "none"}},
		"as-of in the future":   {``, "22023", "future", drop{asOf: "2100-01-01"}},
		"manifest":              {``, "22023", "manifest", drop{manifest: "all"}},
		"view on the leaf":      {`create view app.seen as select id from app.old`, "2BP01", "", drop{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := partitioned(t, "timestamptz")
			exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01')`)
			exec(t, s.admin, `create function app.nothing() returns trigger language plpgsql as 'begin return null; end'`)
			exec(t, s.admin, `set role `+s.owner)
			exec(t, s.admin, c.spoil)
			exec(t, s.admin, `reset role`)
			if c.state == "" {
				exec(t, s.daemon, dropSQL, c.drop.args()...)
			} else if message := s.stays(t, name, c.state, c.drop); !strings.Contains(message, c.says) {
				t.Errorf("%q does not say %q", message, c.says)
			}
		})
	}
}

func TestDropRefusesTheMissingAndTheNull(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	for i, name := range []string{"root", "", "zone", "retention", "as_of", "manifest"} {
		args := drop{}.args()
		args[i] = nil
		if name == "" {
			refused(t, s.daemon, "SW003", dropSQL, args...)
		} else if err := refused(t, s.daemon, "22004", dropSQL, args...); !strings.Contains(err.Message, name) {
			t.Errorf("%q does not name %s", err.Message, name)
		}
	}
	exec(t, s.admin, `update sweeper.governed set enabled = false`)
	s.stays(t, "disabled", "22023", drop{})
	exec(t, s.admin, `update sweeper.governed set enabled = true, mode = 'observe'`)
	s.stays(t, "observed", "22023", drop{})
	govern(t, s.admin,
		map[string]any{"category": "shots", "relation_name": "app.shots", "subject_column": "who", "tenant_column": "Tenant"},
		map[string]any{"category": "longer", "relation_name": "app.shots", "retention": "9 years"})
	if message := s.stays(t, "another category", "SW003", drop{}); !strings.Contains(message, "another category") {
		t.Errorf("got %q", message)
	}
}

func TestDropOfOtherKeys(t *testing.T) {
	t.Parallel()
	for says, by := range map[string]string{
		"not partitioned by RANGE": `list ("At")`,
		"start column alone":       `range ("At", id)`,
	} {
		s := partitioned(t, "timestamptz")
		exec(t, s.admin, `drop table app.shots; set role `+s.owner+`; create table app.shots (id int, who uuid, "Tenant" text, "At" timestamptz) partition by `+by)
		if strings.HasPrefix(by, "list") {
			exec(t, s.admin, `create table app.old partition of app.shots for values in ('2020-01-01'); create table app.young partition of app.shots for values in ('2024-01-01')`)
		} else {
			exec(t, s.admin, `create table app.old partition of app.shots for values from ('2019-01-01', 0) to ('2022-01-01', 0);
				create table app.young partition of app.shots for values from ('2022-01-01', 0) to ('2032-01-01', 0)`)
		}
		exec(t, s.admin, `reset role; grant delete on app.shots to sweeper_daemon`)
		s.govern(t, "1 year")
		if message := s.stays(t, by, "SW003", drop{}); !strings.Contains(message, says) {
			t.Errorf("%q does not say %q", message, says)
		}
	}
}

// TestDropPrivileges: the function lends nothing to a caller who may not
// delete, and does nothing where sweeper_owner is no member of the owner.
func TestDropPrivileges(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "At") values (1, '2020-01-01')`)
	exec(t, s.admin, `revoke delete on app.shots from sweeper_daemon`)
	s.stays(t, "a caller without DELETE", "42501", drop{})
	exec(t, s.admin, `grant delete on app.shots to sweeper_daemon; revoke `+s.owner+` from sweeper_owner`)
	s.stays(t, "sweeper_owner no member", "42501", drop{})
	exec(t, s.admin, `set role sweeper_daemon; begin`)
	refused(t, s.admin, "42501", dropSQL, drop{}.args()...)
	exec(t, s.admin, `rollback; reset role; grant `+s.owner+` to sweeper_owner`)
	for _, level := range []string{"repeatable read", "serializable"} {
		exec(t, s.daemon, `begin isolation level `+level)
		refused(t, s.daemon, "25001", dropSQL, drop{}.args()...)
		exec(t, s.daemon, `rollback`)
	}
	exec(t, s.daemon, dropSQL, drop{}.args()...)
}

// detachSQL is dropSQL for a policy that detaches.
var detachSQL = strings.Replace(dropSQL, "drop_partition", "detach_partition", 1)

// TestNoManifestStillJudges: a manifest of none counts nothing, and lets no row
// go that is young or held.
func TestNoManifestStillJudges(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01'), (2, 's', '2021-06-01')`)
	none := drop{manifest: "none"}
	early := none
	early.asOf = "2022-01-01"
	if message := s.stays(t, "young", "SW001", early); !strings.HasPrefix(message, "some of the rows in app.old are not due") {
		t.Errorf("got %q", message)
	}
	id := pgtest.QueryOne[int64](t, s.admin, `select sweeper.apply_hold(null, 'r', 'me', tenant => 's')`)
	s.stays(t, "held", "SW002", none)
	exec(t, s.admin, `select sweeper.release_hold($1, 'r', 'me')`, id)
	exec(t, s.daemon, dropSQL, none.args()...)
}
