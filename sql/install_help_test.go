package sql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// people is an application with one table, and its policy.
const (
	peopleDDL = `
create schema app;
create table app.people (id uuid primary key, tenant text, ended_at timestamptz, email text);
create index on app.people (ended_at);
insert into app.people values
    ('00000000-0000-0000-0000-00000000000a', 'north', now() - interval '2 years', 'a@example.com'),
    ('00000000-0000-0000-0000-00000000000b', 'south', now() - interval '2 years', 'b@example.com'),
    ('00000000-0000-0000-0000-00000000000c', null, now() - interval '2 years', 'c@example.com');`
	peoplePolicy = `
version: 1
categories:
  people:
    table: app.people
    subject: id
    tenant: tenant
    start_from: ended_at
    redact: {after: P30D, columns: {email: "null"}}
    delete: {after: P1Y}
`
)

// installed returns a copy of a database with people in it and sweeper
// installed, without the slot.
func installed(t *testing.T) *pgtest.DB {
	t.Helper()
	return pgtest.From(t, "installed", func(t testing.TB, db *pgtest.DB) {
		t.Helper()
		db.Exec(t, peopleDDL)
		if _, err := install(t, db.URL, db.Slot(), peoplePolicy, false); err != nil {
			t.Fatal(err)
		}
	})
}

// install runs sweeper.Install as the superuser of the database at url.
func install(t testing.TB, url func(string) string, slot, policies string, script bool) (sweeper.Installation, error) {
	t.Helper()
	return sweeper.Install(t.Context(), config(t, url, slot), slog.New(slog.DiscardHandler), load(t, policies), script)
}

func config(t testing.TB, url func(string) string, slot string) sweeper.Config {
	t.Helper()
	cfg, _, err := sweeper.Load([]string{
		"SWEEPER_DATABASE_URL=" + url("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + url("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + url(""), "SWEEPER_SLOT=" + slot,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func load(t testing.TB, policies string) policy.Set {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(policy.Defaults{}, path)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// govern registers categories as a sweep does, without policy files. Every
// object has the columns of sweeper.governed; relations are given by name.
func govern(t *testing.T, conn *pgx.Conn, categories ...map[string]any) {
	t.Helper()
	list := []map[string]any{}
	for _, c := range categories {
		c["relation"] = pgtest.QueryOne[uint32](t, conn, `select $1::text::regclass::oid`, c["relation_name"])
		for _, part := range []string{"subject", "tenant"} {
			if column, ok := c[part+"_column"]; ok {
				c[part+"_type"] = pgtest.QueryOne[uint32](t, conn,
					`select atttypid from pg_attribute where attrelid = $1::text::regclass and attname = $2`, c["relation_name"], column)
			}
		}
		for name, value := range map[string]any{"mode": "enforce", "enabled": true, "retention": "1 year"} {
			if _, ok := c[name]; !ok {
				c[name] = value
			}
		}
		list = append(list, c)
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	// The digest differs whenever the set does, as that of the files would.
	exec(t, conn, `select sweeper.govern($1::text::jsonb, sha256(convert_to($1::text, 'UTF8')))`, string(text))
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
}

// refused runs SQL that must fail with an SQLSTATE, and returns the error.
func refused(t *testing.T, conn *pgx.Conn, state, sql string, args ...any) *pgconn.PgError {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	return refusal(t, err, state, sql)
}

func refusal(t *testing.T, err error, state, what string) *pgconn.PgError {
	t.Helper()
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		t.Errorf("%s: got %v, want SQLSTATE %s", what, err, state)
		return &pgconn.PgError{}
	}
	if server.Code != state {
		t.Errorf("%s: got SQLSTATE %s (%s), want %s", what, server.Code, server.Message, state)
	}
	return server
}

// login connects as a new role that is a member of group.
func login(t *testing.T, db *pgtest.DB, suffix, group string) *pgx.Conn {
	t.Helper()
	options := "login"
	if group != "" {
		options += " in role " + group
	}
	return db.Conn(t, db.Role(t, suffix, options))
}

// strings reads one column of texts.
func texts(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, _ := conn.Query(t.Context(), sql, args...) // its error comes out of the rows
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
	return all
}

// background runs SQL on a connection and gives its error when it has ended.
func background(ctx context.Context, conn *pgx.Conn, sql string, args ...any) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, sql, args...)
		done <- err
	}()
	return done
}

// waits returns when the session pid waits for a lock.
func waits(t *testing.T, conn *pgx.Conn, pid uint32) {
	t.Helper()
	pgtest.Eventually(t, fmt.Sprintf("session %d waits for a lock", pid), func() bool {
		return pgtest.QueryOne[bool](t, conn, `select exists (select from pg_locks where pid = $1 and not granted)`, int64(pid))
	})
}
