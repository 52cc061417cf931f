package killtest_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// schema is an application's: rows that go in time order, people who are
// redacted and later deleted, walked by blocks, partitions that are dropped, and
// leaves that go by rows, which two processes share.
const schema = `
do $$ begin create role kill_owner nologin; exception when duplicate_object or unique_violation then null; end $$;
create schema app;
create table app.events (id bigint generated always as identity primary key, at timestamptz not null, tenant text not null, who text not null);
create index on app.events (at);
create table app.people (id bigint generated always as identity primary key, at timestamptz not null, who text not null, email text, name text);
create table app.shots (id bigint generated always as identity, at timestamptz not null, tenant text not null, who text not null, primary key (id, at)) partition by range (at);
create table app.shots_young partition of app.shots for values from ('2020-01-01') to ('2100-01-01');
create table app.shots_rest partition of app.shots default;
create table app.marks (id bigint generated always as identity, at timestamptz not null, who text not null, region int not null, primary key (id, region)) partition by list (region);
do $$ begin for i in 0 .. 5 loop execute format('create table app.marks_%s partition of app.marks for values in (%s)', i, i); end loop; end $$;
alter schema app owner to kill_owner;
do $$ declare r regclass; begin
	for r in select oid from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') loop
		execute format('alter table %s owner to kill_owner', r);
	end loop;
end $$;`

const policies = `version: 1
categories:
  events: {table: app.events, subject: who, tenant: tenant, start_from: at, delete: {after: P1Y}, schedule: {every: 1s}}
  people: {table: app.people, subject: who, evidence: row, start_from: at, redact: {after: P90D, columns: {email: {hmac: "redacted-%s"}, name: "null"}}, delete: {after: P5Y}, schedule: {every: 1s}}
  shots: {table: app.shots, subject: who, tenant: tenant, start_from: at, delete: {after: P1Y}, partitions: drop, schedule: {every: 1s}}
  marks: {table: app.marks, subject: who, evidence: row, start_from: at, delete: {after: P1Y}, schedule: {every: 1s}}
`

// site is one application's database, with sweeper installed or about to be.
type site struct {
	url   func(user string) string
	slot  string // of sweeper; the witness has another
	file  string // of the policies
	env   []string
	fed   int // how often feed was called
	admin *pgx.Conn
}

// newSite makes a site on the server that all tests share.
func newSite(t *testing.T) *site {
	t.Helper()
	db := pgtest.Database(t)
	s := &site{url: db.URL, slot: db.Slot()}
	s.prepare(t)
	return s
}

// ownServer makes a site on a server that this test may crash.
func ownServer(t *testing.T) (*site, *pgserver.Server) {
	t.Helper()
	server := pgtest.Server(t, pgserver.Options{Durable: true, Sources: []pgserver.Source{pgserver.Binaries, pgserver.Download}})
	s := &site{slot: "sweeper", url: func(user string) string {
		if user == "" {
			user = pgserver.Superuser
		}
		return server.URL("postgres", user)
	}}
	s.prepare(t)
	return s, server
}

// roles serialises what PostgreSQL does badly at once: grants of one role.
var roles sync.Mutex

// prepare makes the schema and the witness. Nothing is installed yet.
func (s *site) prepare(t *testing.T) {
	t.Helper()
	s.file = filepath.Join(t.TempDir(), "policies.yaml")
	s.write(t, policies)
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"SWEEPER_DATABASE_URL=" + s.url("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + s.url("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + s.url(""), "SWEEPER_SLOT=" + s.slot, "SWEEPER_HMAC_KEY=" + key, "SWEEPER_POLICIES=" + s.file,
		"SWEEPER_APPROVE=auto", "SWEEPER_BATCH_ROWS=40", "SWEEPER_LOG_LEVEL=warn", "SWEEPER_HTTP_ADDR=off",
	}
	s.connect(t)
	s.exec(t, schema)
	s.exec(t, `select pg_create_logical_replication_slot($1, 'test_decoding')`, s.slot+"_truth")
}

// write puts a policy file in the place of the one that is there.
func (s *site) write(t *testing.T, text string) {
	t.Helper()
	next := s.file + ".new"
	err := os.WriteFile(next, []byte(text), 0o600)
	if err == nil {
		err = os.Rename(next, s.file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// connect opens the connection of the test's own questions.
func (s *site) connect(t *testing.T) {
	t.Helper()
	s.admin = s.another(t)
}

func (s *site) another(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.url(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // a crash may have ended it
	return conn
}

func (s *site) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
}

// text is the one value of a query, as text; NULL is "".
func (s *site) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	if v := pgtest.QueryOne[*string](t, s.admin, "select ("+sql+")::text", args...); v != nil {
		return *v
	}
	return ""
}

// install installs sweeper, lets it drop partitions, and puts one subject
// under a hold.
func (s *site) install(t *testing.T) {
	t.Helper()
	roles.Lock()
	defer roles.Unlock()
	if e := s.start(t, nil, "install").End(); e.Code != 0 {
		t.Fatalf("install ended with %s", e)
	}
	s.exec(t, `grant kill_owner to sweeper_owner`)
	s.exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
}

// feed puts in work for one sweep: rows that are due, and some of the held
// subject among them; three partitions to drop, of which the held row keeps one.
func (s *site) feed(t *testing.T) {
	t.Helper()
	s.fed++
	s.exec(t, `insert into app.events (at, tenant, who) select '2012-01-01'::timestamptz + $1 * interval '1 day' + i * interval '1 minute', 't' || i % 3,
		case when i % 100 = 50 then 'held' else 's' || i % 40 end from generate_series(1, 300) i`, s.fed)
	s.exec(t, `insert into app.people (at, who, email, name) select now() - case when i % 2 = 0 then interval '1 year' else interval '6 years' end,
		case when i % 100 < 2 then 'held' else 's' || i % 40 end, format('user%s-%s@example.com', $1::int, i), 'name ' || i from generate_series(1, 200) i`, s.fed)
	s.mark(t, 60)
	if s.text(t, `select count(*) > 8 from pg_class where relname like 'shots\_p%' and relkind = 'r'`) == "true" {
		return // there are some left, of processes that were killed too soon
	}
	for i := range 3 {
		day := 3*s.fed + i
		name := "shots_p" + itoa(day)
		if i == 0 {
			name = "shots_kept" + itoa(day)
		}
		tx, err := s.admin.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.exec(t, `do $$ begin execute format('create table app.`+name+` partition of app.shots for values from (%L) to (%L)',
			'2000-01-01'::timestamptz + `+itoa(day)+` * interval '1 day', '2000-01-02'::timestamptz + `+itoa(day)+` * interval '1 day');
			execute 'alter table app.`+name+` owner to kill_owner'; end $$`)
		s.exec(t, `insert into app.shots (at, tenant, who) select '2000-01-01'::timestamptz + $1 * interval '1 day' + i * interval '1 minute', 't' || i % 3,
			case when $2 and i = 7 then 'held' else 'visitor' end from generate_series(1, 60) i`, day, i == 0)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// mark puts n due rows into the leaves that go by rows.
func (s *site) mark(t *testing.T, n int) {
	t.Helper()
	s.exec(t, `insert into app.marks (at, who, region) select '2012-01-01'::timestamptz + i * interval '1 minute', case when i % 100 = 50 then 'held' else 's' || i % 40 end, i % 6
		from generate_series(1, $1::int) i`, n)
}
