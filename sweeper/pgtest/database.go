package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// longestStem leaves room behind the test's name for the random part, and for
// a suffix of the caller's, in the 63 bytes of an identifier.
const longestStem = 36

// DB is a database that belongs to one test.
type DB struct {
	// Name is the database's name: lower-case letters, digits and underscores,
	// at most 45 bytes, unique in the server. It needs no quotes.
	Name string

	mu   sync.Mutex // guards conn
	conn *pgx.Conn  // Exec's, opened at first use
}

// Database makes an empty database, and drops it with everything that still
// uses it when the test ends.
func Database(t testing.TB) *DB {
	t.Helper()
	return create(t, "template0")
}

// create makes a database from a template.
func create(t testing.TB, template string) *DB {
	t.Helper()
	ctx := t.Context()
	if err := shared.start(ctx); err != nil {
		t.Fatalf("provide a PostgreSQL server: %v", err)
	}
	d := &DB{Name: name(t.Name())}
	if err := shared.createDatabase(ctx, d.Name, template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.drop(t) })
	return d
}

// name turns a test's name into an identifier that nobody else has.
func name(test string) string {
	stem := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, strings.TrimPrefix(test, "Test"))
	var unique [4]byte
	_, _ = rand.Read(unique[:])
	return stem[:min(len(stem), longestStem)] + "_" + hex.EncodeToString(unique[:])
}

// URL is where user reaches the database; "" is the superuser.
func (d *DB) URL(user string) string { return shared.url(d.Name, user) }

// Slot is a name for a replication slot that nobody else has.
func (d *DB) Slot() string { return d.Name }

// Conn opens a connection as user, closed when the test ends; "" is the
// superuser. The session has the server's settings, not those of package pg.
func (d *DB) Conn(t testing.TB, user string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stepTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.URL(user))
	if err != nil {
		t.Fatalf("connect to the test's database: %v", err)
	}
	t.Cleanup(func() { closeConn(conn) })
	return conn
}

// Exec runs sql as the superuser. All calls for one database use the same
// session, one after the other. Without args, sql may be several statements.
func (d *DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		conn, err := pgx.Connect(t.Context(), d.URL(""))
		if err != nil {
			t.Fatalf("connect to the test's database: %v", err)
		}
		d.conn = conn
	}
	if _, err := d.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
}

// QueryOne returns the one value of the one row that sql yields.
func QueryOne[T any](t testing.TB, c *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	rows, _ := c.Query(t.Context(), sql, args...) // its error comes out of the rows
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
	return value
}

// closeConn closes a connection that the server may have ended already.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// close ends Exec's session.
func (d *DB) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		closeConn(d.conn)
		d.conn = nil
	}
}

// drop removes the database and what in the server hangs on it.
func (d *DB) drop(t testing.TB) {
	d.close()
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	if err := shared.dropDatabase(ctx, d.Name); err != nil {
		t.Error(fmt.Errorf("clean up after the test: %w", err))
	}
}

// Named is another database of the same server, which the caller makes and
// drops.
func (d *DB) Named(name string) *DB { return &DB{Name: name} }

// Reconnect has Exec open its session again.
func (d *DB) Reconnect() { d.close() }
