package pgtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// passwordGroup is the role whose members the server asks for a password.
const passwordGroup = "pgtest_password_required"

// Role makes a role that is dropped with the database, and returns its name,
// which needs no quotes: the database's, an underscore and suffix. options are
// those of CREATE ROLE: "login replication". suffix has at most 17 bytes.
func (d *DB) Role(t testing.TB, suffix, options string) string {
	t.Helper()
	role := d.Name + "_" + suffix
	d.Exec(t, "create role "+quote(role)+" "+options)
	return role
}

// RequirePassword makes the server ask role for its password at each
// connection, by scram-sha-256. Everybody else stays trusted.
func (d *DB) RequirePassword(t testing.TB, role string) {
	t.Helper()
	var err error
	shared.password.Do(func() { err = shared.askForPasswords(t.Context()) })
	if err != nil {
		t.Fatalf("make the server ask for passwords: %v", err)
	}
	if shared.close != nil {
		d.Exec(t, "grant "+passwordGroup+" to "+quote(role))
	}
	conn, err := pgx.Connect(t.Context(), d.URL(role))
	var refused *pgconn.PgError
	if !errors.As(err, &refused) && conn != nil {
		closeConn(conn)
		t.Fatalf("require a password of role %s: the server (%s) lets it in without one", role, shared.how)
	}
}

// askForPasswords puts a rule for the group before the others, on a server of
// our own. The files of a server that the environment names are not touched:
// that one must ask by itself.
func (s *server) askForPasswords(ctx context.Context) error {
	if s.close == nil {
		return nil
	}
	const group = `create role ` + passwordGroup
	// COPY empties the file before it runs its query, so the old rules are read
	// by a statement of their own.
	const write = `do $$
	declare
		file text := current_setting('hba_file');
		rules text[] := array['host all +` + passwordGroup + ` all scram-sha-256'] || string_to_array(pg_read_file(file), e'\n');
	begin
		execute format('copy (select unnest(%L::text[])) to %L', rules, file);
	end $$`
	const loaded = `select pg_conf_load_time()`
	var before, after time.Time
	if err := s.admin.QueryRow(ctx, loaded).Scan(&before); err != nil {
		return err
	}
	for _, sql := range []string{group, write, `select pg_reload_conf()`} {
		if _, err := s.admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	// Only a session that begins after the reload shows that it has happened.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := ask(ctx, s.base.String(), loaded, &after); err != nil {
			return err
		}
		if after.After(before) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the reload: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// ask runs sql in a session of its own.
func ask(ctx context.Context, url, sql string, value any) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	return conn.QueryRow(ctx, sql).Scan(value)
}
