package pg_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestClosedConnection uses connections that have ended: by the server at this
// moment, and some time ago, which only the driver knows of.
func TestClosedConnection(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	conn := db.Conn(t, "")
	db.Exec(t, `select pg_terminate_backend($1)`, conn.PgConn().PID())
	for _, when := range []string{"just now", "before"} {
		_, err := conn.Exec(t.Context(), `select`)
		if got := pg.Classify(pg.Wrap("ask", err)); got != pg.Unreachable {
			t.Errorf("ended %s: %v is of class %d, want %d", when, err, got, pg.Unreachable)
		}
		err = pgx.BeginFunc(t.Context(), conn, func(pgx.Tx) error { return nil })
		if got := pg.Classify(err); got != pg.Unreachable {
			t.Errorf("ended %s: %v is of class %d, want %d", when, err, got, pg.Unreachable)
		}
	}
}
