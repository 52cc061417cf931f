package pgtest_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestServerDecodesLogically(t *testing.T) {
	t.Parallel()
	c := pgtest.Database(t).Conn(t, "")
	for setting, want := range map[string]string{
		"wal_level": "logical", "fsync": "off", "max_connections": "300", "max_replication_slots": "200",
		"max_wal_senders": "200", "log_statement": "none", "timezone": "UTC",
	} {
		if got := pgtest.QueryOne[string](t, c, "select current_setting($1)", setting); got != want {
			t.Errorf("%s: got %q, want %q", setting, got, want)
		}
	}
}

func TestDatabasesAreIsolated(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Database(t), pgtest.Database(t)
	a.Exec(t, "create table only_here (id int); insert into only_here values (1), (2)")
	if got := pgtest.QueryOne[int](t, a.Conn(t, ""), "select count(*) from only_here"); got != 2 {
		t.Errorf("rows: got %d, want 2", got)
	}
	if pgtest.QueryOne[bool](t, b.Conn(t, ""), "select to_regclass('only_here') is not null") {
		t.Error("the table is in the other database too")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	t.Run(`Ünïcode "quotes" / and a name that is very much longer than an identifier may be`, func(t *testing.T) {
		t.Parallel()
		d := pgtest.Database(t)
		c := d.Conn(t, "")
		if got := pgtest.QueryOne[string](t, c, "select current_database()"); got != d.Name {
			t.Errorf("database: got %q, want %q", got, d.Name)
		}
		if len(d.Name) > 45 || strings.Trim(d.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("name: got %q, want at most 45 plain bytes", d.Name)
		}
		if pgtest.Database(t).Name == d.Name {
			t.Errorf("two databases are called %q", d.Name)
		}
	})
}

// within runs f as a test of its own and returns when that has cleaned up.
func within(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if !t.Run("inner", f) {
		t.FailNow()
	}
}

// leftovers counts what of a database is still in the server.
func leftovers(t *testing.T, name string) int {
	t.Helper()
	const count = `select (select count(*) from pg_database where datname = $1)
		+ (select count(*) from pg_replication_slots where database = $1)
		+ (select count(*) from pg_stat_activity where datname = $1)
		+ (select count(*) from pg_roles where starts_with(rolname, $1))`
	return pgtest.QueryOne[int](t, pgtest.Database(t).Conn(t, ""), count, name)
}

func TestCleanupDropsAnActiveSlot(t *testing.T) {
	t.Parallel()
	var name string
	within(t, func(t *testing.T) {
		d := pgtest.Database(t)
		name = d.Name
		cfg, err := pgconn.ParseConfig(d.URL(""))
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams["replication"] = "database"
		reader, err := pgconn.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		// Closed only when the server has ended it: nobody says goodbye.
		t.Cleanup(func() { _ = reader.Conn().Close() })
		slot, err := pglogrepl.CreateReplicationSlot(t.Context(), reader, d.Slot(), "pgoutput", pglogrepl.CreateReplicationSlotOptions{})
		if err != nil {
			t.Fatal(err)
		}
		at, err := pglogrepl.ParseLSN(slot.ConsistentPoint)
		if err != nil {
			t.Fatal(err)
		}
		d.Exec(t, "create publication p")
		if err := pglogrepl.StartReplication(t.Context(), reader, d.Slot(), at, pglogrepl.StartReplicationOptions{
			PluginArgs: []string{"proto_version '1'", "publication_names 'p'"},
		}); err != nil {
			t.Fatal(err)
		}
		c := d.Conn(t, "")
		pgtest.Eventually(t, "the slot is active", func() bool {
			return pgtest.QueryOne[bool](t, c, "select active from pg_replication_slots where slot_name = $1", d.Slot())
		})
	})
	if n := leftovers(t, name); n != 0 {
		t.Errorf("%d things of database %s are left", n, name)
	}
}

// A daemon under test reconnects as fast as it can, and may do so between the
// end of its session and the drop.
func TestCleanupBesideAClientThatReconnects(t *testing.T) {
	t.Parallel()
	var name string
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan struct{})
	within(t, func(t *testing.T) {
		d := pgtest.Database(t)
		name = d.Name
		connected := make(chan struct{}, 1)
		url := d.URL("")
		go func() {
			defer close(stopped)
			for ctx.Err() == nil {
				reconnect(ctx, url, connected)
			}
		}()
		select {
		case <-connected:
		case <-time.After(30 * time.Second):
			t.Error("the client does not come in")
		}
	})
	cancel()
	<-stopped
	if n := leftovers(t, name); n != 0 {
		t.Errorf("%d things of database %s are left", n, name)
	}
}

// reconnect opens one session and keeps it until the server ends it.
func reconnect(ctx context.Context, url string, connected chan<- struct{}) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return
	}
	select {
	case connected <- struct{}{}:
	default:
	}
	_, _ = conn.Exec(ctx, "select pg_sleep(60)")
	_ = conn.Close(ctx)
}

func TestRoleGoesWithItsDatabase(t *testing.T) {
	t.Parallel()
	var name string
	within(t, func(t *testing.T) {
		d := pgtest.Database(t)
		name = d.Name
		role := d.Role(t, "app", "login")
		d.Exec(t, "create table a (id int); grant select on a to "+role)
		c := d.Conn(t, role)
		if got := pgtest.QueryOne[string](t, c, "select current_user"); got != role {
			t.Errorf("user: got %q, want %q", got, role)
		}
		if got := pgtest.QueryOne[int](t, c, "select count(*) from a"); got != 0 {
			t.Errorf("rows: got %d, want 0", got)
		}
	})
	if n := leftovers(t, name); n != 0 {
		t.Errorf("%d things of database %s are left", n, name)
	}
}

func TestRequirePassword(t *testing.T) {
	t.Parallel()
	d := pgtest.Database(t)
	asked, trusted := d.Role(t, "asked", "login password 'right'"), d.Role(t, "trusted", "login")
	d.RequirePassword(t, asked)
	with := func(password string) error {
		conn, err := pgx.Connect(t.Context(), strings.Replace(d.URL(asked), "@", ":"+password+"@", 1))
		if err != nil {
			return err
		}
		return conn.Close(t.Context())
	}
	if err := with("right"); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	var refused *pgconn.PgError
	if err := with("wrong"); !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("with a wrong password: got %v, want SQLSTATE 28P01", err)
	}
	d.Conn(t, trusted)
	d.Conn(t, "")
}

func TestTruthSeesWhatWasCommitted(t *testing.T) {
	t.Parallel()
	d := pgtest.Database(t)
	d.Exec(t, "create table a (id int primary key); insert into a values (1), (2), (3)")
	w := pgtest.Truth(t, d)
	elsewhere := pgtest.Database(t)
	elsewhere.Exec(t, "create table a (id int); insert into a values (9)")
	d.Exec(t, "begin; delete from a where id = 3; rollback")
	d.Exec(t, "delete from a where id = 1")
	d.Exec(t, "set synchronous_commit = off")
	d.Exec(t, "delete from a where id = 2")
	for range 2 { // what was read once stays
		var got []string
		for _, line := range w.Changes(t) {
			if strings.HasPrefix(line, "table") {
				got = append(got, line)
			}
		}
		want := "table public.a: DELETE: id[integer]:1\ntable public.a: DELETE: id[integer]:2"
		if strings.Join(got, "\n") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestServerOfItsOwn(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Settings: map[string]string{"wal_level": "replica"}})
	c, err := pgx.Connect(t.Context(), s.URL("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if got := pgtest.QueryOne[string](t, c, "show wal_level"); got != "replica" {
		t.Errorf("wal_level: got %q, want replica", got)
	}
}

func TestEventually(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	pgtest.Eventually(t, "the third call", func() bool { return calls.Add(1) == 3 })
	if calls.Load() != 3 {
		t.Errorf("calls: got %d, want 3", calls.Load())
	}
}
