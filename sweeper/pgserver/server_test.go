package pgserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// onMachine are the sources of a server whose folder and process are here.
var onMachine = []Source{Binaries, Download}

// start starts a server for one test.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	o.Sources = onMachine
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server may be gone by then
	return conn
}

func one(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
	return got
}

func TestServerIsWhatTheDemoNeeds(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := connect(t, s.URL("postgres", Superuser))
	for _, test := range []struct{ sql, want string }{
		{"show wal_level", "logical"},
		{"show max_replication_slots", "64"},
		{"show max_slot_wal_keep_size", "8GB"},
		{"show timezone", "UTC"},
		{"show jit", "off"},
		{"show fsync", "off"},
		{"show synchronous_commit", "on"},
		{"show listen_addresses", "127.0.0.1"},
		{"show server_encoding", "UTF8"},
		{"show is_superuser", "on"},
		{"select current_user::text", "postgres"},
		{"select datcollate::text from pg_database where datname = 'template1'", "C"},
		{"select split_part(current_setting('server_version'), ' ', 1)", s.Version()},
		{"select (random() > 2)::text", "false"},
	} {
		if got := one(t, conn, test.sql); got != test.want {
			t.Errorf("%s: got %q, want %q", test.sql, got, test.want)
		}
	}
	if !strings.HasPrefix(s.How(), "server binaries in /") && !strings.HasPrefix(s.How(), "downloaded server binaries in /") {
		t.Errorf("How: got %q", s.How())
	}
}

func TestDurableServerKeepsItsSafety(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Durable: true})
	conn := connect(t, s.URL("postgres", Superuser))
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := one(t, conn, "show "+setting); got != "on" {
			t.Errorf("%s: got %q, want on", setting, got)
		}
	}
}

func TestSettingsOverrideAndAreQuoted(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Settings: map[string]string{"wal_level": "replica", "cluster_name": `it's "a" \ b`}})
	conn := connect(t, s.URL("postgres", Superuser))
	if got := one(t, conn, "show wal_level"); got != "replica" {
		t.Errorf("wal_level: got %q, want replica", got)
	}
	if got, want := one(t, conn, "show cluster_name"), `it's "a" \ b`; got != want {
		t.Errorf("cluster_name: got %q, want %q", got, want)
	}
}

func TestTwoServersDoNotMeet(t *testing.T) {
	t.Parallel()
	for range 2 {
		t.Run("server", func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{})
			conn := connect(t, s.URL("postgres", Superuser))
			// The second of two on one cluster would fail.
			if _, err := conn.Exec(t.Context(), "create role alone"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStandbyIsReadOnly(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Standby: true})
	conn := connect(t, s.URL("postgres", Superuser))
	if got := one(t, conn, "select pg_is_in_recovery()::text"); got != "true" {
		t.Errorf("in recovery: got %s, want true", got)
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := connect(t, s.SocketURL("postgres", Superuser))
	if got := one(t, conn, "select coalesce(inet_client_addr()::text, 'socket')"); got != "socket" {
		t.Errorf("connected from %s, want a socket", got)
	}
}

func TestFolderTooDeepForASocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(open(t), strings.Repeat("d", longestSocketDir))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: dir})
	if got := s.SocketURL("postgres", Superuser); got != "" {
		t.Errorf("SocketURL: got %q, want none", got)
	}
	connect(t, s.URL("postgres", Superuser))
}

// open is a folder that any user can enter, unlike t.TempDir's.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-") //nolint:usetesting // the server's user must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := open(t)
	s := start(t, Options{Dir: dir})
	connect(t, s.URL("postgres", Superuser)) // an open session does not hold it up
	info, err := os.Stat(filepath.Join(dir, entries(t, dir)[0]))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
		t.Error("the server's folder belongs to root")
	}
	if !strings.Contains(s.StopCommand(), filepath.Join(dir, info.Name())) {
		t.Errorf("StopCommand: got %q, want the folder %s in it", s.StopCommand(), info.Name())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := syscall.Kill(s.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: got %v, want no such process", s.Pid(), err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop again: %v", err)
	}
}

func TestCrashAndRestart(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	url := s.URL("postgres", Superuser)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "create table kept (i int); begin; insert into kept values (1); commit; begin; insert into kept values (2)"); err != nil {
		t.Fatal(err)
	}
	before := s.Pid()
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: got %v, want no such process", before, err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := one(t, connect(t, url), "select string_agg(i::text, ',') from kept"); got != "1" || s.Pid() == before {
		t.Errorf("process %d came back as %d with the rows %s, want another with row 1 alone", before, s.Pid(), got)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

// A fast shutdown waits for walsenders, and a walsender for its reader.
func TestStopIsBoundedBesideADeafReader(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	cfg, err := pgconn.ParseConfig(s.URL("postgres", Superuser))
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["replication"] = "database"
	deaf, err := pgconn.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Conn().Close()
	slot, err := pglogrepl.CreateReplicationSlot(t.Context(), deaf, "deaf", "test_decoding", pglogrepl.CreateReplicationSlotOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at, err := pglogrepl.ParseLSN(slot.ConsistentPoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := pglogrepl.StartReplication(t.Context(), deaf, "deaf", at, pglogrepl.StartReplicationOptions{}); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s.URL("postgres", Superuser))
	if _, err := conn.Exec(t.Context(), "create table a as select generate_series(1, 100000) as i"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if took, limit := time.Since(began), 300*time.Millisecond+quitTimeout+3*time.Second; took > limit {
		t.Errorf("stop took %s, want at most %s", took, limit)
	}
}

func TestStartTellsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	dir := open(t)
	_, err := Start(t.Context(), Options{
		Dir: dir, Sources: onMachine,
		Settings: map[string]string{"no_such_setting": "1"},
	})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want an error that names the setting", err)
	}
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{Dir: dir, Sources: onMachine}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The port that was free a moment ago may be another's when the server binds
// it, and that other may even answer as PostgreSQL does.
func TestPortTakenByAnotherServerIsNoticed(t *testing.T) {
	t.Parallel()
	other := start(t, Options{})
	host, port, err := net.SplitHostPort(other.host)
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("host %q: %v", other.host, err)
	}
	o := Options{Log: slog.New(slog.DiscardHandler)}
	b, err := installed(t.Context(), o)
	if err != nil {
		b, err = downloaded(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{binaries: b}
	if err := c.initialize(t.Context(), c.initdb); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.remove(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.launchAt(t.Context(), port); !errors.Is(err, errPortTaken) {
		t.Errorf("got %v, want %v", err, errPortTaken)
	}
}
