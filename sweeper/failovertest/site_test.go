package failovertest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// schema is an application's, and its own witness: triggers write down in the
// same transaction what every transaction deletes and updates, so that it
// survives a failover exactly as far as the transaction itself does.
const schema = `
create role app_owner nologin;
create schema app;
create table app.events (id bigint generated always as identity primary key, at timestamptz not null, who text not null);
create index on app.events (at);
create table app.people (id bigint generated always as identity primary key, at timestamptz not null, who text not null, email text);
create table app.shots (id bigint generated always as identity, at timestamptz not null, who text not null, primary key (id, at)) partition by range (at);
create table app.shots_young partition of app.shots for values from ('2020-01-01') to ('2100-01-01');
create table app.shots_rest partition of app.shots default;
create table app.witness (xid bigint not null, lsn pg_lsn not null, noticed timestamptz not null, relation text not null, op text not null, id bigint not null, start timestamptz not null, who text not null);
create function app.see() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
	insert into app.witness select pg_current_xact_id()::text::bigint, pg_current_wal_insert_lsn(), clock_timestamp(), 'app.' || tg_table_name, tg_op, id, at, who from gone;
	return null;
end $$;
create trigger sees_delete after delete on app.events referencing old table as gone for each statement execute function app.see();
create trigger sees_delete after delete on app.people referencing old table as gone for each statement execute function app.see();
create trigger sees_update after update on app.people referencing old table as gone for each statement execute function app.see();
alter schema app owner to app_owner;
alter table app.events owner to app_owner;
alter table app.people owner to app_owner;
alter table app.shots owner to app_owner;
alter table app.shots_young owner to app_owner;
alter table app.shots_rest owner to app_owner;`

const policies = `version: 1
categories:
  events: {table: app.events, subject: who, start_from: at, delete: {after: P1Y}, schedule: {every: 1s}}
  people: {table: app.people, subject: who, start_from: at, redact: {after: P90D, columns: {email: {hmac: "redacted-%s"}}}, delete: {after: P5Y}, schedule: {every: 1s}}
  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P1Y}, partitions: drop, schedule: {every: 1s}}
`

// due counts what must be gone in the end.
var due = map[string]string{
	"due rows are left in app.events": `select count(*) from app.events where at + interval '1 year' <= now() and who <> 'held'`,
	"due rows are left in app.shots":  `select count(*) from app.shots where at + interval '1 year' <= now() and who <> 'held'`,
	"due rows are left in app.people": `select count(*) from app.people where at + interval '5 years' <= now() and who <> 'held'`,
	"due people are not redacted":     `select count(*) from app.people where at + interval '90 days' <= now() and email not like 'redacted-%' and who <> 'held'`,
}

// site is an application's database on a primary and a standby, with sweeper
// beside it. Both servers are always in the URLs.
type site struct {
	servers [2]*pgserver.Server
	ports   [2]int
	primary int // which of the two it is
	major   int
	file    string // of the policies
	env     []string
	fed     int
	admin   *pgx.Conn // to the primary
}

// standbySettings are those of every server: each may become the other's
// primary. A server that knows failover slots has them all follow.
func (s *site) standbySettings() map[string]string {
	settings := map[string]string{"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "200ms"}
	if s.followed() {
		settings["sync_replication_slots"] = "on"
	}
	return settings
}

// followed tells whether slots follow to the standby.
func (s *site) followed() bool { return s.major >= 17 }

// physical is the slot of the standby on its primary.
const physical = "standby"

// newSite makes a primary with the application's schema and a standby.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	binaries := []pgserver.Source{pgserver.Binaries, pgserver.Download}
	settings := map[string]string{"log_min_messages": "warning"}
	s.servers[0] = pgtest.Server(t, pgserver.Options{Sources: binaries, Settings: settings})
	major, _, _ := strings.Cut(s.servers[0].Version(), ".")
	s.major, _ = strconv.Atoi(major)
	if !s.followed() && os.Getenv("SWEEPER_TEST_FAILOVER_SLOTS") == "true" {
		t.Fatalf("SWEEPER_TEST_FAILOVER_SLOTS is set and the server is PostgreSQL %s; name binaries of 17 or newer with SWEEPER_PG_BIN", s.servers[0].Version())
	}
	s.ports[0] = s.servers[0].Port()
	s.connect(t)
	for name, value := range s.standbySettings() {
		s.exec(t, fmt.Sprintf("alter system set %s = '%s'", name, value))
	}
	s.exec(t, schema)
	s.ports[1] = freePort(t)
	s.file = filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(s.file, []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"SWEEPER_DATABASE_URL=" + s.url("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + s.url("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + s.url(pgserver.Superuser), "SWEEPER_HMAC_KEY=" + key, "SWEEPER_POLICIES=" + s.file,
		"SWEEPER_APPROVE=auto", "SWEEPER_BATCH_ROWS=40", "SWEEPER_LOG_LEVEL=info", "SWEEPER_HTTP_ADDR=off",
	}
	return s
}

// url reaches whichever of the two servers can be written to.
func (s *site) url(user string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write",
		user, s.ports[0], s.ports[1])
}

// addStandby puts a standby beside the primary, in the place of a server that is
// gone.
func (s *site) addStandby(t *testing.T) {
	t.Helper()
	if dead := s.servers[1-s.primary]; dead != nil {
		if err := dead.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.exec(t, `select pg_create_physical_replication_slot($1, true) where not exists (select from pg_replication_slots where slot_name = $1)`, physical)
	settings := maps.Clone(s.standbySettings())
	settings["primary_conninfo"] = s.servers[s.primary].URL("postgres", pgserver.Superuser)
	settings["primary_slot_name"] = physical
	standby, err := s.servers[s.primary].Copy(t.Context(), pgserver.Options{Standby: true, Port: s.ports[1-s.primary], Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	s.stopAtEnd(t, standby)
	s.servers[1-s.primary] = standby
	s.follows(t)
}

func (s *site) stopAtEnd(t *testing.T, server *pgserver.Server) {
	t.Helper()
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Errorf("stop a server: %v", err)
		}
	})
}

// anchor has checkpoints of the log kept outside the database, signed.
func (s *site) anchor(t *testing.T) {
	t.Helper()
	private, _, err := note.GenerateKey(rand.Reader, "failovertest")
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "SWEEPER_ANCHOR_URL=file://"+t.TempDir(), "SWEEPER_SIGNING_KEY="+private)
}

// follows waits until the standby streams and, where slots follow, makes the
// primary show nothing to readers of slots that the standby has not.
func (s *site) follows(t *testing.T) {
	t.Helper()
	waitFor(t, "the standby streams", func() bool {
		return s.text(t, `select count(*) from pg_stat_replication where state = 'streaming' and application_name = 'walreceiver'`) == "1"
	})
	if s.followed() {
		s.exec(t, `alter system set synchronized_standby_slots = '`+physical+`'`)
		s.exec(t, `select pg_reload_conf()`)
	}
}

// freePort is a port for the other server, which the URLs name from the start.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// connect opens the connection of the test's own questions to the primary.
func (s *site) connect(t *testing.T) {
	t.Helper()
	s.admin = dial(t, s.servers[s.primary])
}

func dial(t *testing.T, server *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres", pgserver.Superuser))
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
	return ask(t, s.admin, sql, args...)
}

func ask(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	if v := pgtest.QueryOne[*string](t, conn, "select ("+sql+")::text", args...); v != nil {
		return *v
	}
	return ""
}

// install installs sweeper, lets it drop partitions, and puts one subject under
// a hold.
func (s *site) install(t *testing.T) {
	t.Helper()
	s.must(t, "install")
	s.exec(t, `grant app_owner to sweeper_owner`)
	s.exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
}

// feed puts in work: rows that are due, and some of the held subject among
// them, and two partitions to drop, of which the held row keeps one.
func (s *site) feed(t *testing.T, rows int) {
	t.Helper()
	s.fed++
	s.exec(t, `insert into app.events (at, who) select '2012-01-01'::timestamptz + $1 * interval '1 day' + i * interval '1 minute',
		case when i % 100 = 50 then 'held' else 's' || i % 40 end from generate_series(1, $2::int) i`, s.fed, rows)
	s.exec(t, `insert into app.people (at, who, email) select now() - case when i % 2 = 0 then interval '1 year' else interval '6 years' end,
		case when i % 100 < 2 then 'held' else 's' || i % 40 end, format('user%s-%s@example.com', $1::int, i) from generate_series(1, $2::int) i`, s.fed, rows/2)
	for i := range 2 {
		day := itoa(2*s.fed + i)
		s.exec(t, `do $$ begin execute format('create table app.shots_p`+day+` partition of app.shots for values from (%L) to (%L)',
			'2000-01-01'::timestamptz + `+day+` * interval '1 day', '2000-01-02'::timestamptz + `+day+` * interval '1 day');
			execute 'alter table app.shots_p`+day+` owner to app_owner';
			insert into app.shots (at, who) select '2000-01-01'::timestamptz + `+day+` * interval '1 day' + i * interval '1 minute',
				case when `+itoa(i)+` = 0 and i = 7 then 'held' else 'visitor' end from generate_series(1, 60) i; end $$`)
	}
}

// finish stops the application, waits until nothing is due any more and the log
// has all there is, and stops the daemon.
func (s *site) finish(t *testing.T, l *load, p *process) {
	t.Helper()
	if l != nil {
		l.end()
	}
	for what, sql := range due {
		p.eventually(t, "no "+what, func() bool { return s.text(t, sql) == "0" })
	}
	last := fmt.Sprint(pgtest.QueryOne[int64](t, s.admin, `insert into app.events (at, who) values ('2012-01-01', 'last') returning id`))
	p.eventually(t, "the last row has gone, and the log has it", func() bool {
		return s.text(t, `select exists (select from app.witness w join sweeper.purge_log l using (xid) where w.relation = 'app.events' and w.id = $1::text::bigint and l.kind = 'delete')`, last) == "true"
	})
	p.stop(t)
}

// promote has the standby take the primary's place, which is gone.
func (s *site) promote(t *testing.T) {
	t.Helper()
	if err := s.servers[1-s.primary].Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.primary = 1 - s.primary
	s.connect(t)
	if s.followed() { // the new primary has no standby yet, and its log would wait for one
		s.exec(t, `alter system reset synchronized_standby_slots`)
		s.exec(t, `select pg_reload_conf()`)
	}
}

// show tells how things are on the primary, when something does not come.
func (s *site) show(t *testing.T) {
	t.Helper()
	for _, state := range []string{
		`select string_agg(r::text, e'\n') from pg_replication_slots r`,
		`select string_agg(concat_ws(' ', slot, applied_lsn, pg_current_wal_lsn(), updated_at), e'\n') from sweeper.log_progress`,
		`select string_agg(concat_ws(' ', pid, backend_type, application_name, state, state_change, wait_event, query), e'\n') from pg_stat_activity where backend_type <> 'checkpointer'`,
		`select string_agg(concat_ws(' ', seq, kind, logged_at, reference), e'\n') from (select * from sweeper.purge_log where kind not in ('delete', 'redact') order by seq desc limit 12) l`,
	} {
		t.Log(s.text(t, state))
	}
}
